import json
from pathlib import Path

import numpy as np
import pytest

from gckpl_ros.errors import InputError
from gckpl_ros.types import Boxes, Cloud
from gckpl_training.bench import detect
from gckpl_training.bench.labelled import LabelledFrame, independent_streets, real_frames

NOTHING = Cloud(np.zeros((0, 3), np.float32), 0, "lidar")


def person(x: float, y: float) -> list[float]:
    return [x, y, 0.9, 0.6, 0.6, 1.8, 0.0]


def found(*rows: tuple[float, float, float]) -> Boxes:
    x, y, scores = np.array(rows, np.float32).reshape(-1, 3).T
    sizes = np.ones((len(x), 3), np.float32)
    return Boxes(np.stack([x, y, np.zeros_like(x)], 1), sizes, np.zeros_like(x), scores)


@pytest.fixture
def frame() -> LabelledFrame:
    boxes = np.array([person(5, 0), person(5.6, 0), person(10, 0), person(8, 5), person(30, 0)])
    counts = np.array([50, 50, 10, 3, 40])
    others = np.array([person(0, 8)])
    return LabelledFrame(NOTHING, boxes, counts, ("standing",) * 4 + ("lying",), others, lambda at: at[0] > -5)


def test_detections_take_the_nearest_person_that_is_left_the_surest_first(frame: LabelledFrame) -> None:
    scores, outcome = detect.match_frame(frame, found((5.15, 0, 0.5), (5.2, 0, 0.9), (5.0, 0.1, 0.3), (9.6, 0, 0.8)))
    assert outcome.tolist() == [1, 0, detect.NOBODY, 2]
    np.testing.assert_allclose(scores, [0.9, 0.5, 0.8, 0, 0], atol=1e-6)


def test_what_is_not_asked_for_counts_neither_way(frame: LabelledFrame) -> None:
    rows = (8.2, 5.0, 0.9), (30, 0.2, 0.9), (0.5, 8, 0.9), (-9, 0, 0.9), (0, -8, 0.9)
    _, outcome = detect.match_frame(frame, found(*rows))
    assert outcome.tolist() == [detect.NEITHER] * 4 + [detect.NOBODY]


def test_figures_by_hand(frame: LabelledFrame) -> None:
    runs = [found((5, 0, 0.9), (3, -8, 0.8), (10, 0, 0.85)), found((5, 0, 0.7), (5.6, 0, 0.6))]
    both = detect.match([frame, frame], runs)
    assert detect.summary(both) == {
        "frames": 2,
        "people": 4,
        "recall_%": 75.0,
        "recall_8_to_20_%": 50.0,
        "invented": 1,
        "precision_%": 80.0,
        # of the four asked for: found at .9 (precision 1), .7 (2/3, later 3/4), .6 (3/4)
    }
    assert detect.average_precision(both) == pytest.approx((1 + 0.75 + 0.75) / 4)
    assert detect.curve(both)[0] == {"score": 0.9, "recall": 0.25, "precision": 1.0}
    assert detect.curve(both)[-1] == {"score": 0.6, "recall": 0.75, "precision": 0.75}
    rows = {row["part"]: row for row in detect.breakdown(both)}
    assert rows["range 5 to 10 m"] == {"part": "range 5 to 10 m", "people": 4, "recall_%": 75.0}
    assert rows["returns 8 to 20"]["people"] == 2 and "lying" not in rows
    wrong = detect.mistakes([frame, frame], both)
    assert [(one.frame, one.title.split(":")[0]) for one in wrong] == [(0, "missed"), (0, "invented")]
    np.testing.assert_allclose(wrong[0].at, [5.6, 0, 0.9])


def test_a_page_shows_every_mistake(frame: LabelledFrame, tmp_path: Path) -> None:
    both = detect.match([frame], [found((3, -8, 0.8))])
    detect.mistakes_page(tmp_path / "pages" / "one.png", [frame], detect.mistakes([frame], both), "one")
    assert (tmp_path / "pages" / "one.png").stat().st_size > 1000


def test_labels_of_kitti_and_sustech_become_boxes_of_the_cloud(tmp_path: Path) -> None:
    frames = tmp_path / "real_lidar" / "frames"
    frames.mkdir(parents=True)
    points = np.array([[10, -1, z, 0] for z in (-1.65, -1, -0.5, 0)] + [[-10, 0, 0, 0]], np.float32)
    (frames / "kitti_000007.bin").write_bytes(points.tobytes())
    calibration = {
        "P2": "700 0 600 0 0 700 180 0 0 0 1 0",
        "R0_rect": "1 0 0 0 1 0 0 0 1",
        "Tr_velo_to_cam": "0 -1 0 0 0 0 -1 0 1 0 0 0",
    }
    text = "\n".join(f"{name}: {values}" for name, values in calibration.items())
    (frames / "kitti_000007_calib.txt").write_text(text)
    # Type, 3 + 4 unused, height width length, bottom middle right-down-forward of the camera, turn about down
    (frames / "kitti_000007_label.txt").write_text("Pedestrian 0 0 0 0 0 0 0 1.8 0.6 0.8 1.0 1.7 10.0 -1.5707963\n")
    head = "VERSION 0.7\nFIELDS x y z _ i\nSIZE 4 4 4 1 4\nTYPE F F F U F\nCOUNT 1 1 1 3 1\nPOINTS 2\nDATA binary\n"
    cloud = b"".join(np.array([x, 2, 0], np.float32).tobytes() + bytes(7) for x in (3, 4))
    (frames / "sustech_000001.pcd").write_bytes(head.encode() + cloud)
    place = {"position": {"x": 3, "y": 2, "z": 0}, "scale": {"x": 1, "y": 0.6, "z": 1.7}, "rotation": {"z": 0.3}}
    people = [{"psr": place, "obj_type": "Pedestrian"}, {"psr": place, "obj_type": "Rider"}]
    (frames / "sustech_000001.json").write_text(json.dumps(people))

    kitti, sustech = real_frames(tmp_path / "real_lidar")
    np.testing.assert_allclose(kitti.boxes, [[10, -1, -0.8, 0.8, 0.6, 1.8, 0]], atol=1e-5)
    assert kitti.counts.tolist() == [3]  # the lowest return is the ground's
    assert not kitti.neither(np.array([10.0, 2, 0])) and kitti.neither(np.array([-10.0, 2, 0]))
    np.testing.assert_allclose(sustech.cloud.points, [[3, 2, 0], [4, 2, 0]])
    np.testing.assert_allclose(sustech.boxes, [[3, 2, 0, 1, 0.6, 1.7, 0.3]], atol=1e-6)
    assert sustech.neither(np.array([3.2, 2, 0])) and not sustech.neither(np.array([8.0, 2, 0]))


def test_a_folder_without_frames_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no street"):
        independent_streets(tmp_path)
    with pytest.raises(InputError, match="no labelled frame"):
        list(real_frames(tmp_path))
