"""`gckpl evaluate` on recordings made here: a person whose every keypoint is 6 cm too high, and what can go wrong."""

import json
import sys

import numpy as np
import pytest
from matplotlib.image import imread

from gckpl_ros import cli
from gckpl_ros.commands.evaluate import main, measure, write
from gckpl_ros.errors import InputError
from gckpl_ros.evaluate.plots import plots
from gckpl_ros.io.messages.pointcloud2 import from_points
from gckpl_ros.io.messages.skeletons import to_header, to_skeleton_array
from gckpl_ros.io.recording.bag import BagWriter
from gckpl_ros.types import Boxes, Frame, Skeletons, Tracks

SKELETONS, CLOUD = "gckpl_ros/msg/SkeletonArray", "sensor_msgs/msg/PointCloud2"
CENTERS = np.float32([(6, 1, 0), (12, -3, 0)])
YAWS = np.float32([0.0, np.pi / 2])
POINTS = (50, 5)  # in the boxes of the two people
STAMPS = [10**9 + 10**8 * i for i in range(3)]


def _frame(stamp, height=0.0, people=2):
    body = np.random.default_rng(1).uniform(-1, 1, (14, 3)) * (0.2, 0.2, 0.8)
    keypoints = (CENTERS[:, None] + body + (0, 0, height)).astype(np.float32)[:people]
    certain = np.ones((people, 14), np.float32)
    sizes = np.tile(np.float32((1.2, 0.6, 1.8)), (people, 1))
    boxes = Boxes(CENTERS[:people], sizes, YAWS[:people], np.ones(people, np.float32))
    ids, states = np.arange(people, dtype=np.int64), np.ones(people, np.int64)
    velocities = np.zeros((people, 3), np.float32)
    return Frame(stamp, "lidar", Tracks(ids, states, boxes, Skeletons(keypoints, certain, certain), velocities))


def _cloud(stamp, types):
    rng = np.random.default_rng(2)
    near = rng.uniform(-1, 1, (POINTS[0], 3)) * (0.59, 0.29, 0.89) + CENTERS[0]
    far = rng.uniform(-1, 1, (POINTS[1], 3)) * (0.29, 0.59, 0.89) + CENTERS[1]  # turned by 90 degrees
    beside = CENTERS[1] + [(0.4, 0, 0), (0, 0.7, 0), (0, 0, 1.0)]
    points = np.concatenate((near, far, beside)).astype(np.float32)
    return from_points(points, to_header(stamp, "lidar", types), types)


def _record(path, with_cloud=True, **topics):
    kinds = {f"/{name}/skeletons": SKELETONS for name in topics} | ({"/lidar/points": CLOUD} if with_cloud else {})
    with BagWriter(path, kinds) as writer:
        for name, frames in topics.items():
            for frame in frames:
                writer.write(f"/{name}/skeletons", frame.stamp_ns, to_skeleton_array(frame, writer.types))
        for stamp in STAMPS if with_cloud else ():
            writer.write("/lidar/points", stamp, _cloud(stamp, writer.types))
    return path


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    predicted = [_frame(stamp, height=0.06) for stamp in STAMPS]
    path = tmp_path_factory.mktemp("recording") / "both.mcap"
    return _record(path, gckpl=predicted, truth=[_frame(stamp) for stamp in STAMPS])


def test_command_line_prints_and_writes(recording, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "report"
    arguments = [str(recording), "--truth", "/truth/skeletons", "--min-points", "1", "--out", str(folder)]
    monkeypatch.setattr(sys, "argv", ["gckpl", "evaluate", *arguments])
    cli.main()
    shown = capsys.readouterr().out
    assert "MPJPE" in shown and "6.0" in shown and "id switches" in shown
    names = {"error_by_joint", "error_by_points", "error_by_range", "pck_curve", "reliability"}
    assert {path.name for path in folder.iterdir()} == {f"{n}.png" for n in names} | {"evaluation.json"}
    for name in names:
        picture = imread(folder / f"{name}.png")[..., :3]
        assert picture.shape[1] > 800 and 0.01 < (picture < 0.9).mean() < 0.9  # neither blank nor all ink
    figures = json.loads((folder / "evaluation.json").read_text())
    assert figures == measure(recording, min_points=1).figures


def test_figures_of_one_recording(recording):
    figures = measure(recording, min_points=1).figures
    assert figures["frames"]["compared"] == 3 and figures["people"]["found"] == 6
    assert figures["keypoints"]["mpjpe"] == pytest.approx(0.06, rel=1e-4)
    points = {name: row["people"] for name, row in figures["keypoints"]["by_points"].items()}
    assert points == {"<8": 3, "30-60": 3}
    assert figures["calibration"]["ece"] == 0.0


def test_people_with_few_returns_need_not_be_found(recording):
    assert measure(recording, min_points=8).figures["people"]["true"] == 3


def test_truth_from_another_recording_without_clouds(tmp_path):
    predicted = _record(tmp_path / "out.mcap", with_cloud=False, gckpl=[_frame(stamp, people=1) for stamp in STAMPS])
    truth = _record(tmp_path / "in.mcap", with_cloud=False, truth=[_frame(stamp) for stamp in STAMPS])
    report = measure(predicted, truth_bag=truth)
    assert report.figures["people"]["recall"] == 0.5 and report.figures["keypoints"]["by_points"] == {}
    assert set(plots(report)) == {"error_by_joint", "error_by_range", "pck_curve", "reliability"}


def test_nobody_found_is_shown_without_keypoints(tmp_path, capsys):
    nobody = [_frame(stamp, people=0) for stamp in STAMPS]
    path = _record(tmp_path / "nobody.mcap", gckpl=nobody, truth=[_frame(stamp) for stamp in STAMPS])
    main(path)
    shown = capsys.readouterr().out
    assert "0.0 %" in shown and "MPJPE" not in shown
    assert plots(measure(path)) == {}


def test_unknown_topic_lists_what_there_is(recording, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["gckpl", "evaluate", str(recording), "--truth", "/nothing"])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    told = capsys.readouterr().err
    assert stop.value.code == 2 and "/nothing is not in it" in told and "/gckpl/skeletons" in told


def test_topic_of_another_type(recording):
    with pytest.raises(InputError, match="/lidar/points is a sensor_msgs/msg/PointCloud2"):
        measure(recording, predictions="/lidar/points")


def test_no_overlap_of_stamps(tmp_path):
    late = [_frame(stamp + 10**12) for stamp in STAMPS]
    path = _record(tmp_path / "apart.mcap", gckpl=late, truth=[_frame(stamp) for stamp in STAMPS])
    with pytest.raises(InputError, match="no stamp of the predictions"):
        measure(path)


def test_empty_truth(tmp_path):
    frames = {"gckpl": [_frame(stamp) for stamp in STAMPS], "truth": [_frame(stamp, people=0) for stamp in STAMPS]}
    with pytest.raises(InputError, match="the truth holds nobody"):
        measure(_record(tmp_path / "empty.mcap", **frames))


def test_output_that_cannot_be_written(recording, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="name another folder with --out"):
        write(measure(recording), tmp_path / "file")
