"""Tracklets out of clouds: values worked out from where people really are, and what ends a tracklet."""

import numpy as np
import pytest
from walkers import HEIGHT, SENSOR, Walker, crops

from gckpl_ros.adapt.collector import MOST_WAITING, Collector, counting, lasting

FRAME_NS = 100_000_000


def show(collector, people, frames, T=lambda t: np.eye(4), ids=None):
    for i in frames:
        given = np.arange(len(people)) if ids is None else np.asarray(ids)
        collector.add(crops(people, 0.1 * i, T(0.1 * i)), given, i * FRAME_NS, T(0.1 * i))


def driving(t):
    """A sensor that drives along x at 5 m/s and turns."""
    c, s = np.cos(0.3 + t), np.sin(0.3 + t)
    return np.array([[c, -s, 0, 5 * t], [s, c, 0, 1], [0, 0, 1, 0], [0, 0, 0, 1]])


def test_a_tracklet_is_what_was_seen_in_the_axes_of_the_fixed_frame():
    person, collector = Walker((4, 2), heading=0.5, speed=1.5), Collector(counting(3))
    show(collector, [person], range(3), driving)
    (seen,) = collector.take(9)
    assert (seen.person, seen.counts.tolist()) == (0, [66, 66, 66])
    np.testing.assert_allclose(seen.dt_s, [0, 0.1, 0.1])
    np.testing.assert_allclose(seen.place, [4, 2, 0.9], atol=1e-5)
    steps = np.array([[0, 0, 0], [0.15, 0, 0], [0.3, 0, 0]]) @ [
        [np.cos(0.5), np.sin(0.5), 0],
        [-np.sin(0.5), np.cos(0.5), 0],
        [0, 0, 1],
    ]
    np.testing.assert_allclose(seen.origins, steps, atol=1e-5)
    for i, points in enumerate(np.split(seen.points.astype(np.float32), 3)):
        np.testing.assert_allclose(points, person.points(0.1 * i) - person.position(0.1 * i) - HEIGHT, atol=1e-3)
        T = driving(0.1 * i)
        sensor = T[:3, :3] @ SENSOR + T[:3, 3]
        np.testing.assert_allclose(seen.views[i], person.position(0.1 * i) + HEIGHT - sensor, atol=1e-4)
    assert seen.speed_m_s == pytest.approx(1.5, abs=1e-3)


def test_tracklets_follow_each_other_without_sharing_frames():
    collector = Collector(counting(4))
    show(collector, [Walker((4, 0)), Walker((0, 5))], range(9))
    assert [(seen.person, round(float(seen.place[0]), 2)) for seen in collector.take(9)] == [
        (0, 4.0),
        (1, 0.0),
        (0, 4.48),
        (1, 0.48),
    ]


def test_a_frame_missed_stays_empty_with_the_view_before_it():
    person, collector = Walker((4, 0)), Collector(counting(4))
    for i in range(4):
        show(collector, [person] if i != 2 else [], [i])
    (seen,) = collector.take(1)
    assert seen.counts.tolist() == [66, 66, 0, 66]
    np.testing.assert_array_equal(seen.views[2], seen.views[1])
    np.testing.assert_allclose(seen.origins[:, 0], [0, 0.12, 0.12, 0.36], atol=1e-5)
    assert seen.speed_m_s == pytest.approx(1.2, abs=1e-3)


def test_who_is_away_too_long_begins_anew():
    person, collector = Walker((4, 0)), Collector(counting(4))
    show(collector, [person], [0, 1])
    show(collector, [], [2, 3])
    show(collector, [person], [4, 5, 6])
    assert len(collector) == 0, "0.3 s without the person"
    show(collector, [person], [7])
    assert len(collector) == 1


def test_clouds_that_are_too_far_apart_make_no_tracklet():
    person, collector = Walker((4, 0)), Collector(counting(2))
    show(collector, [person], range(0, 30, 3))
    assert len(collector) == 0


@pytest.mark.parametrize(("missed", "tracklets"), [([1, 3, 6, 8], 1), ([1, 3, 5, 6, 8], 0)])
def test_three_frames_in_five_must_have_points(missed, tracklets):
    person, collector = Walker((4, 0)), Collector(counting(10))
    for i in range(10):
        show(collector, [] if i in missed else [person], [i])
    assert len(collector) == tracklets


def test_seven_points_are_as_good_as_none():
    person, collector = Walker((4, 0)), Collector(counting(2))
    sparse = crops([person], 0.1)
    sparse.mask[0, 7:] = False
    show(collector, [person], [0])
    collector.add(sparse, np.array([0]), FRAME_NS, np.eye(4))
    assert len(collector) == 0, "half of the frames is too few"


def test_points_that_are_far_from_their_box_belong_to_no_person():
    person, collector = Walker((4, 0)), Collector(counting(2))
    for i in range(4):
        wide = crops([person], 0.1 * i)
        wide.points[0, 3, 0] = 4.5
        collector.add(wide, np.array([0]), i * FRAME_NS, np.eye(4))
    assert len(collector) == 0


def test_time_that_runs_back_ends_all_tracklets():
    person, collector = Walker((4, 0)), Collector(counting(4))
    show(collector, [person], [5, 6, 7])
    show(collector, [person], [0, 1, 2])
    assert len(collector) == 0
    collector.end()
    show(collector, [person], [3])
    assert len(collector) == 0


def test_a_limited_number_waits_and_the_oldest_makes_room():
    people, collector = [Walker((4, 0), per_limb=1)] * (MOST_WAITING + 3), Collector(counting(2))
    show(collector, people, range(2))
    waiting = collector.take(1000)
    assert [seen.person for seen in waiting] == list(range(3, MOST_WAITING + 3))
    assert len(collector) == 0
    show(collector, people, [2, 3])
    collector.clear()
    assert collector.take(1) == []


@pytest.mark.parametrize(("rate_hz", "clouds"), [(5, 5), (10, 10), (20, 20)])
def test_a_tracklet_lasts_as_long_at_any_rate(rate_hz, clouds):
    """With the jitter of a real sensor's stamps: a tenth of their distance."""
    person, collector, step_ns = Walker((4, 0), speed=1.0), Collector(lasting(1.0)), 10**9 // rate_hz
    jitter_ns = np.random.default_rng(0).integers(-step_ns // 10, step_ns // 10, 3 * clouds)
    for i, late_ns in enumerate(jitter_ns.tolist()):
        stamp_ns = i * step_ns + late_ns
        collector.add(crops([person], stamp_ns * 1e-9), np.zeros(1, np.int64), stamp_ns, np.eye(4))
    seen = collector.take(9)
    assert [len(one.counts) for one in seen] == [clouds] * 3
    assert all(one.speed_m_s == pytest.approx(1.0, rel=0.01) for one in seen)
