"""Frames brought together by stamp, and what is said when they cannot be."""

import numpy as np
import pytest

from gckpl_ros.errors import InputError
from gckpl_ros.evaluate.matching import People, pair_frames
from gckpl_ros.types import Boxes, Frame, Skeletons, Tracks, TrackState


def _frames(*stamps_ns, frame_id="lidar"):
    return [
        People(
            s,
            frame_id,
            np.zeros(0, np.int64),
            np.zeros((0, 14, 3), np.float32),
            np.zeros((0, 14), np.float32),
            Boxes.empty(),
        )
        for s in stamps_ns
    ]


def _paired(*arguments):
    return [(prediction.stamp_ns, truth.stamp_ns) for prediction, truth in pair_frames(*arguments)]


def test_equal_stamps_in_time_order():
    assert _paired(_frames(300, 100, 200), _frames(200, 400, 300)) == [(200, 200), (300, 300)]


def test_nearest_within_the_tolerance_and_none_twice():
    # 104 and 109 both are nearest to 105: the nearer one has it, the other stays alone.
    assert _paired(_frames(105, 220), _frames(109, 104, 212), 10) == [(105, 104), (220, 212)]
    assert _paired(_frames(105, 220), _frames(109, 104, 209), 10) == [(105, 104)]


def test_no_overlap_says_both_spans():
    with pytest.raises(InputError, match=r"2 frames, 1\.000 s to 2\.000 s.*1 frames, 9\.000 s.*larger tolerance"):
        pair_frames(_frames(10**9, 2 * 10**9), _frames(9 * 10**9))


@pytest.mark.parametrize(("sides", "name"), [(((), (1,)), "predictions"), (((1,), ()), "truth")])
def test_an_empty_side_is_named(sides, name):
    with pytest.raises(InputError, match=f"there are no {name}"):
        pair_frames(*(_frames(*stamps) for stamps in sides))


def test_different_frames_are_refused():
    with pytest.raises(InputError, match="frame 'map' but truth is in frame 'lidar'"):
        pair_frames(_frames(1, frame_id="map"), _frames(1))


def test_lost_people_are_left_out():
    states = np.array([TrackState.NEW, TrackState.LOST, TrackState.TRACKED], np.int64)
    keypoints = np.arange(3 * 14 * 3, dtype=np.float32).reshape(3, 14, 3)
    flat = np.ones((3, 14), np.float32)
    three = np.arange(9, dtype=np.float32).reshape(3, 3)
    boxes = Boxes(three, three + 1, three[0], three[0])
    tracks = Tracks(np.array([7, 8, 9]), states, boxes, Skeletons(keypoints, flat, flat), three)
    people = People.of(Frame(5, "lidar", tracks), np.array([10, 20, 30]))
    assert (people.stamp_ns, people.frame_id, len(people)) == (5, "lidar", 2)
    assert people.ids.tolist() == [7, 9] and people.counts.tolist() == [10, 30]
    np.testing.assert_array_equal(people.keypoints, keypoints[[0, 2]])
    np.testing.assert_array_equal(people.boxes.centers, three[[0, 2]])
