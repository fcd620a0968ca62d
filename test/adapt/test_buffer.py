"""The buffer: balance, bounds, the holdout, and when there is enough."""

from collections import Counter

import numpy as np
import pytest

from gckpl_ros.adapt.buffer import MOST_HELD_OUT, RENEW_EVERY, Buffer
from gckpl_ros.people.tracklets import Tracklet

PLACES = iter(range(10**9))


def example(person=0, speed=1.0, range_m=5.0, place=None, pose=None, points=300, confidence=0.9):
    """Three frames in 0.2 s of somebody who, unless it is said, stands where nobody stood before."""
    rng = np.random.default_rng(person)
    place = np.array([10.0 * next(PLACES), 0, 0]) if place is None else np.asarray(place, np.float64)
    way = np.arange(3)[:, None] * np.float32([0.1 * speed, 0, 0])
    packed = rng.normal(0, 0.3, (points, 3)).astype(np.float16)
    pose = rng.normal(0, 0.5, (14, 3)) if pose is None else pose
    return Tracklet(
        person=person,
        place=place,
        points=packed,
        counts=np.array([points - 20, 10, 10]),
        views=np.tile(np.float32([range_m, 0, 0]), (3, 1)),
        origins=way.astype(np.float32),
        dt_s=np.array([0, 0.1, 0.1]),
        keypoints=np.tile(pose, (3, 1, 1)).astype(np.float16),
        confidence=np.full((3, 14), confidence, np.float16),
        parts=np.zeros(points, np.uint8),
    )


def filled(count, most_mb=64.0, **given):
    buffer = Buffer(most_mb)
    for i in range(count):
        buffer.add(example(person=i, **given))
    return buffer


def people(buffer, rng=None, size=10**6):
    examples, _ = buffer.draw(size, rng or np.random.default_rng(0))
    return Counter(one.person for one in examples)


def test_one_in_eight_is_held_out_and_never_learnt_from():
    buffer = filled(80)
    held = {one.person for one in buffer.held_out}
    assert held == set(range(7, 80, 8))
    assert set(people(buffer)) == set(range(80)) - held


def test_a_full_holdout_is_renewed_slowly():
    full = MOST_HELD_OUT * 8
    buffer = filled(full)
    first = [one.person for one in buffer.held_out]
    assert len(first) == MOST_HELD_OUT
    for i in range(8 * RENEW_EVERY):
        buffer.add(example(person=full + i))
    assert [one.person for one in buffer.held_out] == [*first[1:], full + 8 * RENEW_EVERY - 1]


def test_somebody_who_stands_still_in_a_loop_is_one_example():
    buffer, pose = Buffer(64.0), np.random.default_rng(0).normal(0, 0.5, (14, 3))
    for loop in range(500):
        noise = np.random.default_rng(loop).normal(0, 0.01, (14, 3))
        buffer.add(example(person=loop, speed=0, place=[3, 1, 0.9], pose=pose + noise))
    assert (len(buffer), len(buffer.held_out)) == (1, 0)
    assert set(people(buffer)) == {499}, "the latest look"
    buffer.add(example(person=0, place=[3, 1, 0.9], pose=pose[::-1]))
    buffer.add(example(person=0, place=[3, 2, 0.9], pose=pose))
    assert len(buffer) == 3, "another pose, another place"


def test_who_looks_like_one_held_out_is_not_learnt_from():
    buffer, pose = filled(7), np.random.default_rng(0).normal(0, 0.5, (14, 3))
    buffer.add(example(person=7, place=[0, 5, 0], pose=pose))
    buffer.add(example(person=8, place=[0, 5, 0], pose=pose))
    assert [one.person for one in buffer.held_out] == [7]
    assert set(people(buffer)) == set(range(7))


@pytest.mark.parametrize("most_mb", [1.0, 0.1])
def test_memory_stays_bounded(most_mb):
    buffer = Buffer(most_mb)
    for i in range(400):
        buffer.add(example(person=i))
        assert buffer.nbytes <= most_mb * 1e6 or len(buffer) == 0
    size = example().nbytes
    assert len(buffer) + len(buffer.held_out) >= 0.98 * most_mb * 1e6 / size - 1
    assert len(buffer) >= 2 * len(buffer.held_out) > 0


def test_when_full_the_most_common_person_range_and_speed_go():
    room = 80 * example().nbytes / 1e6
    buffer = Buffer(room)
    rare = [example(person=i, range_m=20.0, speed=3.0) for i in range(1, 5)]
    for i in range(300):
        buffer.add(example(person=0, speed=0.0))
        if i % 60 == 30:
            buffer.add(rare.pop()) if rare else None
    kept = people(buffer)
    assert {1, 2, 3, 4} & set(kept) and kept[0] + 4 >= sum(kept.values()) > 20
    for i in range(100):
        buffer.add(example(person=10 + i % 10, speed=1.0))
    kept = people(buffer)
    assert max(kept.values()) <= 3 * min(kept[10 + i] for i in range(10)), "person 0 had 300 tracklets, these 10 each"


def test_the_rare_are_drawn_more_often():
    buffer = Buffer(64.0)
    for _ in range(90):
        buffer.add(example(person=0, speed=0.0))
    for _ in range(3):
        buffer.add(example(person=1, speed=1.0, range_m=12.0))
    rng, drawn = np.random.default_rng(0), Counter()
    for _ in range(400):
        drawn += people(buffer, rng, 1)
    share = 3 / len(buffer)
    assert drawn[1] / 400 > 4 * share


def test_draws_repeat_with_the_generator_and_give_frames_with_points():
    buffer = filled(40)
    first, second = (buffer.draw(16, np.random.default_rng(5)) for _ in range(2))
    assert [one.person for one in first[0]] == [one.person for one in second[0]]
    np.testing.assert_array_equal(first[1], second[1])
    assert set(first[1]) == {0, 1} and len(set(people(buffer))) == 35


def test_learning_waits_for_tracklets_people_movement_and_a_holdout():
    assert filled(80).ready(70) and not filled(80).ready(71)
    assert not filled(80, speed=0.1).ready(10), "nobody moves"
    assert not filled(56).ready(10), "seven are held out"
    few = Buffer(64.0)
    for i in range(80):
        few.add(example(person=i % 3))
    assert not few.ready(10), "three people"


def test_the_untrusted_and_those_never_seen_twice_in_a_row_stay_out():
    buffer = Buffer(64.0)
    buffer.add(example(confidence=0.1))
    once = example()
    once.counts[:] = [300, 0, 0]
    buffer.add(once)
    assert len(buffer) == 0


def test_clear_forgets_everybody():
    buffer = filled(80)
    renewed = buffer.renewed
    buffer.clear()
    assert (len(buffer), len(buffer.held_out), buffer.nbytes) == (0, 0, 0)
    assert buffer.renewed > renewed, "a guard must see that its holdout is gone"
