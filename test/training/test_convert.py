"""Converters on small sets in their true layouts, written here by the sets' documentation, not by the readers' code.

Where somebody's points lie is known: the same few, around the box's centre, in the box's own axes.
"""

import json
import math
import multiprocessing
import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import feather, parquet

from gckpl_ros.body.kinematics import PARENTS
from gckpl_ros.errors import InputError
from gckpl_ros.skeleton import INDEX, NUM_KEYPOINTS
from gckpl_training.data.convert import LabelledCloud, convert, inside, sequences
from gckpl_training.data.sequences import Sequences, open_shard
from gckpl_training.data.streets import AV2_PEOPLE, av2_boxes, kitti_boxes, kitti_points, nuscenes_points

REAL = next((at for up in (3, 4) if (at := Path(__file__).parents[up] / "shared/data").exists()), Path("shared/data"))
real = pytest.mark.skipif(not (REAL / "real_lidar").exists(), reason="real frames are not at hand")

BODY = np.array([[0.1, 0.2, 0.5], [-0.1, -0.2, 0.8], [0.2, 0.0, -0.7], [0.0, 0.1, 0.0]])
SIZE = np.array([0.8, 0.6, 1.8])
ELSEWHERE = np.array([[20.0, 3, 0], [-5, 9, 1]])


def turn(yaw: float) -> np.ndarray:
    c, s = math.cos(yaw), math.sin(yaw)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])


def pose(yaw: float, x: float, y: float, z: float) -> np.ndarray:
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = turn(yaw), (x, y, z)
    return T


def wxyz(yaw: float) -> list[float]:
    return [math.cos(yaw / 2), 0.0, 0.0, math.sin(yaw / 2)]


def check(people: Sequences, T_world: list[np.ndarray], at: list[np.ndarray], yaws: list[float]) -> None:
    """One sequence of somebody at these places in the sensor's frames, seen with BODY."""
    assert people["frame_start"].tolist() == [0, len(at)]
    for frame, (T, place, yaw) in enumerate(zip(T_world, at, yaws, strict=True)):
        points = people.metres("points", slice(*people["point_start"][frame : frame + 2]))
        np.testing.assert_allclose(points, BODY @ turn(yaw).T @ T[:3, :3].T, atol=1e-3)
        world = T[:3, :3] @ place + T[:3, 3]
        np.testing.assert_allclose(people["places"][0] + people["origins"][frame], world, atol=1e-3)
        np.testing.assert_allclose(people["boxes"][frame, 3:6], SIZE, atol=1e-6)
        facing = turn(yaw + math.atan2(T[1, 0], T[0, 0]))[:, 0]
        heading = people["boxes"][frame, 6]
        np.testing.assert_allclose([math.cos(heading), math.sin(heading)], facing[:2], atol=5e-4)
        np.testing.assert_allclose(people["T_world_sensor"][frame, :3, :3], T[:3, :3], atol=1e-9)


# Argoverse 2.


def argoverse_log(folder: Path, clouds: int = 3) -> tuple[list[np.ndarray], list[np.ndarray], list[float]]:
    """A log in which a pedestrian walks while the vehicle drives and turns; a car stands by."""
    poses = [pose(0.3 + 0.1 * k, 100 + k, -50, 2) for k in range(clouds)]
    at, yaws = [np.array([8.0 + 0.1 * k, 2, 0.9]) for k in range(clouds)], [0.5 + 0.2 * k for k in range(clouds)]
    stamps = [1_000_000_000 + 100_000_000 * k for k in range(clouds)]
    labels: dict[str, list] = {}
    for k, stamp in enumerate(stamps):
        cloud = np.concatenate([BODY @ turn(yaws[k]).T + at[k], ELSEWHERE]).astype(np.float16)
        columns = {axis: pa.array(cloud[:, i]) for i, axis in enumerate("xyz")}
        file = folder / f"sensors/lidar/{stamp}.feather"
        file.parent.mkdir(parents=True, exist_ok=True)
        feather.write_feather(pa.table(columns | {"intensity": pa.array(np.zeros(len(cloud), np.uint8))}), file)
        for category, uuid, center, yaw in (("PEDESTRIAN", "p", at[k], yaws[k]), ("BUS", "b", ELSEWHERE[0], 0.0)):
            row = dict(zip(("qw", "qx", "qy", "qz"), wxyz(yaw), strict=True))
            row |= dict(zip(("tx_m", "ty_m", "tz_m"), center, strict=True))
            row |= dict(zip(("length_m", "width_m", "height_m"), SIZE, strict=True))
            row |= {"timestamp_ns": stamp, "track_uuid": uuid, "category": category, "num_interior_pts": 4}
            for name, value in row.items():
                labels.setdefault(name, []).append(value)
    feather.write_feather(pa.table(labels), folder / "annotations.feather")
    moves = {"timestamp_ns": stamps}
    for i, name in enumerate(("qw", "qx", "qy", "qz")):
        moves[name] = [wxyz(0.3 + 0.1 * k)[i] for k in range(clouds)]
    for i, name in enumerate(("tx_m", "ty_m", "tz_m")):
        moves[name] = [T[i, 3] for T in poses]
    feather.write_feather(pa.table(moves), folder / "city_SE3_egovehicle.feather")
    return poses, at, yaws


def test_argoverse(tmp_path: Path) -> None:
    truth = argoverse_log(tmp_path / "set/train/log")
    converted = convert("argoverse2", tmp_path / "set", tmp_path / "out")
    assert converted.made == ("train/log",) and converted.clouds == 3 and converted.clouds_per_s > 0
    people = open_shard(tmp_path / "out/train-log.people")
    # half precision of a point 8 m away: 4 mm
    points = people.metres("points")
    expected = np.concatenate([BODY @ turn(y).T @ T[:3, :3].T for T, _, y in zip(*truth, strict=True)])
    np.testing.assert_allclose(points, expected, atol=5e-3)
    assert people["stamps_ns"].tolist() == [1_000_000_000, 1_100_000_000, 1_200_000_000]
    T, at = truth[0][1], truth[1][1]
    np.testing.assert_allclose(people["views"][1], T[:3, :3] @ (at - [1.35, 0, 1.64]), atol=1e-3)
    np.testing.assert_allclose(people["T_world_sensor"][1, :3, 3], (T @ [1.35, 0, 1.64, 1])[:3], atol=1e-3)
    assert people.about["licence"] == "CC BY-NC-SA 4.0"


def test_what_cannot_be_read_is_named_what_is_there_is_not_made_again_and_a_killed_worker_loses_nothing(
    tmp_path: Path,
) -> None:
    for number in range(4):
        argoverse_log(tmp_path / f"set/{number}", clouds=2)
    (tmp_path / "set/2/city_SE3_egovehicle.feather").write_bytes(b"broken")
    told: list[str] = []

    def kill_one(unit: str, left: int) -> None:
        if not told:
            multiprocessing.active_children()[0].kill()
        told.append(unit)

    converted = convert("argoverse2", tmp_path / "set", tmp_path / "out", workers=2, shown=kill_one)
    assert sorted(told) == ["0", "1", "2", "3"] and sorted(converted.made) == ["0", "1", "3"]
    assert set(converted.skipped) == {"2"} and "city_SE3_egovehicle.feather" in converted.skipped["2"]
    made = {file.name: file.stat().st_mtime_ns for file in (tmp_path / "out").iterdir()}
    again = convert("argoverse2", tmp_path / "set", tmp_path / "out")
    assert again.made == () and again.before == ("0", "1", "3")
    assert {file.name: file.stat().st_mtime_ns for file in (tmp_path / "out").iterdir()} == made
    with pytest.raises(InputError, match="nothing of Argoverse 2"):
        convert("argoverse2", tmp_path / "out", tmp_path / "other")


@real
def test_points_in_argoverses_boxes_are_as_many_as_it_says() -> None:
    frames = REAL / "real_lidar/frames"
    for stem, stamp in (
        ("av2_7fab", 315966265259836000),
        ("av2_7fab", 315966265360032000),
        ("av2_adcf", 315973157959879000),
    ):
        table = feather.read_table(frames / f"{stem}_annotations.feather")
        columns = {name: table[name].to_numpy() for name in table.column_names}
        now = np.flatnonzero((columns["timestamp_ns"] == stamp) & np.isin(columns["category"], AV2_PEOPLE))
        cloud = feather.read_table(frames / f"{stem}_{stamp}.feather")
        points = np.column_stack([cloud[axis].to_numpy().astype(np.float32) for axis in "xyz"])
        found = inside(LabelledCloud(stamp, points, av2_boxes(columns, now), tuple(map(str, now))))
        assert len(now) > 10 and [len(rows) for rows in found] == columns["num_interior_pts"][now].tolist()


# KITTI.

T_CAMERA = np.array([[0.01, -1, 0.02, -0.02], [0.0, 0.02, -1, -0.06], [1, 0.01, 0.0, -0.33], [0, 0, 0, 1.0]])
T_CAMERA[:3, :3] = np.linalg.svd(T_CAMERA[:3, :3])[0] @ np.linalg.svd(T_CAMERA[:3, :3])[2]
RECTIFY = np.eye(4)
RECTIFY[:3, :3] = [[0.9999, 0.0101, -0.0085], [-0.0101, 0.9999, -0.004], [0.0085, 0.0041, 0.9999]]
RECTIFY[:3, :3] = np.linalg.svd(RECTIFY[:3, :3])[0] @ np.linalg.svd(RECTIFY[:3, :3])[2]


def kitti_label(at: np.ndarray, yaw: float) -> str:
    """Height, width, length, place of the bottom in the camera's frame, turn about its y (down) from its x (right)."""
    bottom = RECTIFY @ T_CAMERA @ [*at, 1] + [0, SIZE[2] / 2, 0, 0]
    ahead = RECTIFY[:3, :3] @ T_CAMERA[:3, :3] @ turn(yaw)[:, 0]
    values = (*SIZE[[2, 1, 0]], *bottom[:3], math.atan2(-ahead[2], ahead[0]))
    return "Pedestrian 0.00 0 -0.2 0 0 10 10 " + " ".join(f"{value:.6f}" for value in values)


def kitti_calibration(rectify: str, camera: str, imu: str, colon: str) -> str:
    def row(name: str, matrix: np.ndarray) -> str:
        return f"{name}{colon} " + " ".join(f"{value:.12e}" for value in matrix.flatten())

    return "\n".join([row(rectify, RECTIFY[:3, :3]), row(camera, T_CAMERA[:3]), row(imu, np.eye(4)[:3])]) + "\n\n"


def write_bin(file: Path, points: np.ndarray, columns: int = 4) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    np.column_stack([points, np.zeros((len(points), columns - 3))]).astype(np.float32).tofile(file)


def test_kitti(tmp_path: Path) -> None:
    """The object set's frames do not belong together: everybody is a sequence of one."""
    folder, at = tmp_path / "training", np.array([10.0, 2, -0.8])
    for number, yaw in ((0, 0.4), (7, -2.0)):
        write_bin(folder / f"velodyne/{number:06d}.bin", np.concatenate([BODY @ turn(yaw).T + at, ELSEWHERE]))
        for name, text in (
            ("calib", kitti_calibration("R0_rect", "Tr_velo_to_cam", "Tr_imu_to_velo", ":")),
            ("label_2", kitti_label(at, yaw) + "\nDontCare -1 -1 -10 1 2 3 4 -1 -1 -1 -1000 -1000 -1000 -10\n"),
        ):
            (folder / name).mkdir(exist_ok=True)
            (folder / name / f"{number:06d}.txt").write_text(text)
    assert convert("kitti", tmp_path, tmp_path / "out").made == ("000000..000007",)
    people = open_shard(tmp_path / "out/000000..000007.people")
    assert len(people) == 2
    for row, yaw in enumerate((0.4, -2.0)):
        check(people.rows([row]), [np.eye(4)], [at], [yaw])


def test_kitti_tracking_moves_by_its_gps(tmp_path: Path) -> None:
    """1e-5 degrees of latitude are 1.113195 m on a sphere of 6378137 m; the vehicle looks north."""
    folder, at = tmp_path / "training", np.array([6.0, -1, -0.5])
    (folder / "label_02").mkdir(parents=True)
    lines = []
    for frame in range(2):
        write_bin(folder / f"velodyne/0003/{frame:06d}.bin", BODY @ turn(0.2).T + at)
        lines.append(f"{frame} 5 {kitti_label(at, 0.2)}")
    (folder / "label_02/0003.txt").write_text("\n".join(lines))
    (folder / "calib").mkdir()
    (folder / "calib/0003.txt").write_text(kitti_calibration("R_rect", "Tr_velo_cam", "Tr_imu_velo", ""))
    (folder / "oxts").mkdir()
    rows = [[49.0 + 1e-5 * k, 8.4, 110.0, 0, 0, math.pi / 2, *[0.0] * 24] for k in range(2)]
    (folder / "oxts/0003.txt").write_text("\n".join(" ".join(map(str, row)) for row in rows))
    convert("kitti_tracking", tmp_path, tmp_path / "out")
    people = open_shard(tmp_path / "out/0003.people")
    check(people, [pose(math.pi / 2, 0, 0, 0), pose(math.pi / 2, 0, 1.113195, 0)], [at] * 2, [0.2] * 2)


@real
def test_returns_on_kittis_pedestrian() -> None:
    """KITTI counts none: as many as lie in the label's box in the camera's own axes, which lean a little."""
    frames = REAL / "real_lidar/frames"
    crops = np.load(REAL / "real_lidar/human_crops.npz")
    (row,) = np.flatnonzero(crops["source"] == "kitti_object")
    values = (frames / "kitti_000000_calib.txt").read_text().split("\n")
    named = {line.split(":")[0]: np.array(line.split(":")[1].split(), float) for line in values if ":" in line}
    T, R = np.eye(4), np.eye(4)
    T[:3], R[:3, :3] = named["Tr_velo_to_cam"].reshape(3, 4), named["R0_rect"].reshape(3, 3)
    label = (frames / "kitti_000000_label.txt").read_text().split()
    box = kitti_boxes([label[8:15]], R @ T)
    np.testing.assert_allclose(box[0, :6], crops["box"][row, :6], atol=0.02)
    points = kitti_points(frames / "kitti_000000.bin")
    found = inside(LabelledCloud(0, points, box, ("p",)))
    height, width, length, *bottom, turned = map(float, label[8:15])
    right, down, ahead = ((R @ T)[:3] @ np.c_[points, np.ones(len(points))].T) - np.array(bottom)[:, None]
    along, across = (np.cos(turned) * right - np.sin(turned) * ahead, np.sin(turned) * right + np.cos(turned) * ahead)
    there = (abs(along) <= length / 2) & (abs(across) <= width / 2) & (-height <= down) & (down <= 0)
    assert there.sum() > 300 and abs(len(found[0]) - there.sum()) <= 2


# nuScenes.


def test_nuscenes(tmp_path: Path) -> None:
    """Two key frames half a second apart of one scene; boxes in the global frame."""
    ego, lidar = [pose(1.0, 400, 1100, 0), pose(1.1, 402, 1101, 0)], pose(-math.pi / 2, 0.94, 0, 1.84)
    at, yaw = [np.array([410.0, 1105, 1]), np.array([410.5, 1105, 1])], 0.7
    tables: dict[str, list] = {
        "scene": [{"token": "s", "name": "scene-0001"}],
        "category": [{"token": "c", "name": "human.pedestrian.adult"}, {"token": "d", "name": "vehicle.car"}],
        "instance": [{"token": "i", "category_token": "c"}, {"token": "j", "category_token": "d"}],
        "calibrated_sensor": [{"token": "l", "translation": [0.94, 0, 1.84], "rotation": wxyz(-math.pi / 2)}],
        **{name: [] for name in ("sample", "sample_data", "sample_annotation", "ego_pose")},
    }
    for k in range(2):
        T = ego[k] @ lidar
        points = np.concatenate([BODY @ turn(yaw).T + at[k], [[430.0, 1100, 0]]])
        write_bin(tmp_path / f"samples/LIDAR_TOP/{k}.pcd.bin", (points - T[:3, 3]) @ T[:3, :3], columns=5)
        tables["sample"].append({"token": f"t{k}", "scene_token": "s"})
        tables["ego_pose"].append(
            {"token": f"e{k}", "translation": ego[k][:3, 3].tolist(), "rotation": wxyz(1.0 + 0.1 * k)}
        )
        data = {
            "sample_token": f"t{k}",
            "ego_pose_token": f"e{k}",
            "calibrated_sensor_token": "l",
            "is_key_frame": True,
        }
        data |= {"timestamp": 1_500_000 + 500_000 * k, "filename": f"samples/LIDAR_TOP/{k}.pcd.bin"}
        tables["sample_data"] += [data, data | {"filename": f"samples/CAM_FRONT/{k}.jpg"}]
        label = {
            "sample_token": f"t{k}",
            "translation": at[k].tolist(),
            "size": SIZE[[1, 0, 2]].tolist(),
            "rotation": wxyz(yaw),
        }
        tables["sample_annotation"] += [label | {"instance_token": "i"}, label | {"instance_token": "j"}]
    (tmp_path / "v1.0-mini").mkdir()
    for name, rows in tables.items():
        (tmp_path / f"v1.0-mini/{name}.json").write_text(json.dumps(rows))
    assert convert("nuscenes", tmp_path, tmp_path / "out").made == ("v1.0-mini/scene-0001",)
    people = open_shard(tmp_path / "out/v1.0-mini-scene-0001.people")
    check(people, [np.eye(4)] * 2, at, [yaw] * 2)
    assert people["stamps_ns"].tolist() == [1_500_000_000, 2_000_000_000]
    np.testing.assert_allclose(people["views"][0], at[0] - (ego[0] @ [0.94, 0, 1.84, 1])[:3], atol=1e-3)


@real
def test_points_in_nuscenes_boxes_are_as_many_as_it_says() -> None:
    labels = json.loads((REAL / "real_camera/nuscenes/calibration.json").read_text())["instances"]
    people = [one for one in labels if one["label"] == 7]
    boxes = np.array([one["box_lidar_xyzlwhyaw"] for one in people])
    points = nuscenes_points(REAL / "real_lidar/frames/nus_demo.pcd.bin")
    found = inside(LabelledCloud(0, points, boxes, tuple(map(str, range(len(people))))))
    assert len(people) == 30 and [len(rows) for rows in found] == [one["lidar_points"] for one in people]


# Waymo.

HEIGHT, WIDTH = 64, 600
BEAMS = np.linspace(-0.3, 0.04, HEIGHT)  # from the lowest up, as the calibration lists them
EXTRINSIC = pose(2.6, 1.43, 0.0, 2.18)
KINDS = {1: "nose", 8: "left_hip", 16: "right_hip", 20: "head_center", 19: ""}


def waymo_segment(folder: Path, frames: int = 2) -> tuple[list[np.ndarray], list[list[np.ndarray]]]:
    """Pixels of the upper LiDAR are of another pose each; where their points lie in the world is known."""
    poses = [pose(0.2 + 0.1 * k, 1000 + k, 50, 3) for k in range(frames)]
    key = {"key.segment_context_name": "seg"}
    tables: dict[str, list[dict]] = {
        name: [] for name in ("lidar", "lidar_pose", "lidar_box", "lidar_hkp", "vehicle_pose")
    }
    worlds: list[list[np.ndarray]] = []
    rng = np.random.default_rng(0)
    for k in range(frames):
        frame = key | {"key.frame_timestamp_micros": 10_000_000 + 100_000 * k}
        image = np.zeros((HEIGHT, WIDTH, 4), np.float32)
        image[..., 0] = -1
        pixel = np.zeros((HEIGHT, WIDTH, 6), np.float32)
        worlds.append([])
        for row, column in zip(
            rng.choice(HEIGHT, 6, replace=False), rng.choice(np.arange(290, 311), 6, replace=False), strict=True
        ):
            yaw, x = 0.2 + 0.1 * k + 0.001 * row, 1000 + k + 0.01 * column - 3
            pixel[row, column] = (0, 0, yaw, x - 1000, 50, 3)
            distance = 6.0 + 0.1 * row / HEIGHT
            incline = BEAMS[::-1][row]
            azimuth = math.pi - 2 * math.pi * (column + 0.5) / WIDTH - 2.6
            at = distance * np.array(
                [math.cos(azimuth) * math.cos(incline), math.sin(azimuth) * math.cos(incline), math.sin(incline)]
            )
            image[row, column, 0] = distance
            worlds[k].append((pose(yaw, x - 1000, 50, 3) @ EXTRINSIC @ [*at, 1])[:3])
        poses[k] = pose(0.2 + 0.1 * k, k, 50, 3)
        returns = {
            f"[LiDARComponent].range_image_return1.{n}": v
            for n, v in (("values", image.flatten()), ("shape", image.shape))
        }
        empty = {f"[LiDARComponent].range_image_return2.{n}": v for n, v in (("values", []), ("shape", [0, 0, 4]))}
        tables["lidar"].append(frame | {"key.laser_name": 1} | returns | empty)
        tables["lidar_pose"].append(
            frame
            | {"key.laser_name": 1}
            | {
                f"[LiDARPoseComponent].range_image_return1.{n}": v
                for n, v in (("values", pixel.flatten()), ("shape", pixel.shape))
            }
        )
        tables["vehicle_pose"].append(
            frame | {"[VehiclePoseComponent].world_from_vehicle.transform": poses[k].flatten()}
        )
        middle = np.linalg.inv(poses[k]) @ [*np.mean(worlds[k], 0), 1]
        box = dict(
            zip((f"box.{w}.{a}" for w in ("center", "size") for a in "xyz"), (*middle[:3], 8, 8, 8), strict=True)
        )
        labels = {
            f"[LiDARBoxComponent].{n}": v
            for n, v in (box | {"box.heading": 0.3, "type": 2, "num_lidar_points_in_box": 6}).items()
        }
        tables["lidar_box"] += [
            frame | {"key.laser_object_id": "w"} | labels,
            frame | {"key.laser_object_id": "car"} | labels | {"[LiDARBoxComponent].type": 1},
        ]
        if k == 1:
            joints = {
                f"keypoint_3d.location_m.{a}": [float(i + middle[n]) for i in range(len(KINDS))]
                for n, a in enumerate("xyz")
            }
            joints |= {"type": list(KINDS), "keypoint_3d.visibility.is_occluded": [False] * len(KINDS)}
            tables["lidar_hkp"].append(
                frame
                | {"key.laser_object_id": "w"}
                | {f"[LiDARHumanKeypointsComponent].lidar_keypoints[*].{n}": v for n, v in joints.items()}
            )
    calibration = {
        "extrinsic.transform": EXTRINSIC.flatten(),
        "beam_inclination.min": -0.3,
        "beam_inclination.max": 0.04,
        "beam_inclination.values": BEAMS,
    }
    tables["lidar_calibration"] = [
        key | {"key.laser_name": 1} | {f"[LiDARCalibrationComponent].{n}": v for n, v in calibration.items()}
    ]
    for name, rows in tables.items():
        (folder / name).mkdir(parents=True)
        columns = {column: [row[column] for row in rows] for column in rows[0]}
        parquet.write_table(pa.table(columns), folder / name / "seg.parquet")
    return poses, worlds


def test_waymo(tmp_path: Path) -> None:
    """Points of range images to 1 mm in the world, though each pixel is of another moment; few keypoints are known."""
    poses, worlds = waymo_segment(tmp_path / "set/training")
    converted = convert("waymo", tmp_path / "set", tmp_path / "out")
    assert converted.made == ("training/seg",) and not converted.skipped
    people = open_shard(tmp_path / "out/training-seg.people")
    assert len(people) == 1 and people["stamps_ns"].tolist() == [10_000_000_000, 10_100_000_000]
    for frame in range(2):
        points = people.metres("points", slice(*people["point_start"][frame : frame + 2]))
        found = points + people["places"][0] + people["origins"][frame]
        assert len(found) == 6
        distances = np.linalg.norm(found[:, None] - np.array(worlds[frame]), axis=2)
        assert distances.min(1).max() < 1e-3 and distances.min(0).max() < 1e-3
    assert not people["keypoint_mask"][0].any()
    known = people["keypoint_mask"][1]
    assert (
        set(np.flatnonzero(known)) == {INDEX[name] for name in KINDS.values() if name} and len(known) == NUM_KEYPOINTS
    )
    np.testing.assert_allclose(people["keypoints"][1, INDEX["left_hip"]], poses[1][:3, :3] @ [1, 1, 1], atol=1e-3)
    np.testing.assert_allclose(people["T_world_sensor"][1, :3, 3], (poses[1] @ EXTRINSIC)[:3, 3], atol=1e-3)


# SLOPER4D and Human-M3.

NEAR, THEN = np.array([5.0, 0, 1]), np.array([5.2, 0, 1])


def sloper_labels() -> dict:
    """Three LiDAR frames; the person was seen in the first and the last."""
    turns = np.zeros((3, 72))
    turns[:, :3] = [0, 0, 0.5]
    return {
        "framerate": 20,
        "frame_num": [40, 41, 42],
        "first_person": {
            "lidar_traj": np.array([[n, 1.0, 2, 1.7, 0, 0, 0, 1, 100 + 0.05 * k] for k, n in enumerate((40, 41, 42))])
        },
        "second_person": {
            "point_frame": [40, 42],
            "point_clouds": [BODY + NEAR, np.concatenate([BODY + THEN, [[np.nan] * 3]])],
            "opt_pose": turns,
            "opt_trans": np.array([[5.0, 0, 1], [5.1, 0, 1], [5.2, 0, 1]]),
            "beta": np.zeros(10),
            "gender": "male",
        },
    }


def write_pickle(file: Path, data: object) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(pickle.dumps(data))


def test_sloper4d(tmp_path: Path) -> None:
    write_pickle(tmp_path / "set/seq002/seq002_labels.pkl", sloper_labels())
    assert convert("sloper4d", tmp_path / "set", tmp_path / "out").made == ("seq002/seq002_labels",)
    people = open_shard(tmp_path / "out/seq002-seq002_labels.people")
    assert people["stamps_ns"].tolist() == [100_000_000_000, 100_100_000_000] and "keypoints" not in people
    boxes = people["places"][0] + people["origins"]
    np.testing.assert_allclose(
        people.metres("points") + np.repeat(boxes, 4, axis=0),
        np.concatenate([BODY + NEAR, BODY + THEN]),
        atol=1e-3,
    )
    np.testing.assert_allclose(people["views"], boxes - [1, 2, 1.7], atol=1e-3)


def test_sloper4ds_bodies_become_keypoints(tmp_path: Path) -> None:
    """A model whose every vertex hangs on the pelvis, at (0, 0.1, 0) in its own frame, turned by half a radian."""
    rng, vertices = np.random.default_rng(0), 400
    weights, template = np.zeros((vertices, 24)), rng.normal(0, 0.3, (vertices, 3))
    weights[:, 0] = 1
    weights[0] = np.eye(24)[15]
    template -= template.mean(0) - [0, 0.1, 0]
    model = {
        "v_template": template, "shapedirs": np.zeros((vertices, 3, 10)), "posedirs": np.zeros((vertices, 3, 207)),
        "J_regressor": np.full((24, vertices), 1 / vertices), "weights": weights, "f": np.array([[0, 1, 2]]),
        "kintree_table": np.array([(2**32 - 1, *PARENTS[1:], 20, 21), range(24)]),
    }  # fmt: skip
    np.savez(tmp_path / "smpl.npz", **model)
    write_pickle(tmp_path / "set/seq_labels.pkl", sloper_labels())
    convert("sloper4d", tmp_path / "set", tmp_path / "out", smpl=tmp_path / "smpl.npz")
    people = open_shard(tmp_path / "out/seq_labels.people")
    place = people["places"][0] + people["origins"][1] + people["keypoints"][1, INDEX["left_hip"]]
    np.testing.assert_allclose(place, [5.2, 0.1, 1], atol=1e-3)
    nose = people["places"][0] + people["origins"][1] + people["keypoints"][1, INDEX["nose"]]
    np.testing.assert_allclose(nose, turn(0.5) @ (template[332] - [0, 0.1, 0]) + [5.2, 0.1, 1], atol=1e-3)


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path) -> None:
    write_pickle(tmp_path / "set/seq_labels.pkl", {"frame_num": Path("/")})
    with pytest.raises(InputError, match="arrays alone are read"):
        convert("sloper4d", tmp_path / "set", tmp_path / "out")


def test_human_m3(tmp_path: Path) -> None:
    folder = tmp_path / "train/basketball1"
    for name in ("pose_calib", "pointcloud"):
        (folder / name).mkdir(parents=True)
    joints = np.tile([10.0, 5, 1], (15, 1))
    joints[8], joints[5], joints[13] = [10, 5, 1.6], [10.1, 5.1, 0.1], [9.6, 5, 0.9]
    (folder / "pose_calib/0007.json").write_text(json.dumps({"3": joints.tolist()}))
    (folder / "pose_calib/0008.json").write_text("{}")
    points = np.concatenate([BODY + np.array([10, 5, 0.9]), ELSEWHERE])
    lines = [" ".join(map(str, row)) for row in points.tolist()]
    head = "VERSION 0.7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 1\nWIDTH 6\nHEIGHT 1\nPOINTS 6\nDATA ascii\n"
    (folder / "pointcloud/000007.pcd").write_text(head + "\n".join(lines))
    convert("human_m3", tmp_path, tmp_path / "out")
    people = open_shard(tmp_path / "out/train-basketball1.people")
    assert people.lengths.tolist() == [1] and people["stamps_ns"].tolist() == [700_000_000]
    np.testing.assert_allclose(people["boxes"][0, 3:6], [0.9, 0.5, 1.9], atol=1e-6)
    placed = people["keypoints"][0] + people["places"][0]
    np.testing.assert_allclose(placed[INDEX["head_center"]], joints[8], atol=1e-6)
    np.testing.assert_allclose(placed[INDEX["left_ankle"]], joints[5], atol=1e-6)
    np.testing.assert_allclose(placed[INDEX["left_wrist"]], joints[13], atol=1e-6)
    assert np.flatnonzero(~people["keypoint_mask"][0]).tolist() == [INDEX["nose"]] and len(people["points"]) == 4


def test_a_missing_component_is_named(tmp_path: Path) -> None:
    waymo_segment(tmp_path / "set")
    (tmp_path / "set/lidar_pose/seg.parquet").unlink()
    with pytest.raises(InputError, match="lacks lidar_pose of seg"):
        convert("waymo", tmp_path / "set", tmp_path / "out")


def test_who_is_away_for_long_begins_anew_and_sensors_add_up() -> None:
    box = np.array([[5.0, 0, 0, *SIZE, 0]])
    one = [LabelledCloud(stamp, BODY + box[0, :3], box, ("a",)) for stamp in (0, 0, 200_000_000, 600_000_000)]
    people = sequences(one, gap_s=0.25)
    assert people.lengths.tolist() == [2, 1] and people["track_ids"].tolist() == [0, 0]
    assert people.points_of_frames.tolist() == [8, 4, 4]
