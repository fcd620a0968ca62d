"""SLOPER4D and Human-M3 as they lie on disk: people whose bodies or joints were captured.

Fields and frames are those of the sets' own loaders: https://github.com/climbingdaily/SLOPER4D and
https://github.com/soullessrobot/Human-M3-Dataset (lib/dataset/human_m3.py). Boxes are not labelled: they are the extent
of somebody's points and keypoints.
"""

import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Float, Float64

from gckpl_ros.errors import InputError
from gckpl_ros.io.recording.clouds import read_cloud
from gckpl_ros.skeleton import INDEX, NUM_KEYPOINTS
from gckpl_training.data.convert import DataSet, LabelledCloud

AROUND_M: Final = 0.2
"""How far flesh and clothes reach beyond keypoints."""

# SLOPER4D: SEQ/SEQ_labels.pkl. The world's frame is z up; first_person.lidar_traj holds a row for each LiDAR frame:
# number, place, quaternion xyzw, stamp (s); second_person is who is looked at: point_clouds (m, world) of the frames
# point_frame, and an SMPL body for each frame of frame_num: opt_pose (72 axis angles), opt_trans, beta.


def _sloper_units(root: Path) -> list[str]:
    return sorted(str(file.relative_to(root).with_suffix("")) for file in root.rglob("*_labels.pkl"))


def _sloper_clouds(root: Path, unit: str, smpl: Path | None) -> Iterator[LabelledCloud]:
    data = plain_pickle(root / f"{unit}.pkl")
    sensor, person = np.asarray(data["first_person"]["lidar_traj"], np.float64), data["second_person"]
    place = {int(number): row for row, number in enumerate(data["frame_num"])}
    keypoints = None
    if smpl is not None:
        poses, shifts = (np.asarray(person[name], np.float64) for name in ("opt_pose", "opt_trans"))
        keypoints = smpl_keypoints(smpl, np.asarray(person["beta"], np.float64), poses, shifts)
    for number, own in zip(person["point_frame"], person["point_clouds"], strict=True):
        row = place[int(number)]
        points = np.asarray(own, np.float64).reshape(-1, 3)
        points = points[np.isfinite(points).all(1)]
        known = None if keypoints is None else keypoints[row]
        if len(points):
            yield LabelledCloud(
                round(float(sensor[row, -1]) * 1e9),
                points,
                extent(points, known)[None],
                ("second_person",),
                origin=sensor[row, 1:4],
                keypoints=None if known is None else known[None],
            )


class _Plain(pickle.Unpickler):
    """Reads numbers, text and arrays: anything else in a pickle could run code."""

    def find_class(self, module: str, name: str) -> Any:
        """What arrays are made by."""
        if module.split(".")[0] == "numpy" and name in ("_reconstruct", "ndarray", "dtype", "scalar", "_frombuffer"):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it holds {module}.{name}, and arrays alone are read")


def plain_pickle(file: Path) -> Any:
    """A pickle of arrays; raises InputError where it holds anything else, or is damaged."""
    try:
        with file.open("rb") as opened:
            return _Plain(opened, encoding="latin1").load()
    except (pickle.UnpicklingError, EOFError, AttributeError, ValueError) as error:
        raise InputError(f"cannot read {file}: {error}") from error


def smpl_keypoints(
    model: Path,
    betas: Float64[np.ndarray, "..."],
    poses: Float64[np.ndarray, "n 72"],
    shifts: Float64[np.ndarray, "n 3"],
) -> Float64[np.ndarray, "n 14 3"]:
    """Keypoints of SMPL bodies of one person, whose shift moves the model's origin, by the user's own model file."""
    import torch
    from scipy.spatial.transform import Rotation

    from gckpl_ros.body.body import SmplBody

    body, found = SmplBody(model), []
    shape = torch.from_numpy(betas.reshape(-1)[None, :10]).float()
    pelvis = body.pelvis(shape)
    for rows in np.array_split(np.arange(len(poses)), -(-len(poses) // 256)):
        turns = Rotation.from_rotvec(poses[rows].reshape(-1, 3)).as_matrix().reshape(len(rows), 24, 3, 3)[:, :22]
        at = torch.from_numpy(shifts[rows]).float() + pelvis
        found.append(body(shape.expand(len(rows), -1), torch.from_numpy(turns).float(), at).keypoints.double().numpy())
    return np.concatenate(found)


def extent(points: Float[np.ndarray, "n 3"], keypoints: Float[np.ndarray, "k 3"] | None) -> Float64[np.ndarray, "7"]:
    """The upright box around points and keypoints, with room around the latter."""
    around = () if keypoints is None else (keypoints - AROUND_M, keypoints + AROUND_M)
    corners = np.concatenate([points, *around])
    low, high = np.nanmin(corners, 0), np.nanmax(corners, 0)
    return np.array([*(low + high) / 2, *np.maximum(high - low, 1e-2), 0.0])


# Human-M3: {train,test}/SCENE/pointcloud/NNNNNN.pcd and pose_calib/NNNN.json, which names 15 joints of each person in
# the cloud's frame. Clouds come ten a second; nothing says where the sensors stood.

M3_JOINTS: Final = (
    *("pelvis", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle", "neck", "head"),
    *("left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist"),
)
M3_NS: Final = 100_000_000
# SMPL's head joint lies near the skull's base: the nearest that the 14 have is the head's centre.
_M3_NAMES: Final = {"head": "head_center"}


def _m3_units(root: Path) -> list[str]:
    return sorted(str(folder.parent.relative_to(root)) for folder in root.glob("*/*/pose_calib"))


def _m3_clouds(root: Path, unit: str) -> Iterator[LabelledCloud]:
    for label in sorted((root / unit / "pose_calib").glob("*.json")):
        people: dict[str, Any] = json.loads(label.read_text())
        keypoints = np.full((len(people), NUM_KEYPOINTS, 3), np.nan)
        for own, joints in zip(keypoints, people.values(), strict=True):
            for name, place in zip(M3_JOINTS, np.asarray(joints, np.float64).reshape(len(M3_JOINTS), 3), strict=True):
                if (known := _M3_NAMES.get(name, name)) in INDEX:
                    own[INDEX[known]] = place
        if people:
            frame = int(label.stem)
            points = read_cloud(root / unit / f"pointcloud/{frame:06d}.pcd")
            boxes = np.stack([extent(np.zeros((0, 3)), own) for own in keypoints])
            yield LabelledCloud(frame * M3_NS, points, boxes, tuple(people), keypoints=keypoints)


SETS: Final = {
    "sloper4d": DataSet("SLOPER4D", "research only (lidarhumanmotion.net)", _sloper_units, _sloper_clouds, bodies=True),
    "human_m3": DataSet("Human-M3", "research only (DATA_LICENSE)", _m3_units, _m3_clouds),
}
