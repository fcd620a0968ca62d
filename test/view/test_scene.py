from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gckpl_ros.view.scene import Scene, extent, heading_deg, trails


def test_points_belong_to_the_person_whose_box_holds_them(street: list[Scene]) -> None:
    owners = street[0].owners
    assert (owners[2000:2060] == 0).mean() > 0.9
    assert (owners[2060:] == 1).mean() > 0.9
    assert (owners[:2000] == -1).all()


def test_ground_is_under_the_people_or_under_the_points(street: list[Scene], nobody: Scene) -> None:
    assert street[0].ground == pytest.approx(0, abs=1e-6)
    assert nobody.ground == pytest.approx(0, abs=1e-6)


def test_truth_is_the_nearest_within_a_metre(street: list[Scene]) -> None:
    truth = street[0].truth_of(1)
    assert truth is not None and truth[:, 0].mean() == pytest.approx(9, abs=0.1)
    assert street[0].truth is not None
    assert replace(street[0], truth=street[0].truth[:1]).truth_of(1) is None
    assert replace(street[0], truth=None).truth_of(1) is None


@given(st.floats(-179, 179))
def test_heading_follows_the_person(yaw_deg: float) -> None:
    keypoints = np.zeros((14, 3), np.float32)
    left = np.array([-np.sin(np.radians(yaw_deg)), np.cos(np.radians(yaw_deg)), 0], np.float32)
    keypoints[[1, 4]], keypoints[[7, 10]] = left, -left
    assert heading_deg(keypoints) == pytest.approx(yaw_deg, abs=1e-3)


def test_trails_undo_the_motion_of_the_sensor(street: list[Scene]) -> None:
    """The sensor follows the walker: in the cloud both stay apart as they are, on the ground one walks, one stands."""
    for index, (ahead, steps) in enumerate([(0.0, 0.4), (0.1, 0.8)]):
        poses = [np.eye(4) for _ in street]
        for i, pose in enumerate(poses):
            pose[0, 3] = ahead * i
        moved = [replace(scene, T_fixed_cloud=pose) for scene, pose in zip(street, poses, strict=True)]
        walked = trails(moved, 4)[1]
        assert walked[-1, 0] - walked[0, 0] == pytest.approx(steps, abs=1e-5), index
        np.testing.assert_allclose(walked[-1], (6.4, 2, 0), atol=1e-5)


def test_trails_forget_what_is_long_past_and_need_poses(street: list[Scene]) -> None:
    assert len(trails(street, 4, length_s=0.2)[1]) == 3
    assert trails([replace(scene, T_fixed_cloud=None) for scene in street], 4) == {}


def test_extent_holds_all_boxes(street: list[Scene], nobody: Scene) -> None:
    points = extent(street)
    np.testing.assert_allclose(points.min(0), (5.7, -2.4, 0), atol=1e-5)
    np.testing.assert_allclose(points.max(0), (9.3, 2.4, 1.8), atol=1e-5)
    assert np.ptp(extent([nobody])[:, 0]) == 20
