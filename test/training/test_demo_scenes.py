"""What the demo makes of a recording with truth, without simulation and network: both are tested where they are."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gckpl_ros.adapt import NoAdapter
from gckpl_ros.evaluate.matching import People
from gckpl_ros.evaluate.report import evaluate
from gckpl_ros.io.messages.skeletons import to_header, to_skeleton_array
from gckpl_ros.io.recording.bag import BagWriter
from gckpl_ros.io.recording.summary import Summary
from gckpl_ros.types import Boxes, Cloud, Frame, Skeletons, Tracks, TrackState
from gckpl_ros.view.scene import Scene
from gckpl_training.street.report import TRUTH, summarise, with_truth

SPEED = 0.5  # metres by which the sensor advances per frame


def frame(index: int, error_m: float = 0.0) -> Frame:
    """One person of 14 keypoints in a column at x = 5 m, upright box around it."""
    keypoints = np.zeros((1, 14, 3), np.float32)
    keypoints[0] += np.stack([np.full(14, 5.0), np.full(14, error_m), np.linspace(0.1, 1.7, 14)], 1)
    box = Boxes(*(np.array(v, np.float32) for v in ([[5, 0, 0.9]], [[0.6, 0.6, 1.8]], [0], [1])))
    sure = np.full((1, 14), 0.9, np.float32)
    state = np.array([TrackState.TRACKED], np.int64)
    tracks = Tracks(np.array([7]), state, box, Skeletons(keypoints, sure, sure), np.zeros((1, 3), np.float32))
    return Frame(index * 100_000_000, "lidar", tracks, None, {"detect": 20.0, "estimate": 30.0})


@pytest.fixture
def scenes() -> list[Scene]:
    """Three frames 4 cm beside the truth; 20 returns on the person, 30 elsewhere."""
    points = np.zeros((50, 3), np.float32)
    points[:20] = (5, 0, 1)
    points[20:] = (-9, 3, 0)
    return [Scene(Cloud(points, i * 100_000_000, "lidar"), frame(i, 0.04)) for i in range(3)]


@pytest.fixture
def street(tmp_path: Path) -> Path:
    """A recording with the truth of the first two frames and the way of the sensor along x."""
    path = tmp_path / "street.mcap"
    with BagWriter(path, {TRUTH: "gckpl_ros/msg/SkeletonArray", "/tf": "tf2_msgs/msg/TFMessage"}) as writer:
        types = writer.types
        for i in range(2):
            stamp_ns = i * 100_000_000
            transform = types["geometry_msgs/msg/Transform"](
                translation=types["geometry_msgs/msg/Vector3"](x=SPEED * i, y=0.0, z=1.8),
                rotation=types["geometry_msgs/msg/Quaternion"](x=0.0, y=0.0, z=0.0, w=1.0),
            )
            stamped = types["geometry_msgs/msg/TransformStamped"](
                header=to_header(stamp_ns, "odom", types), child_frame_id="lidar", transform=transform
            )
            writer.write("/tf", stamp_ns, types["tf2_msgs/msg/TFMessage"](transforms=[stamped]))
            writer.write(TRUTH, stamp_ns, to_skeleton_array(frame(i), types))
    return path


def test_scenes_get_the_truth_of_their_stamp_and_the_sensors_place(scenes: list[Scene], street: Path) -> None:
    told, truths = with_truth(scenes, street)
    assert [scene.truth is not None for scene in told] == [True, True, False]
    np.testing.assert_allclose(told[1].truth, frame(1).tracks.skeletons.keypoints, atol=1e-6)
    np.testing.assert_allclose(told[1].T_fixed_cloud[:3, 3], (SPEED, 0, 1.8))
    assert [truth.counts.tolist() for truth in truths] == [[20], [20]]


def test_report_says_what_was_measured(scenes: list[Scene], street: Path) -> None:
    told, truths = with_truth(scenes, street)
    report = evaluate([People.of(scene.frame) for scene in told], truths)
    replayed = Summary("street.mcap", "skeletons.mcap", "/lidar/points", 3, 3, 3, 1, {}, {}, {}, NoAdapter().status)
    summary = summarise(replayed, report, told, street, street.with_name("skeletons.mcap"))
    figures = {figure.label: figure.value for figure in summary.figures}
    assert figures["MPJPE"] == "4.0 cm"
    assert figures["PCK at 10 cm"] == "100 %"
    assert figures["Detection recall"] == figures["Detection precision"] == "100 %"
    assert figures["Id switches"] == "0"
    assert figures["Frames per second"] == "20.0"
    assert summary.charts["Error by keypoint, cm"]["nose"] == pytest.approx(4.0, abs=1e-4)
    assert any(command.startswith("gckpl replay") for _, command in summary.commands)


def test_report_without_anybody_found_still_speaks(scenes: list[Scene], street: Path) -> None:
    told, truths = with_truth(scenes, street)
    nobody = [replace(scene, frame=replace(scene.frame, tracks=Tracks.empty())) for scene in told]
    report = evaluate([People.of(scene.frame) for scene in nobody], truths)
    summary = summarise(
        Summary("a", "b", "/c", 3, 3, 0, 0, {}, {}, {}, NoAdapter().status), report, nobody, street, street
    )
    assert {figure.label: figure.value for figure in summary.figures}["Detection recall"] == "0 %"
    assert summary.charts == {}
