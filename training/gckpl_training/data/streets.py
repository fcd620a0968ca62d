"""Argoverse 2, KITTI (object and tracking) and nuScenes as they lie on disk: people with boxes, no keypoints."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Float, Float64
from scipy.spatial.transform import Rotation

from gckpl_ros.errors import InputError
from gckpl_ros.geometry import transformed
from gckpl_training.data.convert import DataSet, LabelledCloud

# Argoverse 2, sensor data set: https://argoverse.github.io/user-guide/datasets/sensor.html (calibration, annotations).
# LOG/annotations.feather, LOG/city_SE3_egovehicle.feather, LOG/calibration/egovehicle_SE3_sensor.feather and
# LOG/sensors/lidar/STAMP_NS.feather: points and boxes (metres) in the vehicle's frame (x ahead, y left, z up, at the
# rear axle), poses of it in the city's, quaternions wxyz.

AV2_PEOPLE: Final = ("PEDESTRIAN", "OFFICIAL_SIGNALER")
AV2_SENSOR_M: Final = (1.35, 0.0, 1.64)
"""The upper LiDAR, where a log has no calibration."""


def _av2_units(root: Path) -> list[str]:
    return sorted(str(file.parent.relative_to(root)) for file in root.rglob("annotations.feather"))


def _av2_clouds(root: Path, unit: str) -> Iterator[LabelledCloud]:
    log = root / unit
    boxes = feather(log / "annotations.feather")
    poses = feather(log / "city_SE3_egovehicle.feather")
    T_city_ego = dict(zip(poses["timestamp_ns"].tolist(), _poses(poses), strict=True))
    origin = _av2_sensor(log / "calibration/egovehicle_SE3_sensor.feather")
    for file in sorted((log / "sensors/lidar").glob("*.feather"), key=lambda file: int(file.stem)):
        stamp_ns = int(file.stem)
        if stamp_ns not in T_city_ego:
            raise InputError(f"{log / 'city_SE3_egovehicle.feather'} has no pose of {stamp_ns}")
        now = np.flatnonzero((boxes["timestamp_ns"] == stamp_ns) & np.isin(boxes["category"], AV2_PEOPLE))
        cloud = feather(file)
        yield LabelledCloud(
            stamp_ns,
            np.column_stack([cloud[axis].astype(np.float32) for axis in "xyz"]),
            av2_boxes(boxes, now),
            tuple(map(str, boxes["track_uuid"][now])),
            T_city_ego[stamp_ns],
            origin,
        )


def av2_boxes(columns: Mapping[str, np.ndarray], rows: np.ndarray) -> Float64[np.ndarray, "b 7"]:
    """Some rows of annotations as boxes."""
    turns = _quaternions(columns, rows).as_euler("zyx")[:, 0] if len(rows) else np.zeros(0)
    names = ("tx_m", "ty_m", "tz_m", "length_m", "width_m", "height_m")
    return np.column_stack([*(columns[name][rows] for name in names), turns])


def _av2_sensor(file: Path) -> Float64[np.ndarray, "3"]:
    if not file.exists():
        return np.array(AV2_SENSOR_M)
    sensors = feather(file)
    (row,) = np.flatnonzero(sensors["sensor_name"] == "up_lidar")
    return np.array([sensors[f"t{axis}_m"][row] for axis in "xyz"])


def _quaternions(columns: Mapping[str, np.ndarray], rows: Any = slice(None)) -> Rotation:
    return Rotation.from_quat(np.column_stack([columns[f"q{axis}"][rows] for axis in "xyzw"]))


def _poses(columns: Mapping[str, np.ndarray]) -> Float64[np.ndarray, "p 4 4"]:
    poses = np.tile(np.eye(4), (len(columns["qw"]), 1, 1))
    poses[:, :3, :3] = _quaternions(columns).as_matrix()
    poses[:, :3, 3] = np.column_stack([columns[f"t{axis}_m"] for axis in "xyz"])
    return poses


def feather(file: Path) -> dict[str, np.ndarray]:
    """Columns of a feather file; raises InputError where it cannot be read, or pyarrow is not there."""
    try:
        from pyarrow import ArrowException
        from pyarrow.feather import read_table
    except ImportError as error:
        raise InputError("feather and Parquet files need pyarrow: pip install 'gckpl_ros[data]'") from error
    try:
        table = read_table(file)
    except (OSError, ArrowException) as error:
        raise InputError(f"cannot read {file}: {error}") from error
    return {name: table[name].to_numpy() for name in table.column_names}


# KITTI: https://www.cvlibs.net/datasets/kitti/ (readme.txt of the object and tracking development kits). Points float32
# x y z reflectance in the LiDAR's frame. A label's line: type, truncated, occluded, alpha, four of the image, height,
# width, length (m), place of the bottom's middle in the rectified camera's frame (x right, y down, z ahead), turn about
# its y axis; of tracking, frame and track before them.

KITTI_PEOPLE: Final = ("Pedestrian", "Person_sitting", "Person")
KITTI_FRAMES: Final = 500
"""Of the object set, whose frames do not follow one another, make one shard."""
KITTI_NS: Final = 100_000_000
EARTH_M: Final = 6378137.0


def _kitti_units(root: Path) -> list[str]:
    frames = sorted(file.stem for file in (root / "training/label_2").glob("*.txt"))
    parts = (frames[start : start + KITTI_FRAMES] for start in range(0, len(frames), KITTI_FRAMES))
    return [f"{part[0]}..{part[-1]}" for part in parts]


def _kitti_clouds(root: Path, unit: str) -> Iterator[LabelledCloud]:
    """Every frame is a place and a time of its own: people have a new id in each."""
    folder, (first, last) = root / "training", unit.split("..")
    for label in sorted((folder / "label_2").glob("*.txt")):
        if not first <= label.stem <= last:
            continue
        calibration = _kitti_calibration(folder / f"calib/{label.stem}.txt")
        rows = [line.split() for line in label.read_text().splitlines()]
        people = [row for row in rows if row and row[0] in KITTI_PEOPLE]
        yield LabelledCloud(
            int(label.stem) * KITTI_NS,
            kitti_points(folder / f"velodyne/{label.stem}.bin"),
            kitti_boxes([row[8:15] for row in people], calibration["T_camera_lidar"]),
            tuple(f"{label.stem}/{place}" for place in range(len(people))),
        )


def _tracking_units(root: Path) -> list[str]:
    return sorted(file.stem for file in (root / "training/label_02").glob("*.txt"))


def _tracking_clouds(root: Path, unit: str) -> Iterator[LabelledCloud]:
    folder = root / "training"
    calibration = _kitti_calibration(folder / f"calib/{unit}.txt")
    people: dict[int, list[list[str]]] = defaultdict(list)
    for line in (folder / f"label_02/{unit}.txt").read_text().splitlines():
        row = line.split()
        if row and row[2] in KITTI_PEOPLE:
            people[int(row[0])].append(row)
    poses = _kitti_poses(folder / f"oxts/{unit}.txt", calibration)
    for file in sorted((folder / f"velodyne/{unit}").glob("*.bin")):
        frame = int(file.stem)
        yield LabelledCloud(
            frame * KITTI_NS,
            kitti_points(file),
            kitti_boxes([row[10:17] for row in people[frame]], calibration["T_camera_lidar"]),
            tuple(row[1] for row in people[frame]),
            poses[frame] if poses is not None else np.eye(4),
        )


def kitti_points(file: Path) -> Float[np.ndarray, "n 3"]:
    """Points of a .bin file; raises InputError where it is cut short."""
    values = np.fromfile(file, np.float32)
    if len(values) % 4:
        raise InputError(f"{file} is no whole file of x, y, z, reflectance (float32)")
    return values.reshape(-1, 4)[:, :3]


def kitti_boxes(rows: list[list[str]], T_camera_lidar: Float64[np.ndarray, "4 4"]) -> Float64[np.ndarray, "b 7"]:
    """Boxes in the LiDAR's frame of rows: height, width, length, x, y, z of the bottom's middle, turn about y."""
    values = np.array(rows, np.float64).reshape(-1, 7)
    height, width, length, turn = values[:, 0], values[:, 1], values[:, 2], values[:, 6]
    middle = values[:, 3:6] - np.outer(height / 2, [0, 1, 0])
    T_lidar_camera = np.linalg.inv(T_camera_lidar)
    ahead = np.column_stack([np.cos(turn), np.zeros_like(turn), -np.sin(turn)]) @ T_lidar_camera[:3, :3].T
    yaw = np.arctan2(ahead[:, 1], ahead[:, 0])
    return np.column_stack([transformed(T_lidar_camera, middle), length, width, height, yaw])


def _kitti_calibration(file: Path) -> dict[str, Float64[np.ndarray, "4 4"]]:
    """Of the object and of the tracking set, which write the same under other names."""
    rows = (line.replace(":", " ").split() for line in file.read_text().splitlines())
    found = {row[0]: np.array(row[1:], np.float64) for row in rows if row}
    names = {
        "rectify": ("R0_rect", "R_rect"),
        "camera": ("Tr_velo_to_cam", "Tr_velo_cam"),
        "imu": ("Tr_imu_to_velo", "Tr_imu_velo"),
    }
    matrices = {}
    for name, spellings in names.items():
        values = next((found[one] for one in spellings if one in found), None)
        if values is None:
            raise InputError(f"{file} has no {' or '.join(spellings)}")
        matrices[name] = np.eye(4)
        rows_of = values.reshape(3, -1)
        matrices[name][:3, : rows_of.shape[1]] = rows_of
    return {"T_camera_lidar": matrices["rectify"] @ matrices["camera"], "T_lidar_imu": matrices["imu"]}


def _kitti_poses(file: Path, calibration: Mapping[str, np.ndarray]) -> Float64[np.ndarray, "f 4 4"] | None:
    """T_world_lidar of each frame by GPS and IMU (latitude, longitude, altitude, roll, pitch, yaw; Mercator)."""
    if not file.exists():
        return None
    rows = np.loadtxt(file, ndmin=2)[:, :6]
    scale = np.cos(np.radians(rows[0, 0]))
    poses = np.tile(np.eye(4), (len(rows), 1, 1))
    east = scale * EARTH_M * np.radians(rows[:, 1])
    north = scale * EARTH_M * np.log(np.tan(np.radians(90 + rows[:, 0]) / 2))
    poses[:, :3, 3] = np.column_stack([east, north, rows[:, 2]])
    poses[:, :3, :3] = Rotation.from_euler("ZYX", rows[:, [5, 4, 3]]).as_matrix()
    T_world_lidar = poses @ np.linalg.inv(calibration["T_lidar_imu"])
    T_world_lidar[:, :3, 3] -= T_world_lidar[0, :3, 3]
    return T_world_lidar


# nuScenes: https://github.com/nutonomy/nuscenes-devkit/blob/master/docs/schema_nuscenes.md and
# .../docs/instructions_nuscenes.md. Tables VERSION/*.json; key frames (2 Hz) are labelled in the global frame, boxes as
# place, (width, length, height), quaternion wxyz; clouds float32 x y z intensity ring in the LiDAR's frame.


def _nuscenes_units(root: Path) -> list[str]:
    return sorted(
        f"{version.parent.name}/{scene['name']}"
        for version in root.glob("v1.0-*/scene.json")
        for scene in json.loads(version.read_text())
        if (version.parent / "sample_annotation.json").exists()
    )


def _nuscenes_clouds(root: Path, unit: str) -> Iterator[LabelledCloud]:
    """In the axes of the global frame, in which boxes are upright."""
    version, name = unit.split("/")
    names = (
        "scene",
        "sample",
        "sample_data",
        "sample_annotation",
        "instance",
        "category",
        "calibrated_sensor",
        "ego_pose",
    )
    tables = {table: json.loads((root / version / f"{table}.json").read_text()) for table in names}
    named = ("instance", "category", "calibrated_sensor", "ego_pose")
    by = {table: {row["token"]: row for row in tables[table]} for table in named}
    scene = next(row["token"] for row in tables["scene"] if row["name"] == name)
    samples = {row["token"] for row in tables["sample"] if row["scene_token"] == scene}
    people = defaultdict(list)
    for row in tables["sample_annotation"]:
        category = by["category"][by["instance"][row["instance_token"]]["category_token"]]["name"]
        if row["sample_token"] in samples and category.startswith("human.pedestrian"):
            people[row["sample_token"]].append(row)
    scans = [
        row
        for row in tables["sample_data"]
        if row["is_key_frame"] and row["sample_token"] in samples and "/LIDAR_TOP/" in row["filename"]
    ]
    for scan in sorted(scans, key=lambda row: row["timestamp"]):
        T_global_lidar = _nuscenes_pose(by["ego_pose"][scan["ego_pose_token"]]) @ _nuscenes_pose(
            by["calibrated_sensor"][scan["calibrated_sensor_token"]]
        )
        labels = people[scan["sample_token"]]
        yield LabelledCloud(
            scan["timestamp"] * 1000,
            transformed(T_global_lidar, nuscenes_points(root / scan["filename"]).astype(np.float64)),
            nuscenes_boxes(labels),
            tuple(row["instance_token"] for row in labels),
            origin=T_global_lidar[:3, 3],
        )


def nuscenes_points(file: Path) -> Float[np.ndarray, "n 3"]:
    """Points of a .pcd.bin file; raises InputError where it is cut short."""
    values = np.fromfile(file, np.float32)
    if len(values) % 5:
        raise InputError(f"{file} is no whole file of x, y, z, intensity, ring (float32)")
    return values.reshape(-1, 5)[:, :3]


def nuscenes_boxes(rows: list[dict[str, Any]]) -> Float64[np.ndarray, "b 7"]:
    """Boxes of annotations, whose size is width, length, height."""
    boxes = np.zeros((len(rows), 7))
    for box, row in zip(boxes, rows, strict=True):
        ahead = _wxyz(row["rotation"]).apply([1.0, 0, 0])
        box[:3], box[3:6] = row["translation"], np.asarray(row["size"])[[1, 0, 2]]
        box[6] = np.arctan2(ahead[1], ahead[0])
    return boxes


def _nuscenes_pose(row: Mapping[str, Any]) -> Float64[np.ndarray, "4 4"]:
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = _wxyz(row["rotation"]).as_matrix(), row["translation"]
    return pose


def _wxyz(quaternion: list[float]) -> Rotation:
    return Rotation.from_quat(np.asarray(quaternion)[[1, 2, 3, 0]])


SETS: Final = {
    "argoverse2": DataSet("Argoverse 2", "CC BY-NC-SA 4.0", _av2_units, _av2_clouds),
    "kitti": DataSet("KITTI object", "CC BY-NC-SA 3.0", _kitti_units, _kitti_clouds),
    "kitti_tracking": DataSet("KITTI tracking", "CC BY-NC-SA 3.0", _tracking_units, _tracking_clouds),
    "nuscenes": DataSet("nuScenes", "CC BY-NC-SA 4.0", _nuscenes_units, _nuscenes_clouds, gap_s=0.75),
}
