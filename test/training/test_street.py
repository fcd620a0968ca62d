"""The demo street: truth agrees with the returns, people behave, the same seed makes the same street."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from gckpl_ros.body.body import load_body
from gckpl_ros.errors import InputError
from gckpl_ros.io.messages.pointcloud2 import to_points
from gckpl_ros.io.messages.skeletons import from_skeleton_array
from gckpl_ros.io.messages.tf import TransformBuffer
from gckpl_ros.io.recording.bag import BagReader
from gckpl_ros.skeleton import BACKGROUND, INDEX
from gckpl_training.scene.meshes import Meshes, box, car
from gckpl_training.street import NOBODY, Scan, Street, recording
from gckpl_training.street.people import STEP_S, advance
from gckpl_training.street.street import sensor_pose
from gckpl_training.street.terrain import Ground, tree

SECONDS = 0.5
SKIN = len(load_body().parts)


@pytest.fixture(scope="module")
def street() -> Street:
    return Street(3, "spinner16", SECONDS)


@pytest.fixture(scope="module")
def scans(street: Street) -> Sequence[Scan]:
    return list(street.scans())


@pytest.fixture(scope="module")
def long_street() -> Street:
    return Street(0, "spinner32", 15.0)


def volume(mesh: Meshes) -> float:
    a, b, c = mesh.vertices[0][mesh.faces].unbind(1)
    return float((a * torch.linalg.cross(b, c)).sum() / 6)


def test_keypoints_lie_in_the_boxes_and_boxes_hold_the_returns(scans: Sequence[Scan]):
    for scan in scans:
        for row in range(len(scan.ids)):
            yaw = float(scan.boxes.yaws[row])
            turn = np.array([[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
            half = scan.boxes.sizes[row] / 2
            keypoints = (scan.keypoints[row] - scan.boxes.centers[row]) @ turn
            assert (np.abs(keypoints) <= half).all()
            mine = scan.cloud.points[(scan.person == row) & (scan.part != BACKGROUND)]
            assert (np.abs((mine - scan.boxes.centers[row]) @ turn) <= half + 0.15).all()


def test_counts_are_those_of_the_labelled_points(scans: Sequence[Scan]):
    for scan in scans:
        for row, count in enumerate(scan.points_per_person):
            assert count == np.sum((scan.person == row) & (scan.part != BACKGROUND))
        assert (scan.part[scan.person == NOBODY] == BACKGROUND).all()
        assert scan.points_per_person.sum() > 50


def test_returns_lie_near_the_keypoint_that_names_their_part(scans: Sequence[Scan]):
    scan = scans[0]
    for name in ("head_center", "left_knee", "right_elbow"):
        of_part = (scan.part == INDEX[name]) & (scan.person != NOBODY)
        distance = np.linalg.norm(
            scan.cloud.points[of_part] - scan.keypoints[scan.person[of_part], INDEX[name]], axis=1
        )
        assert len(distance) and (distance < 0.6).all()


def test_static_things_stay_in_the_odom_frame(scans: Sequence[Scan]):
    def walls(scan: Scan) -> np.ndarray:
        points = scan.cloud.points @ scan.T_odom_sensor[:3, :3].T + scan.T_odom_sensor[:3, 3]
        return points[(scan.person == NOBODY) & (points[:, 1] > 8.7) & (points[:, 2] > 2.7)]

    first, last = walls(scans[0]), walls(scans[-1])
    front = np.median(first[np.abs(first[:, 0]) < 6.5][:, 1])
    assert front == pytest.approx(9.5 + 0.6 - 0.5, abs=0.02)
    assert np.median(last[np.abs(last[:, 0]) < 6.5][:, 1]) == pytest.approx(front, abs=0.01)


def test_people_have_their_statures_stand_on_the_ground_and_walk_at_human_speed(long_street: Street):
    lowest = torch.stack([w.meshes.vertices[:, :SKIN, 2].amin(1) for w in long_street.walkers])
    assert lowest.abs().max() < 0.08
    heights = [float(w.meshes.vertices[0, :SKIN, 2].amax()) for w in long_street.walkers]
    assert min(heights) < 1.35 and max(heights) > 1.8
    man = long_street.walkers[0]
    speed = man.velocity.norm(dim=-1)
    assert 1.0 < float(speed.mean()) < 1.8
    moved = (man.keypoints[-1] - man.keypoints[0]).mean(0)
    assert float(moved[0]) < -10


def test_the_jogger_is_hidden_for_about_half_a_second(long_street: Street):
    counts = np.array([scan.points_per_person[3] for scan in map(long_street.scan, range(75, 105))])
    hidden = np.flatnonzero(counts < 8)
    assert 4 <= len(hidden) <= 7 and np.ptp(hidden) == len(hidden) - 1
    assert counts[:3].min() > 30 and counts[-3:].min() > 30


def test_the_pelvis_passes_over_the_standing_foot():
    t = torch.arange(200) * STEP_S
    left = torch.stack([-1.5 * t, torch.zeros_like(t), torch.full_like(t, -0.9)], -1)
    right = torch.stack([1.5 * t, torch.zeros_like(t), torch.full_like(t, -0.7)], -1)
    walked = advance(torch.stack([left, right], 1), torch.ones_like(t), 1.0)
    assert torch.allclose(walked, 1.5 * t, atol=1e-3)
    assert advance(torch.stack([left, right], 1), torch.zeros_like(t), 1.0).abs().max() == 0


def test_ground_height_is_that_of_its_triangles():
    ground = Ground(torch.Generator().manual_seed(0))
    corners = ground.mesh.vertices[0]
    inside = corners[(corners[:, 1].abs() < 10) & (corners[:, 0].abs() < 15)]
    assert torch.allclose(ground.height(inside[:, :2]), inside[:, 2], atol=1e-5)


def test_street_meshes_look_outwards():
    assert volume(box(1.0, 2.0, (1.0, 2.0, 3.0), 30.0)) == pytest.approx(6.0, rel=1e-3)
    assert 4 < volume(car(0.0, 0.0)) < 4.3 * 1.8 * 1.45
    assert volume(tree(0.0, 0.0, torch.Generator().manual_seed(0))) > 5


def test_the_robot_drives_a_metre_a_second_level():
    first, later = sensor_pose(0.0, 1.8), sensor_pose(2.0, 1.8)
    assert np.allclose(later[:3, :3] @ later[:3, :3].T, np.eye(3))
    assert later[0, 3] - first[0, 3] == pytest.approx(2.0)
    assert np.allclose(later[2], [0, 0, 1, 1.8])


def test_same_seed_same_scans(street: Street, scans: Sequence[Scan]):
    again = next(iter(Street(3, "spinner16", SECONDS).scans()))
    assert np.array_equal(again.cloud.points, scans[0].cloud.points)
    assert np.array_equal(next(iter(street.scans())).cloud.points, scans[0].cloud.points)


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), 1e6])
def test_a_bad_length_is_refused(seconds: float):
    with pytest.raises(InputError, match=r"--seconds .* at most 120 s"):
        Street(0, "spinner16", seconds)


def test_a_negative_seed_is_refused():
    with pytest.raises(InputError, match="seed"):
        Street(-1, "spinner16", 1.0)


def test_recording_holds_cloud_truth_transforms_and_detections(tmp_path: Path, scans: Sequence[Scan]):
    out = tmp_path / "street.mcap"
    recording.write_street(out, "spinner16", SECONDS, 3, detections=True)
    transforms, clouds, truths, detections = TransformBuffer(), [], [], []
    with BagReader(out) as bag:
        for record in bag.records(bag.topics):
            message = bag.decode(record)
            if record.topic.startswith("/tf"):
                transforms.add(message, static=record.topic == "/tf_static")
            elif record.topic == recording.CLOUD:
                clouds.append(message)
            elif record.topic == recording.TRUTH:
                truths.append(from_skeleton_array(message))
            else:
                detections.append(message)
    assert len(clouds) == len(truths) == len(detections) == len(scans)
    assert np.array_equal(to_points(clouds[2])[0], scans[2].cloud.points)
    assert np.allclose(truths[2].tracks.skeletons.keypoints, scans[2].keypoints)
    T = transforms.lookup("odom", "lidar", scans[2].cloud.stamp_ns)
    assert np.allclose(T, scans[2].T_odom_sensor, atol=1e-6)
    assert 1 <= len(detections[0].detections) <= np.sum(scans[0].points_per_person >= recording.MIN_POINTS)


def test_visibility_of_truth_is_whether_a_return_lies_on_the_part(scans: Sequence[Scan]):
    seen = recording.truth(scans[0]).tracks.skeletons.visibility
    for row in range(len(seen)):
        parts = set(scans[0].part[scans[0].person == row].tolist()) - {BACKGROUND}
        assert set(np.flatnonzero(seen[row]).tolist()) == parts


def test_recordings_of_one_seed_are_the_same_bytes(tmp_path: Path):
    for name in ("a", "b"):
        recording.write_street(tmp_path / name / "street.mcap", "spinner16", 0.2, 7)
    assert (tmp_path / "a" / "street.mcap").read_bytes() == (tmp_path / "b" / "street.mcap").read_bytes()
