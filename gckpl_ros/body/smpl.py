"""SMPL from the user's own .npz: pose blend shapes, blend skinning (Loper et al. 2015, equations 2 to 10).

The model file is not free to redistribute and does not ship. A .pkl of the first release must be converted to .npz.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gckpl_ros.body.body import Posed, keypoints, label_vertices, skin
from gckpl_ros.body.kinematics import JOINTS, PARENTS, forward_kinematics
from gckpl_ros.errors import InputError
from gckpl_ros.files import array_names, load_arrays

KEYS = ("v_template", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table", "f")
NOSE_VERTEX = 332  # of SMPL's topology, as in smplx.vertex_ids
_JOINTS = (*JOINTS, "left_hand", "right_hand")
_PARENTS = (*PARENTS, 20, 21)
_ABOVE = [max(parent, 0) for parent in _PARENTS]
_HEAD = JOINTS.index("head")


def is_smpl(path: Path) -> bool:
    """Whether the .npz looks like an SMPL model; raises InputError when it is no .npz."""
    return "J_regressor" in array_names(path)


class SmplBody:
    """SMPL with hands at rest; the head centre is the mean of the head's vertices, the nose is vertex 332."""

    def __init__(self, path: Path, device: torch.device | str = "cpu", num_betas: int = 10) -> None:
        """Read the .npz; raises InputError when an array is missing or of another model's shape."""
        data = load_arrays(path, *KEYS)
        _check(data, path)
        put = {key: torch.as_tensor(value.astype(np.float32), device=device) for key, value in data.items()}
        self.faces: Tensor = put["f"].long()
        self._template: Tensor = put["v_template"].T.reshape(1, -1)
        self._shape: Tensor = put["shapedirs"][..., :num_betas].permute(2, 1, 0).flatten(1)
        self._pose: Tensor = put["posedirs"].permute(2, 1, 0).flatten(1)
        self._regressor: Tensor = put["J_regressor"].T.contiguous()
        self._weights: Tensor = put["weights"].T.contiguous()
        self._head: Tensor = put["weights"].argmax(1) == _HEAD
        self._nose = min(NOSE_VERTEX, len(put["v_template"]) - 1)
        rest, joints = put["v_template"], put["J_regressor"] @ put["v_template"]
        landmarks = keypoints(joints[None], self._landmarks(rest.T[None]))[0]
        self.parts: Tensor = label_vertices(put["weights"], _JOINTS, rest, landmarks)

    def sample_betas(self, n: int, generator: torch.Generator) -> Float[Tensor, "n s"]:
        """Shapes from the unit normal distribution that SMPL's shape space is scaled to, within 2.5 sigma."""
        betas = torch.randn(n, len(self._shape), generator=generator, device=generator.device)
        return betas.clamp(-2.5, 2.5).to(self._shape.device)

    def __call__(
        self, betas: Float[Tensor, "b s"], pose: Float[Tensor, "b 22 3 3"], translation: Float[Tensor, "b 3"]
    ) -> Posed:
        """Pose bodies: local rotations relative to the T-pose (0 is global), pelvis position in metres."""
        identity = torch.eye(3, device=pose.device, dtype=pose.dtype)
        pose = torch.cat([pose, identity.expand(len(pose), 2, 3, 3)], 1)
        flat = torch.addmm(self._template, betas, self._shape)
        shaped = flat.view(len(betas), 3, -1)
        joints = (shaped @ self._regressor).transpose(1, 2)
        bent = torch.addmm(flat, (pose[:, 1:] - identity).flatten(1), self._pose).view_as(shaped)
        rotations, positions = forward_kinematics(pose, joints - joints[:, _ABOVE], translation, _PARENTS)
        shifts = positions - (rotations @ joints[..., None])[..., 0]
        vertices = skin(bent, self._weights, rotations, shifts)
        head = self._landmarks(vertices.transpose(1, 2))
        positions = positions[:, : len(JOINTS)]
        return Posed(vertices, positions, keypoints(positions, head))

    def _landmarks(self, vertices: Float[Tensor, "b 3 v"]) -> Float[Tensor, "b 2 3"]:
        return torch.stack([vertices[..., self._nose], vertices[..., self._head].mean(2)], 1)


def _check(data: Mapping[str, np.ndarray], path: Path) -> None:
    v, j = data["weights"].shape[0], len(_JOINTS)
    expected = {
        "v_template": (v, 3),
        "weights": (v, j),
        "J_regressor": (j, v),
        "posedirs": (v, 3, 9 * (j - 1)),
        "kintree_table": (2, j),
    }
    for key, shape in expected.items():
        if data[key].shape != shape:
            raise InputError(f"{path}: {key} has shape {data[key].shape}, SMPL's is {shape}; SMPL-H/X are not read")
    if tuple(data["kintree_table"][0, 1:].tolist()) != _PARENTS[1:]:
        raise InputError(f"{path}: kintree_table is not SMPL's")
