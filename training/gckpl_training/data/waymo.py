"""Waymo Open Dataset, perception, version 2 (Parquet), read by pyarrow: people with boxes and laser keypoints.

Components and columns: src/waymo_open_dataset/v2/perception/{base,box,context,keypoints,lidar,pose}.py of
https://github.com/waymo-research/waymo-open-dataset; points of range images as its utils/range_image_utils.py and
v2/perception/utils/lidar_utils.py define them. FOLDER/COMPONENT/SEGMENT.parquet, components lidar, lidar_calibration,
lidar_pose, lidar_box, lidar_hkp and vehicle_pose; metres, radians, the vehicle's frame (x ahead, y left, z up).
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Float, Float32, Float64
from scipy.spatial.transform import Rotation

from gckpl_ros.errors import InputError
from gckpl_ros.geometry import transformed
from gckpl_ros.skeleton import INDEX, NUM_KEYPOINTS
from gckpl_training.data.convert import DataSet, LabelledCloud

PEDESTRIAN: Final = 2
TOP: Final = 1
_LIMBS: Final = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
# KeypointType of keypoint.proto; a forehead (19) has no place among the 14.
KEYPOINTS: Final[Mapping[int, str]] = {
    1: "nose",
    **{5 + place: f"left_{joint}" for place, joint in enumerate(_LIMBS)},
    **{13 + place: f"right_{joint}" for place, joint in enumerate(_LIMBS)},
    20: "head_center",
}
NEEDED: Final = ("lidar", "lidar_calibration", "lidar_pose", "lidar_box", "vehicle_pose")
ROWS: Final = 5
"""Range images that are in memory at a time."""


def units(root: Path) -> list[str]:
    """Segments with boxes, in this folder or in training, validation .. below it."""
    files = [*root.glob("lidar_box/*.parquet"), *root.glob("*/lidar_box/*.parquet")]
    return sorted(str((file.parent.parent / file.stem).relative_to(root)) for file in files)


def clouds(root: Path, unit: str) -> Iterator[LabelledCloud]:
    """A cloud for each range image of a frame with people: sensors and returns of one stamp belong together.

    Keypoints that are labelled as occluded are known (their place was told all the same), those without a label not.
    """
    folder, segment = (root / unit).parent, Path(unit).name
    files = {name: folder / name / f"{segment}.parquet" for name in (*NEEDED, "lidar_hkp")}
    if missing := [name for name in NEEDED if not files[name].exists()]:
        raise InputError(f"{folder} lacks {', '.join(missing)} of {segment}")
    people, keypoints = _people(files["lidar_box"]), _keypoints(files["lidar_hkp"])
    T_world_vehicle = {
        row["key.frame_timestamp_micros"]: _matrix(row, "[VehiclePoseComponent].world_from_vehicle.transform")
        for row in rows(files["vehicle_pose"])
    }
    calibrations = {row["key.laser_name"]: row for row in rows(files["lidar_calibration"])}
    origin = _matrix(calibrations[TOP], "[LiDARCalibrationComponent].extrinsic.transform")[:3, 3]
    pixel_poses = _PixelPoses(files["lidar_pose"])
    for row in rows(files["lidar"]):
        micros, laser = row["key.frame_timestamp_micros"], row["key.laser_name"]
        if not (own := people.get(micros)):
            continue
        labels = np.array([keypoints.get((micros, person), np.full((NUM_KEYPOINTS, 3), np.nan)) for person in own])
        pixel_pose = pixel_poses.of(micros) if laser == TOP else None
        for image in _images(row, "[LiDARComponent]"):
            points = to_points(image[..., 0], calibrations[laser], pixel_pose, T_world_vehicle[micros])
            boxes = np.array(list(own.values()))
            yield LabelledCloud(micros * 1000, points, boxes, tuple(own), T_world_vehicle[micros], origin, labels)


def to_points(
    ranges: Float32[np.ndarray, "h w"],
    calibration: Mapping[str, Any],
    pixel_pose: Float[np.ndarray, "h w 6"] | None,
    T_world_vehicle: Float64[np.ndarray, "4 4"],
) -> Float64[np.ndarray, "n 3"]:
    """Points of a range image in the vehicle's frame of its stamp, row by row; pixels without a return have none.

    Rows are inclinations from the highest down, columns azimuths from the back over the left. Where every pixel has a
    pose of the vehicle (roll, pitch, yaw, place in the world: the upper LiDAR), what moved since is taken out.
    """
    prefix, (height, width) = "[LiDARCalibrationComponent].", ranges.shape
    T_vehicle_lidar = _matrix(calibration, f"{prefix}extrinsic.transform")
    inclinations = calibration.get(f"{prefix}beam_inclination.values")
    if inclinations is None or not len(inclinations):
        low, high = (calibration[f"{prefix}beam_inclination.{end}"] for end in ("min", "max"))
        inclinations = low + (np.arange(height) + 0.5) / height * (high - low)
    inclination = np.asarray(inclinations, np.float64)[::-1]
    turned = np.arctan2(T_vehicle_lidar[1, 0], T_vehicle_lidar[0, 0])
    azimuth = ((np.arange(width, 0, -1) - 0.5) / width * 2 - 1) * np.pi - turned
    row, column = np.nonzero(ranges > 0)
    across = np.cos(inclination[row])
    direction = np.stack(
        [np.cos(azimuth[column]) * across, np.sin(azimuth[column]) * across, np.sin(inclination[row])], 1
    )
    points = transformed(T_vehicle_lidar, direction * ranges[row, column, None].astype(np.float64))
    if pixel_pose is None:
        return points
    poses = pixel_pose[row, column].astype(np.float64)
    world = Rotation.from_euler("ZYX", poses[:, [2, 1, 0]]).apply(points) + poses[:, 3:]
    return transformed(np.linalg.inv(T_world_vehicle), world)


def _people(file: Path) -> dict[int, dict[str, Float64[np.ndarray, "7"]]]:
    """Boxes of pedestrians by frame and name."""
    prefix = "[LiDARBoxComponent]."
    names = [*(f"box.{what}.{axis}" for what in ("center", "size") for axis in "xyz"), "box.heading"]
    found: dict[int, dict[str, np.ndarray]] = defaultdict(dict)
    for row in rows(file):
        if row[f"{prefix}type"] == PEDESTRIAN:
            box = np.array([row[f"{prefix}{name}"] for name in names])
            found[row["key.frame_timestamp_micros"]][row["key.laser_object_id"]] = box
    return found


def _keypoints(file: Path) -> dict[tuple[int, str], Float64[np.ndarray, "14 3"]]:
    """Labelled keypoints by frame and name, in the vehicle's frame; few frames have any."""
    prefix, found = "[LiDARHumanKeypointsComponent].lidar_keypoints[*].", {}
    for row in rows(file) if file.exists() else ():
        keypoints = np.full((NUM_KEYPOINTS, 3), np.nan)
        places = np.column_stack([row[f"{prefix}keypoint_3d.location_m.{axis}"] for axis in "xyz"])
        for kind, place in zip(row[f"{prefix}type"], places, strict=True):
            if kind in KEYPOINTS:
                keypoints[INDEX[KEYPOINTS[kind]]] = place
        found[row["key.frame_timestamp_micros"], row["key.laser_object_id"]] = keypoints
    return found


class _PixelPoses:
    """The vehicle's pose for each pixel of the upper LiDAR, read as far as it is needed."""

    def __init__(self, file: Path) -> None:
        self._file, self._rows = file, rows(file)
        self._ahead: dict[int, np.ndarray] = {}

    def of(self, micros: int) -> Float[np.ndarray, "h w 6"]:
        """Of a frame; those of frames before it are forgotten. Raises InputError where it has none."""
        while micros not in self._ahead:
            row = next(self._rows, None)
            if row is None:
                raise InputError(f"{self._file} has no pose of {micros}")
            if row["key.laser_name"] == TOP:
                (self._ahead[row["key.frame_timestamp_micros"]],) = _images(row, "[LiDARPoseComponent]")
        found = self._ahead[micros]
        self._ahead = {stamp: image for stamp, image in self._ahead.items() if stamp >= micros}
        return found


def _images(row: Mapping[str, Any], component: str) -> Iterator[Float32[np.ndarray, "h w c"]]:
    """The range images of a row, one for each return."""
    for name in ("range_image_return1", "range_image_return2"):
        values = row.get(f"{component}.{name}.values")
        if values is not None and len(values):
            yield np.reshape(values, tuple(row[f"{component}.{name}.shape"]))


def _matrix(row: Mapping[str, Any], name: str) -> Float64[np.ndarray, "4 4"]:
    return np.reshape(row[name], (4, 4)).astype(np.float64)


def rows(file: Path) -> Iterator[dict[str, Any]]:
    """Rows of a Parquet file, few in memory at a time; lists as arrays. Raises InputError where it cannot be read."""
    try:
        from pyarrow import ArrowException, ListScalar
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise InputError("feather and Parquet files need pyarrow: pip install 'gckpl_ros[data]'") from error
    try:
        with ParquetFile(file) as opened:
            for batch in opened.iter_batches(batch_size=ROWS):
                for place in range(batch.num_rows):
                    cells = {name: batch[name][place] for name in batch.schema.names}
                    yield {
                        name: cell.values.to_numpy(zero_copy_only=False)
                        if isinstance(cell, ListScalar) and cell.is_valid
                        else cell.as_py()
                        for name, cell in cells.items()
                    }
    except (OSError, ArrowException) as error:
        raise InputError(f"cannot read {file}: {error}") from error


SETS: Final = {
    "waymo": DataSet(
        "Waymo Open Dataset", "Waymo Dataset License, non-commercial (waymo.com/open/terms)", units, clouds
    )
}
