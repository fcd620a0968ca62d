"""The packed motion capture set: many clips in one .npz, quaternions (w first) of SMPL's 22 joints."""

from pathlib import Path

import numpy as np
import roma
import torch

from gckpl_ros.errors import InputError
from gckpl_training.archive import array_names, load_arrays
from gckpl_training.kinematics import JOINTS
from gckpl_training.motion.clip import Clip


def is_packed(path: str | Path) -> bool:
    """Whether the .npz holds a packed set; raises InputError when it is no .npz."""
    return "quat_wxyz" in array_names(path)


def read_mocap(path: str | Path, split: str | None = None) -> list[Clip]:
    """Clips of a packed set, all or one split ("train", "val"); raises InputError when keys are missing."""
    data = load_arrays(path, "quat_wxyz", "trans", "start", "name", "subject", "split", "fps", "joint_names")
    if tuple(data["joint_names"].tolist()) != JOINTS:
        raise InputError(f"{path}: joint_names are not SMPL's 22 joints")
    quat = torch.from_numpy(data["quat_wxyz"].astype(np.float32))
    pose = roma.unitquat_to_rotmat(roma.quat_normalize(roma.quat_wxyz_to_xyzw(quat)))
    translation = torch.from_numpy(data["trans"].astype(np.float32))
    spans = list(zip(data["start"][:-1].tolist(), data["start"][1:].tolist(), strict=True))
    clips = [
        Clip(pose[a:b], translation[a:b], float(fps), str(name), str(subject), str(part))
        for (a, b), fps, name, subject, part in zip(
            spans, data["fps"], data["name"], data["subject"], data["split"], strict=True
        )
        if split is None or part == split
    ]
    if not clips:
        raise InputError(f"{path} has no clip in split '{split}'; it has {sorted(set(data['split'].tolist()))}")
    return clips
