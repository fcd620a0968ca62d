"""Counts and latencies of live processing, with values computed by hand."""

import pytest
from ros_messages import TYPES

from gckpl_ros.io.live.status import Report, Status, to_diagnostic_status
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


def test_what_was_left_out_is_counted_by_reason():
    status = Status()
    status.add(frame(1.0, few_points=2), 1.0)
    status.drop({"few_points": 1, "unsure": 4, "nothing": 0})
    status.skip("broken")
    status.skip("broken", 2)
    status.skip("empty", 0)
    assert status.report().dropped == {"few_points": 3, "unsure": 4}
    assert status.report().skipped == {"broken": 3}


def test_ever_new_reasons_do_not_fill_the_memory():
    status = Status()
    for i in range(1000):
        status.skip(f"field {i}")
    assert len(status.report().skipped) == 65
    assert status.report().skipped["other reasons"] == 936


def test_before_the_first_cloud_nothing_is_claimed():
    report = Status().report()
    assert (report.rate_hz, report.people, report.silent_s, report.stages_ms) == (0, 0, None, {})
    assert 20 < report.memory_mb < 20_000


def diagnose(**changes):
    values = {"rate_hz": 9.96, "people": 3, "stages_ms": {"crop": {"median": 1.04, "p95": 2.0}}, "clouds": 5}
    values |= {"frames": 4, "skipped": {"broken": 1}, "dropped": {"few_points": 7}, "silent_s": 0.1}
    values |= {"memory_mb": 300.0, "device_memory_mb": 0.0}
    return to_diagnostic_status(Report(**(values | changes)), "gckpl", TYPES)


def test_diagnostics_say_rate_latency_counts_and_memory():
    status = diagnose()
    assert (status.level, status.name, status.message) == (0, "gckpl: skeletons", "10.0 Hz, 3 people")
    values = {each.key: each.value for each in status.values}
    assert values["crop (ms)"] == "1.0" and values["crop, 95 % (ms)"] == "2.0"
    assert values["skipped: broken"] == "1" and values["dropped: few_points"] == "7"
    assert values["memory (MB)"] == "300"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"silent_s": None}, "no clouds yet"),
        ({"silent_s": 12.3}, "no clouds for 12 s"),
        ({"rate_hz": 0.0}, "clouds come, but none has a result: broken"),
        ({"rate_hz": 0.0, "skipped": {}}, "clouds come, but none has a result: the first is in work"),
    ],
)
def test_diagnostics_warn_when_nothing_comes_in_or_out(changes, message):
    status = diagnose(**changes)
    assert (status.level, status.message) == (1, message)
