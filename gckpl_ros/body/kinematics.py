"""The skeleton under every body: SMPL's 22 joints, forward kinematics, the left-right mirror.

Body axes: x left, y up, z forward. Local rotations are relative to a T-pose whose joint frames all equal the body
axes; rotation 0 turns body axes into a z-up world (SMPL, Loper et al. 2015, without the hands).
"""

from collections.abc import Sequence
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

JOINTS: Final = (
    "pelvis",
    "left_hip",
    "right_hip",
    "spine1",
    "left_knee",
    "right_knee",
    "spine2",
    "left_ankle",
    "right_ankle",
    "spine3",
    "left_foot",
    "right_foot",
    "neck",
    "left_collar",
    "right_collar",
    "head",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
)
NUM_JOINTS: Final = len(JOINTS)
JOINT: Final = {name: index for index, name in enumerate(JOINTS)}
PARENTS: Final = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19)
# Joint order after a mirror: left and right change places.
MIRROR_JOINTS: Final = tuple(
    JOINT[name.replace("left", "#").replace("right", "left").replace("#", "right")] for name in JOINTS
)
# A person who stands upright and faces the world's x: body z -> x, x -> y, y -> z.
R_WORLD_BODY: Final = ((0.0, 0.0, 1.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0))


def upright(like: Tensor) -> Float[Tensor, "3 3"]:
    """Rotation of body axes to the world for a person who stands and faces x; device and dtype of `like`."""
    return torch.tensor(R_WORLD_BODY, device=like.device, dtype=like.dtype)


def levels(parents: Sequence[int]) -> list[list[int]]:
    """Joints by their depth in the tree, the root left out: joints of one level can be posed together."""
    depth = [0] * len(parents)
    for joint, parent in enumerate(parents[1:], 1):
        depth[joint] = depth[parent] + 1
    return [[j for j, d in enumerate(depth) if d == level] for level in range(1, max(depth) + 1)]


def forward_kinematics(
    pose: Float[Tensor, "b j 3 3"],
    offsets: Float[Tensor, "b j 3"],
    translation: Float[Tensor, "b 3"],
    parents: Sequence[int] = PARENTS,
) -> tuple[Float[Tensor, "b j 3 3"], Float[Tensor, "b j 3"]]:
    """Global rotations and positions (m) of all joints; `offsets` lead from parent to joint in the T-pose."""
    rotations: list[Tensor] = [pose[:, 0]] + [pose[:, 0]] * (len(parents) - 1)
    positions: list[Tensor] = [translation] * len(parents)
    for level in levels(parents):
        above = [parents[joint] for joint in level]
        R_parent = torch.stack([rotations[q] for q in above], 1)
        moved = torch.stack([positions[q] for q in above], 1) + (R_parent @ offsets[:, level, :, None])[..., 0]
        turned = R_parent @ pose[:, level]
        for i, joint in enumerate(level):
            rotations[joint], positions[joint] = turned[:, i], moved[:, i]
    return torch.stack(rotations, 1), torch.stack(positions, 1)


def mirror_pose(pose: Float[Tensor, "b j 3 3"]) -> Float[Tensor, "b j 3 3"]:
    """The pose seen in a mirror on the world's xz plane (y changes sign): left and right change places."""
    body = torch.tensor([-1.0, 1.0, 1.0], device=pose.device, dtype=pose.dtype)
    world = torch.tensor([1.0, -1.0, 1.0], device=pose.device, dtype=pose.dtype)
    mirrored = body[:, None] * pose[:, MIRROR_JOINTS] * body
    return torch.cat([world[:, None] * pose[:, :1] * body, mirrored[:, 1:]], 1)


def mirror_translation(translation: Float[Tensor, "b 3"]) -> Float[Tensor, "b 3"]:
    """The position that belongs to `mirror_pose`: y changes sign."""
    return translation * torch.tensor([1.0, -1.0, 1.0], device=translation.device, dtype=translation.dtype)
