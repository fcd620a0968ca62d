"""A crude body of tubes round the bones: the second person near by, at a sixth of a body's faces."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn.functional import normalize

from gckpl_ros.skeleton import INDEX
from gckpl_training.kinematics import JOINT
from gckpl_training.scene.frames import torso_frame
from gckpl_training.scene.meshes import circle, tube_faces

POINTS = 6
# Bone ends and radius as a share of the trunk (pelvis to neck, 0.55 m on a grown-up).
_LIMBS = [
    (f"{side}_{start}", f"{side}_{end}", radius)
    for side in ("left", "right")
    for start, end, radius in (
        ("hip", "knee", 0.16),
        ("knee", "ankle", 0.11),
        ("ankle", "foot", 0.08),
        ("shoulder", "elbow", 0.10),
        ("elbow", "wrist", 0.08),
    )
]
_STARTS = [JOINT[start] for start, _, _ in _LIMBS] + [JOINT["pelvis"]]
_ENDS = [JOINT[end] for _, end, _ in _LIMBS] + [JOINT["neck"]]
_RADII = [radius for _, _, radius in _LIMBS] + [0.24, 0.19]
# Each tube closes towards its ends: position along the bone, share of the radius.
_ALONG, _SHARE = (-0.12, 0.0, 0.95, 1.12), (0.4, 1.0, 1.0, 0.4)
VERTICES = len(_RADII) * len(_ALONG) * POINTS


def mannequin(joints: Float[Tensor, "b 22 3"], keypoints: Float[Tensor, "b 14 3"]) -> Float[Tensor, "b v 3"]:
    """Tubes round limbs, trunk and head, in the frame of the joints; faces from ``mannequin_faces``."""
    neck, center = joints[:, JOINT["neck"]], keypoints[:, INDEX["head_center"]]
    start = torch.cat([joints[:, _STARTS], neck[:, None]], 1)
    end = torch.cat([joints[:, _ENDS], (1.7 * center - 0.7 * neck)[:, None]], 1)
    trunk = (neck - joints[:, JOINT["pelvis"]]).norm(dim=-1)
    radius = trunk[:, None] * torch.tensor(_RADII, device=joints.device)
    bone = end - start
    torso = torso_frame(joints)[:, None]
    axis = normalize(bone, dim=-1)
    front = normalize(torch.linalg.cross(torso[..., 1].expand_as(axis), axis), dim=-1)
    wide = torch.ones(len(_RADII), device=joints.device)
    wide[-2] = 1.4  # the trunk is wider than deep
    across = torch.linalg.cross(axis, front) * wide[:, None]
    ring = circle(POINTS, joints.device)
    spokes = radius[..., None, None] * (ring[:, :1] * front[:, :, None] + ring[:, 1:] * across[:, :, None])
    along, share = torch.tensor([_ALONG, _SHARE], device=joints.device)[:, :, None, None]
    return (
        (start[:, :, None] + bone[:, :, None] * along[:, :, 0])[:, :, :, None] + share * spokes[:, :, None]
    ).flatten(1, 3)


def mannequin_faces(device: torch.device | None = None) -> Int64[Tensor, "f 3"]:
    """Triangles of ``mannequin``."""
    tube = tube_faces(len(_ALONG), POINTS, device)
    starts = torch.arange(len(_RADII), device=device) * len(_ALONG) * POINTS
    return (tube + starts[:, None, None]).flatten(0, 1)
