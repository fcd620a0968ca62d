"""What is told of the adapter, field by field; and what is told at all."""

import json

import numpy as np
import pytest
from ros_messages import START_NS, TYPES

from gckpl_ros.adapt import Activity, AdaptationState
from gckpl_ros.io.live.status import (
    Status,
    figures,
    from_adaptation_status,
    in_words,
    reports,
    to_adaptation_diagnostic,
    to_adaptation_status,
    to_dict,
)
from gckpl_ros.io.messages.typestore import typestore

OFF = AdaptationState(Activity.DISABLED)
LEARNING = AdaptationState(Activity.TRAINING, 120, {"flow": 0.25, "total": 0.5}, 3, 1, "drift 0.06 m", 0.03125, 5)
FAILED = AdaptationState(Activity.FAILED, reason="out of memory")


def test_every_field_of_the_message_is_filled():
    message = to_adaptation_status(LEARNING, START_NS + 5, TYPES)
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == divmod(START_NS + 5, 1_000_000_000)
    assert message.header.frame_id == ""
    assert (message.state, message.step, message.accepted, message.rolled_back) == (message.TRAINING, 120, 3, 1)
    assert message.loss_names == ["flow", "total"] and message.loss_values.tolist() == [0.25, 0.5]
    assert message.loss_values.dtype == np.float32
    assert (message.reason, message.drift, message.restarts) == ("drift 0.06 m", 0.03125, 5)


def test_the_states_are_numbered_as_in_the_message():
    message = TYPES["gckpl_ros/msg/AdaptationStatus"]
    assert all(getattr(message, state.name) == state for state in Activity) and len(Activity) == 5


@pytest.mark.parametrize("state", [OFF, LEARNING, FAILED])
def test_the_message_says_it_all_after_its_way_over_the_network(state):
    msgtype = "gckpl_ros/msg/AdaptationStatus"
    data = typestore().serialize_cdr(to_adaptation_status(state, START_NS, TYPES), msgtype)
    assert from_adaptation_status(typestore().deserialize_cdr(data, msgtype)) == state


@pytest.mark.parametrize(
    ("state", "level", "words"),
    [
        (OFF, 0, "disabled"),
        (LEARNING, 0, "training: step 120, 3 updates accepted, 1 refused (drift 0.06 m)"),
        (FAILED, 1, "failed: step 0, 0 updates accepted, 0 refused (out of memory)"),
    ],
)
def test_diagnostics_warn_of_a_failure_and_of_nothing_else(state, level, words):
    entry = to_adaptation_diagnostic(state, "gckpl", TYPES)
    assert (entry.level, entry.name, entry.message) == (level, "gckpl: adaptation", words)
    assert in_words(state) == words
    assert {pair.key: pair.value for pair in entry.values} == figures(state)


def test_figures_have_names_and_units():
    counts = {"step": "120", "accepted": "3", "rolled back": "1", "drift (m)": "0.031", "reason": "drift 0.06 m"}
    counts["restarts"] = "5"
    assert figures(LEARNING) == {"state": "training", **counts, "loss: flow": "0.25", "loss: total": "0.5"}
    assert figures(OFF) == {"state": "disabled"}


def test_json_has_plain_values_even_of_what_is_no_number():
    state = AdaptationState(Activity.PAUSED, 1, {"total": float("nan")}, 2, 3, "by request", 0.5)
    assert json.loads(json.dumps(to_dict(state), allow_nan=False)) == {
        "state": "paused",
        "step": 1,
        "losses": {"total": None},
        "accepted": 2,
        "rolled_back": 3,
        "reason": "by request",
        "drift_m": 0.5,
        "restarts": 0,
    }


@pytest.mark.parametrize("wanted", [(), ("diagnostics",), ("adaptation",), ("adaptation", "diagnostics")])
def test_only_wanted_reports_are_made(wanted):
    made = dict(reports(Status(), LEARNING, "gckpl", START_NS, TYPES, ("skeletons", *wanted)))
    assert tuple(made) == wanted
    for message in made.values():
        assert message.header.stamp.sec == START_NS // 1_000_000_000


def test_diagnostics_have_an_entry_for_skeletons_and_one_for_adaptation():
    ((_, message),) = reports(Status(), OFF, "gckpl", START_NS, TYPES, ("diagnostics",))
    assert [entry.name for entry in message.status] == ["gckpl: skeletons", "gckpl: adaptation"]


@pytest.mark.parametrize("name", ["robot/gckpl", "/robot/gckpl"])
def test_the_node_and_live_name_themselves_alike(name):
    ((_, message),) = reports(Status(), OFF, name, START_NS, TYPES, ("diagnostics",))
    assert [entry.name for entry in message.status] == ["robot/gckpl: skeletons", "robot/gckpl: adaptation"]
