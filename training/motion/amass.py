"""AMASS: SMPL-family poses as axis-angle vectors, z-up, metres (Mahmood et al. 2019)."""

from pathlib import Path

import numpy as np
import roma
import torch

from gckpl_ros.errors import InputError
from gckpl_training.archive import array_names, load_arrays
from gckpl_training.kinematics import NUM_JOINTS
from gckpl_training.motion.clip import Clip

# SMPL's pelvis above the model's origin (mean body): AMASS translates the origin, not the pelvis.
PELVIS_M = (-0.0022, -0.2408, 0.0286)


def read_amass(path: str | Path) -> Clip:
    """One AMASS .npz (poses, trans, mocap_framerate); the folder's name is the subject; raises InputError."""
    path = Path(path)
    rate = next((key for key in ("mocap_framerate", "mocap_frame_rate") if key in array_names(path)), "mocap_framerate")
    data = load_arrays(path, "poses", "trans", rate)
    poses, trans, fps = data["poses"].astype(np.float32), data["trans"].astype(np.float32), float(data[rate])
    if poses.ndim != 2 or poses.shape[1] < 3 * NUM_JOINTS or trans.shape != (len(poses), 3) or not len(poses):
        raise InputError(f"{path}: poses {poses.shape} and trans {trans.shape} are not (t, 66 or more) and (t, 3)")
    if not (np.isfinite(poses).all() and np.isfinite(trans).all() and fps > 0):
        raise InputError(f"{path}: poses, trans or {rate} hold values that are no numbers")
    vectors = torch.from_numpy(poses[:, : 3 * NUM_JOINTS].copy()).unflatten(1, (NUM_JOINTS, 3))
    translation = torch.from_numpy(trans) + torch.tensor(PELVIS_M)
    return Clip(roma.rotvec_to_rotmat(vectors), translation, fps, path.stem, path.parent.name)
