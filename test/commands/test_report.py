"""What the report says of a replayed recording, without simulation and network: both are tested where they are."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gckpl_ros.adapt import NoAdapter
from gckpl_ros.commands.report import MOST_SCENES, TRUTH, Scenes, report, summarise
from gckpl_ros.io.messages.skeletons import to_header, to_skeleton_array
from gckpl_ros.io.recording.bag import BagWriter
from gckpl_ros.io.recording.summary import Summary
from gckpl_ros.types import Boxes, Cloud, Frame, Sample, Skeletons, Tracks, TrackState
from gckpl_ros.view.scene import Scene

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


def kept(scenes: list[Scene], source: Path) -> Scenes:
    """What is kept of a replay."""
    sink = Scenes(source)
    for scene in scenes:
        sink.write(Sample(scene.cloud), scene.frame)
    return sink


def replayed(people: int = 3) -> Summary:
    return Summary(
        source="street.mcap",
        out="skeletons.mcap",
        topic="/lidar/points",
        clouds=3,
        frames=3,
        people=people,
        ids=1,
        skipped={},
        dropped={},
        mended={},
        examples={},
        stages_ms={},
        adaptation=NoAdapter().status,
    )


def test_scenes_get_the_truth_of_their_stamp_and_the_sensors_place(scenes: list[Scene], street: Path) -> None:
    sink = kept(scenes, street)
    assert [scene.truth is not None for scene in sink.scenes] == [True, True, False]
    np.testing.assert_allclose(sink.scenes[1].truth, frame(1).tracks.skeletons.keypoints, atol=1e-6)
    np.testing.assert_allclose(sink.scenes[1].T_fixed_cloud[:3, 3], (SPEED, 0, 1.8))
    assert sink.scenes[2].T_fixed_cloud is None, "the recording does not know where the sensor was then"
    assert [truth.counts.tolist() for truth in sink.true] == [[20], [20]]


def test_report_says_what_was_measured(scenes: list[Scene], street: Path) -> None:
    sink = kept(scenes, street)
    summary = summarise(replayed(), sink.evaluation(), sink.scenes, "title", "lead")
    figures = {figure.label: figure.value for figure in summary.figures}
    assert figures["MPJPE"] == "4.0 cm"
    assert figures["PCK at 10 cm"] == "100 %"
    assert figures["Detection recall"] == figures["Detection precision"] == "100 %"
    assert figures["Id switches"] == "0"
    assert figures["Frames per second"] == "20.0"
    assert summary.charts["Error by keypoint, cm"]["nose"] == pytest.approx(4.0, abs=1e-4)
    assert any(command.startswith("gckpl replay") for _, command in summary.commands)
    assert any(command.startswith("gckpl evaluate") for _, command in summary.commands)


def test_report_without_anybody_found_still_speaks(scenes: list[Scene], street: Path) -> None:
    nobody = [replace(scene, frame=replace(scene.frame, tracks=Tracks.empty())) for scene in scenes]
    sink = kept(nobody, street)
    summary = summarise(replayed(0), sink.evaluation(), nobody, "title", "lead")
    assert {figure.label: figure.value for figure in summary.figures}["Detection recall"] == "0 %"
    assert summary.charts == {}


def test_report_of_a_recording_without_truth_has_no_accuracy(scenes: list[Scene], tmp_path: Path) -> None:
    with BagWriter(tmp_path / "real.mcap", {"/tf": "tf2_msgs/msg/TFMessage"}) as writer:
        writer.write("/tf", 0, writer.types["tf2_msgs/msg/TFMessage"](transforms=[]))
    sink = kept(scenes, tmp_path / "real.mcap")
    assert sink.evaluation() is None
    summary = summarise(replayed(), None, sink.scenes, "title", "lead")
    labels = [figure.label for figure in summary.figures]
    assert labels == ["Frames", "Frames per second", "People per frame", "Different ids"]
    assert summary.charts == {} and not any("evaluate" in command for _, command in summary.commands)
    page = report(tmp_path / "report", sink, replayed())
    assert "People in street.mcap" in page.read_text() and page.with_name("animation.webp").exists()


def test_the_pictures_of_a_long_recording_are_thinned(scenes: list[Scene], street: Path) -> None:
    long = [replace(scenes[0], cloud=replace(scenes[0].cloud, stamp_ns=i)) for i in range(2 * MOST_SCENES)]
    sink = kept(long, street)
    assert [scene.cloud.stamp_ns for scene in sink.scenes] == list(range(0, 2 * MOST_SCENES, 2))
    assert len(sink.found) == 2 * MOST_SCENES
