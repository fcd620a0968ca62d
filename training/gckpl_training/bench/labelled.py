"""Labelled clouds to measure detectors on: independent streets; frames of KITTI, Argoverse 2, nuScenes, SUSTech.

Whoever rides something, and what is ridden, is neither person nor mistake. KITTI labels what its camera sees: a
detection elsewhere counts neither way. Argoverse 2, nuScenes and SUSTech label all round; Argoverse 2 up to 5 m beside
the roads alone, so that inventions there deserve a look.
"""

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Float, Float32, Float64, Int64
from scipy.spatial.transform import Rotation

from gckpl_ros.errors import InputError
from gckpl_ros.files import load_arrays
from gckpl_ros.geometry import in_box
from gckpl_ros.types import Cloud

AROUND_M: Final = 0.5
"""A detection this near to a box of neither is neither."""
BOTTOM_M: Final = 0.1
"""Points this near to a box's bottom are ground."""
UNLABELLED_EGO_M: Final = 1.0
"""Nearer returns are the sensor's carrier."""


def _everywhere(at: Float[np.ndarray, "3"]) -> bool:
    return True


@dataclass(frozen=True)
class LabelledFrame:
    """A cloud and its people: boxes (centre, length, width, height, yaw), returns on each, postures.

    ``others``: boxes of what counts neither way. ``labelled`` tells whether a place is where people would be labelled.
    """

    cloud: Cloud
    boxes: Float64[np.ndarray, "p 7"]
    counts: Int64[np.ndarray, " p"]
    postures: tuple[str, ...]
    others: Float64[np.ndarray, "o 7"] = field(default_factory=lambda: np.zeros((0, 7)))
    labelled: Callable[[Float[np.ndarray, "3"]], bool] = _everywhere
    T_fixed_cloud: Float64[np.ndarray, "4 4"] = field(default_factory=lambda: np.eye(4))

    @property
    def ranges(self) -> Float64[np.ndarray, " p"]:
        """From the sensor to each person, in the plane, m."""
        return np.linalg.norm(self.boxes[:, :2] - np.asarray(self.cloud.origin[:2]), axis=1)

    def neither(self, at: Float[np.ndarray, "3"]) -> bool:
        """Whether a detection at this place counts neither way."""
        grown = self.others[:, 3:6] + [2 * AROUND_M, 2 * AROUND_M, 10]
        local = np.asarray(at, np.float64)[None] - self.others[:, :3]
        return not self.labelled(at) or bool(in_box(local[:, None], grown, self.others[:, 6]).any())


def independent_streets(folder: Path) -> list[list[LabelledFrame]]:
    """Streets of another simulator, frames in order; raises InputError where there is none."""
    files = sorted(folder.glob("*.npz"))
    if not files:
        raise InputError(f"no street (.npz) in {folder}: name the folder of the independent full clouds")
    return [list(_street(file)) for file in files]


def _street(file: Path) -> Iterator[LabelledFrame]:
    street = load_arrays(file, "points_2mm", "frame_start", "stamps_ns", "T_world_sensor", "boxes", "counts")
    for row, stamp in enumerate(street["stamps_ns"]):
        near = slice(*street["frame_start"][row : row + 2])
        cloud = Cloud(street["points_2mm"][near].astype(np.float32) / 500, int(stamp), "lidar")
        boxes = street["boxes"][row].astype(np.float64)
        seen = np.isfinite(boxes).all(1)
        counts, postures = street["counts"][row][seen].astype(np.int64), ("unknown",) * int(seen.sum())
        T_world_sensor = street["T_world_sensor"][row].astype(np.float64)
        yield LabelledFrame(cloud, boxes[seen], counts, postures, T_fixed_cloud=T_world_sensor)


def real_frames(folder: Path) -> Iterator[LabelledFrame]:
    """The labelled frames in ``folder``/frames, and those of KITTI beside it; raises InputError where there is none."""
    frames = folder / "frames"
    found = [
        *(_kitti(file, frames / f"{file.stem}_label.txt") for file in sorted(frames.glob("kitti_??????.bin"))),
        *(
            _kitti(file, file.with_name(f"{file.stem}_label.txt"))
            for file in sorted((folder.parent / "real_camera/kitti").glob("*.bin"))
        ),
        *(_argoverse(file) for file in sorted(frames.glob("av2_????_" + "[0-9]" * 18 + ".feather"))),
        *(
            _nuscenes(file, folder.parent / "real_camera/nuscenes/calibration.json")
            for file in sorted(frames.glob("nus_*.bin"))
        ),
        *(_sustech(file) for file in sorted(frames.glob("sustech_*.pcd"))),
    ]
    if not found:
        raise InputError(f"no labelled frame in {frames}: name the folder of the real LiDAR data")
    yield from found


def _frame(
    points: Float32[np.ndarray, "n 3"],
    rows: list[tuple[str, Float64[np.ndarray, "7"]]],
    people: tuple[str, ...],
    others: tuple[str, ...],
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0),
    labelled: Callable[[Float[np.ndarray, "3"]], bool] = _everywhere,
) -> LabelledFrame:
    far = np.isfinite(points).all(1) & (np.linalg.norm(points[:, :2] - origin[:2], axis=1) > UNLABELLED_EGO_M)
    points = np.ascontiguousarray(points[far], np.float32)
    boxes = _boxes(rows, people)
    counts = np.array([_returns(points, box) for box in boxes], np.int64)
    postures = ("unknown",) * len(boxes)
    return LabelledFrame(Cloud(points, 0, "lidar", origin), boxes, counts, postures, _boxes(rows, others), labelled)


def _boxes(rows: list[tuple[str, Float64[np.ndarray, "7"]]], names: tuple[str, ...]) -> Float64[np.ndarray, "b 7"]:
    return np.array([box for name, box in rows if name in names], np.float64).reshape(-1, 7)


def _returns(points: Float32[np.ndarray, "n 3"], box: Float64[np.ndarray, "7"]) -> int:
    """Points in a box, its lowest part left out."""
    local = points - box[:3]
    above = local[:, 2] > BOTTOM_M - box[5] / 2
    return int((in_box(local[None], box[None, 3:6], box[None, 6])[0] & above).sum())


def _kitti(file: Path, label: Path) -> LabelledFrame:
    """Labels are in the rectified camera's frame: place of the bottom's middle, height, width, length, turn about y."""
    lines = label.with_name(label.name.replace("label", "calib")).read_text().splitlines()
    calibration = {
        name: np.array(values.split(), float) for name, _, values in (line.partition(":") for line in lines) if values
    }
    T_camera_lidar, R_rect, P2 = np.eye(4), np.eye(4), calibration["P2"].reshape(3, 4)
    T_camera_lidar[:3] = calibration["Tr_velo_to_cam"].reshape(3, 4)
    R_rect[:3, :3] = calibration["R0_rect"].reshape(3, 3)
    T_camera_lidar = R_rect @ T_camera_lidar
    rows = []
    for line in label.read_text().splitlines():
        name, *values = line.split()
        height, width, length, x, y, z, turn = map(float, values[7:14])
        at = np.linalg.inv(T_camera_lidar) @ [x, y - height / 2, z, 1]
        rows.append((name, np.array([*at[:3], length, width, height, -turn - math.pi / 2])))

    def in_view(at: Float[np.ndarray, "3"]) -> bool:
        u, v, depth = P2 @ T_camera_lidar @ [*at, 1]
        return bool(depth > 0.5 and 0 <= u / depth < 1224 and 0 <= v / depth < 370)

    people, others = ("Pedestrian", "Person_sitting"), ("Cyclist", "Misc")
    return _frame(np.fromfile(file, np.float32).reshape(-1, 4)[:, :3], rows, people, others, labelled=in_view)


def _argoverse(file: Path) -> LabelledFrame:
    """Frames of the vehicle, whose upper LiDAR stands over its middle."""
    from pyarrow import feather

    stem, stamp = file.stem.rsplit("_", 1)
    table = feather.read_table(file.with_name(f"{stem}_annotations.feather"))
    columns = {name: np.asarray(table[name]) for name in table.column_names}
    now = np.flatnonzero(columns["timestamp_ns"] == int(stamp))
    names = ("tx_m", "ty_m", "tz_m", "length_m", "width_m", "height_m")
    turns = Rotation.from_quat(np.column_stack([columns[f"q{axis}"][now] for axis in "xyzw"])).as_euler("zyx")[:, 0]
    values = np.column_stack([*(columns[name][now] for name in names), turns])
    rows = list(zip((str(columns["category"][row]) for row in now), values, strict=True))
    cloud = feather.read_table(file)
    points = np.column_stack([np.asarray(cloud[axis], np.float32) for axis in "xyz"])
    people = ("PEDESTRIAN", "OFFICIAL_SIGNALER")
    others = (
        "BICYCLIST",
        "MOTORCYCLIST",
        "WHEELED_RIDER",
        "BICYCLE",
        "MOTORCYCLE",
        "WHEELCHAIR",
        "STROLLER",
        "WHEELED_DEVICE",
    )
    return _frame(points, rows, people, others, (1.35, 0.0, 1.64))


def _nuscenes(file: Path, calibration: Path) -> LabelledFrame:
    """A key frame; bicycles and motorcycles may have riders, which have no label of their own."""
    found: dict[str, Any] = json.loads(calibration.read_text())
    names = {label: name for name, label in found["classes"]["categories"].items()}
    rows = [(names.get(one["label"], ""), np.array(one["box_lidar_xyzlwhyaw"], float)) for one in found["instances"]]
    points = np.fromfile(file, np.float32).reshape(-1, 5)[:, :3]
    return _frame(points, rows, ("pedestrian",), ("bicycle", "motorcycle"))


def _sustech(file: Path) -> LabelledFrame:
    """A binary .pcd with padding, and boxes as position, scale, rotation."""
    content = file.read_bytes()
    head, _, data = content.partition(b"DATA binary\n")
    fields = {line.split()[0]: line.split()[1:] for line in head.decode().splitlines() if not line.startswith("#")}
    stride = sum(int(size) * int(count) for size, count in zip(fields["SIZE"], fields["COUNT"], strict=True))
    each = np.dtype({"names": ["xyz"], "formats": ["(3,)f4"], "offsets": [0], "itemsize": stride})
    points = np.frombuffer(data, each, int(fields["POINTS"][0]))["xyz"]
    rows = []
    for one in json.loads(file.with_suffix(".json").read_text()):
        at, size, turn = (one["psr"][part] for part in ("position", "scale", "rotation"))
        rows.append((one["obj_type"], np.array([*(at[k] for k in "xyz"), *(size[k] for k in "xyz"), turn["z"]])))
    return _frame(points, rows, ("Pedestrian",), ("Rider", "Motor", "Bicycle"))
