"""Values: immutable, chosen by rows, and refused when a shape or dtype is wrong (checked in tests only)."""

from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from jaxtyping import TypeCheckError

from gckpl_ros.types import Boxes, Cloud, Frame, Skeletons, Tracks, TrackState


def boxes(count: int) -> Boxes:
    rows = np.arange(count, dtype=np.float32)
    return Boxes(np.stack([rows, rows, rows], 1), np.ones((count, 3), np.float32), rows / 10, rows / 100)


def test_length_is_the_number_of_points_and_of_people() -> None:
    assert len(Cloud(np.zeros((5, 3), np.float32), 7, "lidar")) == 5
    assert len(boxes(3)) == 3
    assert len(Boxes.empty()) == len(Skeletons.empty()) == len(Tracks.empty()) == 0


@pytest.mark.parametrize("index", [np.array([2, 0]), [2, 0], np.array([True, False, True]), slice(0, 3, 2)])
def test_boxes_are_chosen_by_row(index: "np.ndarray | list[int] | slice") -> None:
    chosen = boxes(3)[index]
    rows = sorted(chosen.centers[:, 0].tolist())
    assert rows == [0.0, 2.0]
    np.testing.assert_allclose(chosen.yaws, chosen.centers[:, 0] / 10)
    np.testing.assert_allclose(chosen.scores, chosen.centers[:, 0] / 100)


def test_skeletons_are_chosen_by_row_in_all_fields() -> None:
    person = np.arange(4, dtype=np.float32)
    keypoints = np.broadcast_to(person[:, None, None], (4, 14, 3)).copy()
    confidence = np.broadcast_to(person[:, None] / 4, (4, 14)).copy()
    chosen = Skeletons(keypoints, confidence, 1 - confidence)[np.array([3, 1])]
    assert chosen.keypoints[:, 0, 0].tolist() == [3, 1]
    assert chosen.confidence[:, 5].tolist() == [0.75, 0.25]
    assert chosen.visibility[:, 13].tolist() == [0.25, 0.75]


def test_nobody_keeps_the_shapes() -> None:
    assert Skeletons.empty().keypoints.shape == (0, 14, 3)
    assert Tracks.empty().velocities.shape == (0, 3)
    assert Boxes.empty()[np.zeros(0, int)].sizes.shape == (0, 3)


def test_values_cannot_be_changed() -> None:
    cloud = Cloud(np.zeros((1, 3), np.float32), 0, "lidar")
    with pytest.raises(FrozenInstanceError):
        cloud.stamp_ns = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    "points", [np.zeros((4, 2), np.float32), np.zeros((4, 3), np.float64), np.zeros(3, np.float32)]
)
def test_wrong_shape_or_dtype_is_refused(points: np.ndarray) -> None:
    with pytest.raises(TypeCheckError):
        Cloud(points, 0, "lidar")


def test_rows_must_belong_together() -> None:
    with pytest.raises(TypeCheckError):
        Boxes(
            np.zeros((2, 3), np.float32), np.zeros((3, 3), np.float32), np.zeros(2, np.float32), np.zeros(2, np.float32)
        )


def test_frames_share_no_state() -> None:
    first, second = (Frame(0, "lidar", Tracks.empty()) for _ in range(2))
    assert first.timings_ms is not second.timings_ms
    assert first.dropped == {}


def test_track_states_are_those_of_the_message() -> None:
    assert [state.value for state in (TrackState.NEW, TrackState.TRACKED, TrackState.LOST)] == [0, 1, 2]
