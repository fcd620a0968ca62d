"""The parameters that a real node declares, and what it does with bad ones."""

import pytest

from gckpl_ros.config import FIXED, Config

DEFAULTS = Config().model_dump()
NAMES = [f"{section}.{key}" for section, values in DEFAULTS.items() for key in values]
BOOL, INTEGER, DOUBLE = 1, 2, 3  # rcl_interfaces/msg/ParameterType


def field(name):
    section, key = name.split(".")
    return type(getattr(Config(), section)).model_fields[key]


def test_every_parameter_is_declared_with_description_and_range(peer, start):
    start()
    for name, found in zip(NAMES, peer.describe(*NAMES), strict=True):
        assert found.name == name
        assert found.description == field(name).description
        assert not found.read_only
        assert bool(found.additional_constraints) == (field(name).json_schema_extra == FIXED)
    margin, least, gate = peer.describe("crop.margin_m", "crop.min_points", "track.gate_m")
    assert (margin.type, least.type) == (DOUBLE, INTEGER)
    assert [(r.from_value, r.to_value) for r in margin.floating_point_range] == [(0.0, 1.0)]
    assert [(r.from_value, r.to_value) for r in least.integer_range] == [(1, 1024)]
    assert [(r.from_value, r.to_value) for r in gate.floating_point_range] == [(0.0, 5.0)]


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("crop.margin_m", 1.5, "crop.margin_m"),  # out of range
        ("track.gate_m", 0.0, "greater than 0"),  # on a bound that is not part of the range
        ("track.smoothing", 1.0, "less than 1"),
        ("crop.min_points", "many", "valid integer"),
        ("crop.min_points", 8.5, "valid integer"),
        ("detect.enabled", [1.0, 2.0], "valid boolean"),
        ("input.points", "points", "valid tuple"),
        ("input.points", [f"lidar{i}" for i in range(17)], "at most 16"),
        ("crop.margin_m", float("nan"), "crop.margin_m"),
        ("crop.margin_m", None, "crop.margin_m"),  # nothing can be undeclared
    ],
)
def test_bad_values_are_refused_with_the_reason(peer, start_once, name, value, reason):
    assert reason in peer.set(name, value, of=start_once)


def test_after_a_refusal_the_type_is_still_that_of_the_value(peer, start_once):
    assert peer.set("crop.min_points", "many", of=start_once) and peer.set("detect.enabled", [1.0], of=start_once)
    assert [found.type for found in peer.describe("crop.min_points", "detect.enabled", of=start_once)] == [
        INTEGER,
        BOOL,
    ]


def test_unknown_names_are_refused(peer, start_once):
    assert "undeclared" in peer.set("crop.margin", 0.1, of=start_once)


def test_values_change_while_it_runs_but_not_what_is_fixed(peer, active):
    active()
    assert peer.set("crop.margin_m", 0.3) == ""
    assert peer.set("crop.margin_m", 1) == ""  # a whole number is a number
    assert peer.set("detect.enabled", False) == ""
    assert peer.set("input.frame", "") == ""  # as it is
    reason = peer.set("input.frame", "base_link")
    assert "input.frame cannot change while the node is configured" in reason
    assert "ros2 lifecycle set /gckpl cleanup" in reason
    assert peer.change("deactivate", "cleanup") == [True, True]
    assert peer.set("input.frame", "base_link") == ""


def test_a_bad_value_at_the_start_is_told_at_configure_until_it_is_mended(peer, start):
    node = start(crop__min_points=0, track__gate_m=0.0)
    assert peer.change("configure") == [False]
    assert "crop.min_points" in node.log and "track.gate_m" in node.log
    assert peer.set("crop.min_points", 4) == peer.set("track.gate_m", 2.0) == ""
    assert peer.change("configure") == [True]


def test_an_unknown_name_in_a_section_is_told_at_configure_and_others_are_left_alone(peer, start):
    node = start(crop__margin=0.1, other_node__gain=1.0)
    assert peer.change("configure") == [False]
    assert "parameter crop.margin: there is no such parameter" in node.log
    assert "other_node" not in node.log


def test_a_parameter_file_is_taken(peer, start, tmp_path):
    file = tmp_path / "own.yaml"
    file.write_text(Config.parse({"crop": {"margin_m": 0.25}, "input": {"points": ["a", "b"]}}).to_ros_yaml())
    start("--params-file", str(file))
    assert peer.get("crop.margin_m", "input.points", "track.gate_m") == [0.25, ["a", "b"], 1.0]


@pytest.fixture(scope="module")
def start_once(rig, tmp_path_factory):
    """One node for all tests that change nothing: its name."""
    node = rig.NodeProcess(tmp_path_factory.mktemp("node"), "-r", "__ns:=/once")
    yield "/once/gckpl"
    node.end()
