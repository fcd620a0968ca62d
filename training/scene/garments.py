"""Hats and skirts: rings of vertices round the head and round the thighs."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from gckpl_training.kinematics import JOINT
from gckpl_training.scene.meshes import circle

HAT_POINTS, HAT_RINGS = 10, 4
SKIRT_POINTS, SKIRT_RINGS = 16, 4


def hat(
    center: Float[Tensor, "b 3"],
    frame: Float[Tensor, "b 3 3"],
    radius: Float[Tensor, " b"],
    shape: Float[Tensor, "b 3"],
) -> Float[Tensor, "b 40 3"]:
    """Brim, band, crown and top; shape (scale, height, brim); the top is at least one head radius above the centre."""
    scale, height, brim = shape.unbind(-1)
    zero, one = torch.zeros_like(scale), torch.ones_like(scale)
    wide = torch.stack([one + brim, one, 0.9 * one, zero], -1)
    high = torch.stack([0.3 * one, 0.35 * one, 0.75 * one + 0.8 * height, one + height], -1)
    ring = wide[:, :, None, None] * circle(HAT_POINTS, center.device)
    local = torch.cat([ring, high[:, :, None, None].expand(-1, -1, HAT_POINTS, 1)], -1).flatten(1, 2)
    return center[:, None] + (scale * radius)[:, None, None] * (local @ frame.transpose(1, 2))


def skirt(
    joints: Float[Tensor, "b 22 3"],
    torso: Float[Tensor, "b 3 3"],
    radius: Float[Tensor, " b"],
    shape: Float[Tensor, "b 3"],
) -> Float[Tensor, "b 64 3"]:
    """The hull of both thighs from the hips down; shape (length in thighs, clearance, flare); follows the legs."""
    hips = joints[:, [JOINT["left_hip"], JOINT["right_hip"]]]
    thighs = joints[:, [JOINT["left_knee"], JOINT["right_knee"]]] - hips
    length, clearance, flare = shape.unbind(-1)
    down = length[:, None] * torch.linspace(-0.08, 1, SKIRT_RINGS, device=joints.device)
    centers = hips[:, None] + down[:, :, None, None] * thighs[:, None]
    around = _around(thighs, torso)
    along = torch.einsum("brsx,bkx->brks", centers, around)
    leftmost = (along[..., 0] > along[..., 1])[..., None]
    nearest = torch.where(leftmost, centers[:, :, None, 0], centers[:, :, None, 1])
    reach = (radius + clearance)[:, None] + flare[:, None] * down * thighs.norm(dim=-1).mean(1, keepdim=True)
    rings = nearest + reach[:, :, None, None] * around[:, None]
    worn = (length > 0)[:, None, None]
    return torch.where(worn, rings.flatten(1, 2), joints[:, :1])


def thigh_radius(
    left: Float[Tensor, "b n 3"], right: Float[Tensor, "b m 3"], joints: Float[Tensor, "b 22 3"]
) -> Float[Tensor, " b"]:
    """Largest distance of the clothed thighs' vertices from their axes, in metres."""
    reaches = []
    for side, points in (("left", left), ("right", right)):
        hip = joints[:, JOINT[f"{side}_hip"]][:, None]
        axis = normalize(joints[:, JOINT[f"{side}_knee"]][:, None] - hip, dim=-1)
        spokes = points - hip
        reaches.append((spokes.square().sum(-1) - (spokes * axis).sum(-1).square()).amax(1))
    return torch.stack(reaches).amax(0).clamp(min=0).sqrt()


def _around(thighs: Float[Tensor, "b 2 3"], torso: Float[Tensor, "b 3 3"]) -> Float[Tensor, "b 16 3"]:
    """Directions across the mean thigh, counter-clockwise from the left."""
    axis = normalize(thighs.sum(1), dim=-1)
    left = torso[:, :, 1]
    left = normalize(left - (left * axis).sum(-1, keepdim=True) * axis, dim=-1)
    front = torch.linalg.cross(axis, left)
    unit = circle(SKIRT_POINTS, thighs.device)
    return unit[:, :1] * left[:, None] + unit[:, 1:] * front[:, None]
