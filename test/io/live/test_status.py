"""Counts and latencies of live processing, with values computed by hand."""

import pytest
from ros_messages import TYPES

from gckpl_ros.io.live.status import Report, Status, to_diagnostic_status, what_is_wrong
from gckpl_ros.reasons import (
    BAD_CLOUD,
    FEW_POINTS,
    KINDS,
    NO_TRANSFORM,
    NO_TURN,
    OTHER_CLASS,
    TOO_MANY,
    UNSURE,
)
from gckpl_ros.types import Frame, Tracks


def frame(estimate_ms, **dropped):
    return Frame(0, "lidar", Tracks.empty(), timings_ms={"estimate": estimate_ms}, dropped=dropped)


def test_times_are_medians_and_percentiles_of_what_was_published_and_the_rate_is_theirs():
    status = Status(clock=iter([0.0, 0.25, 0.5, 1.0]).__next__)
    for ms in (10.0, 20.0, 90.0):
        status.add(frame(ms), latency_ms=ms + 1)
    report = status.report()
    assert report.stages_ms["estimate"] == {"median": 20, "p95": pytest.approx(83)}
    assert report.stages_ms["latency"] == {"median": 21, "p95": pytest.approx(84)}
    assert report.frames == 3 and report.rate_hz == 2


def test_what_is_older_than_five_seconds_is_only_counted_and_silence_is_told():
    status = Status(clock=iter([0.0, 0.0, 1.0, 5.0, 6.5]).__next__)
    status.received()
    for ms in (10.0, 20.0):
        status.add(frame(ms), latency_ms=ms)
    report = status.report()
    assert (report.stages_ms["estimate"]["median"], report.rate_hz, report.silent_s) == (15, 0.2, 5)
    report = status.report()
    assert (report.stages_ms, report.rate_hz, report.silent_s) == ({}, 0, 6.5)
    assert (report.clouds, report.frames) == (1, 2)


def test_what_was_left_out_or_mended_is_counted_by_reason_with_the_latest_example():
    status = Status()
    status.add(frame(1.0, few_points=2), 1.0)
    for reason, number, example in (
        (FEW_POINTS, 1, ""),
        (UNSURE, 4, ""),
        (TOO_MANY, 0, "nobody"),
        (BAD_CLOUD, 1, "no field x"),
        (BAD_CLOUD, 2, "no field\n y"),
        (NO_TURN, 3, ""),
    ):
        status.count(reason, number, example)
    report = status.report()
    assert report.dropped == {FEW_POINTS: 3, UNSURE: 4}
    assert report.skipped == {BAD_CLOUD: 3} and report.mended == {NO_TURN: 3}
    assert report.examples == {BAD_CLOUD: "no field y"}


def test_nothing_that_comes_in_becomes_a_key_or_a_long_value():
    status = Status()
    for i in range(1000):
        status.count(OTHER_CLASS, example=f"{i}" * 10_000)
        status.count(BAD_CLOUD, example=f"cloud: data has {i} bytes")
    entry = to_diagnostic_status(status.report(), "gckpl", TYPES)
    keys = [each.key for each in entry.values]
    known = {f"{kind}: {reason}{end}" for kind, all_ in KINDS.items() for reason in all_ for end in ("", ", latest")}
    assert {key for key in keys if ": " in key} <= known and len(keys) == len(set(keys))
    assert max(len(each.value) for each in entry.values) <= 160


def test_reasons_are_told_apart_by_kind():
    names = [reason for reasons in KINDS.values() for reason in reasons]
    assert len(names) == len(set(names))


def test_what_is_wrong_now_counts_not_what_was_wrong_most():
    now_s = 0.0
    status = Status(clock=lambda: now_s)
    for _ in range(500):
        status.received()
        status.count(BAD_CLOUD, example="no field x")
    assert what_is_wrong(status.report()) == "cloud that contradicts itself (no field x)"
    now_s = 60.0
    assert what_is_wrong(status.report()) == ""
    for _ in range(3):
        status.received()
        status.count(NO_TRANSFORM, example="from lidar to odom")
    entry = to_diagnostic_status(status.report(), "gckpl", TYPES)
    assert entry.message == "clouds come, but none has a result: no transform at its time (from lidar to odom)"


def test_a_node_that_is_disabled_says_so_and_does_not_warn():
    now_s = 0.0
    status = Status(clock=lambda: now_s)
    status.received()
    status.enable(False)
    now_s = 10.0
    entry = to_diagnostic_status(status.report(), "gckpl", TYPES)
    assert (entry.level, entry.message) == (0, "disabled")
    status.enable(True)
    assert to_diagnostic_status(status.report(), "gckpl", TYPES).message == "no clouds for 10 s"


def test_before_the_first_cloud_nothing_is_claimed():
    report = Status().report()
    assert (report.rate_hz, report.people, report.silent_s, report.stages_ms) == (0, 0, None, {})
    assert 20 < report.memory_mb < 20_000


def diagnose(**changes):
    values = {"rate_hz": 9.96, "people": 3, "stages_ms": {"crop": {"median": 1.04, "p95": 2.0}}, "clouds": 5}
    values |= {"frames": 4, "skipped": {BAD_CLOUD: 1}, "dropped": {"few_points": 7}, "silent_s": 0.1}
    values |= {"mended": {}, "examples": {}, "recently_skipped": {BAD_CLOUD: 1}}
    values |= {"memory_mb": 300.0, "device_memory_mb": 0.0}
    return to_diagnostic_status(Report(**(values | changes)), "gckpl", TYPES)


def test_diagnostics_say_rate_latency_counts_and_memory():
    status = diagnose()
    assert (status.level, status.name, status.message) == (0, "gckpl: skeletons", "10.0 Hz, 3 people")
    values = {each.key: each.value for each in status.values}
    assert values["crop (ms)"] == "1.0" and values["crop, 95 % (ms)"] == "2.0"
    assert values[f"skipped: {BAD_CLOUD}"] == "1" and values["dropped: few_points"] == "7"
    assert values["memory (MB)"] == "300"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"silent_s": None}, "no clouds yet"),
        ({"silent_s": 12.3}, "no clouds for 12 s"),
        ({"rate_hz": 0.0}, "clouds come, but none has a result: cloud that contradicts itself"),
        ({"rate_hz": 0.0, "recently_skipped": {}}, "clouds come, but none has a result: the first is in work"),
    ],
)
def test_diagnostics_warn_when_nothing_comes_in_or_out(changes, message):
    status = diagnose(**changes)
    assert (status.level, status.message) == (1, message)
