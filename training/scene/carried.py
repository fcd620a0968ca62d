"""Backpacks, bags, boxes and carts: one box each, which rides with the body."""

import torch
from jaxtyping import Float
from torch import Tensor

from gckpl_training.kinematics import JOINT
from gckpl_training.scene.frames import heading_frame
from gckpl_training.scene.meshes import boxes
from gckpl_training.scene.outfit import THINGS, Outfit

GROWN_TRUNK_M = 0.55  # pelvis to neck


def things(
    joints: Float[Tensor, "b 22 3"],
    torso: Float[Tensor, "b 3 3"],
    depth: Float[Tensor, "b 2"],
    floor: Float[Tensor, " b"],
    outfit: Outfit,
) -> Float[Tensor, "b 40 3"]:
    """Corners of the outfit's THINGS; ``depth`` is how far the trunk reaches behind the spine and before the pelvis."""
    heading = heading_frame(torso)
    sizes = outfit.sizes * _fit(joints)
    along, across, up = sizes.unbind(-1)
    nudge = outfit.nudges * torch.tensor([0.1, 0.3, 0.3], device=joints.device) * sizes
    hand, hip = _of_side(joints, outfit.side, "wrist"), _of_side(joints, outfit.side, "hip")
    hand = hand + 0.3 * (hand - _of_side(joints, outfit.side, "elbow"))
    chest = 0.35 * joints[:, JOINT["pelvis"]] + 0.65 * joints[:, JOINT["neck"]]
    pelvis = joints[:, JOINT["pelvis"]]
    hands = (joints[:, JOINT["left_wrist"]] + joints[:, JOINT["right_wrist"]]) / 2
    hands_before = ((hands - pelvis) * torso[:, :, 0]).sum(-1)
    clear = (depth[:, 1] + along[:, 3] / 2 + 0.03 - hands_before).clamp(min=0)
    ground = torch.cat([pelvis[:, :2], floor[:, None]], -1)
    beside = outfit.side * (joints[:, JOINT["left_hip"]] - joints[:, JOINT["right_hip"]]).norm(dim=-1)
    centers = torch.stack(
        [
            chest - torso[:, :, 0] * (depth[:, 0] + along[:, 0] / 2)[:, None],
            hand - heading[:, :, 2] * (0.1 + up[:, 1] / 2)[:, None],
            hip + torso[:, :, 1] * (0.8 * beside + outfit.side * across[:, 2] / 2)[:, None],
            hands + torso[:, :, 0] * clear[:, None],
            ground
            + heading[:, :, 0] * (0.45 + along[:, 4] / 2)[:, None]
            + heading[:, :, 2] * (up[:, 4] / 2 + 0.05)[:, None],
        ],
        1,
    )
    axes = torch.stack([torso, heading, torso, torso, heading], 1)
    return boxes(centers + (axes @ nudge[..., None])[..., 0], axes, sizes)


def _fit(joints: Float[Tensor, "b 22 3"]) -> Float[Tensor, "b 5 1"]:
    """Children carry smaller things: the share of a grown-up's trunk; carts have one size."""
    trunk = (joints[:, JOINT["neck"]] - joints[:, JOINT["pelvis"]]).norm(dim=-1)
    share = (trunk / GROWN_TRUNK_M).clamp(0.4, 1.1)[:, None].repeat(1, len(THINGS))
    share[:, THINGS.index("cart")] = 1
    return share[..., None]


def _of_side(joints: Float[Tensor, "b 22 3"], side: Float[Tensor, " b"], name: str) -> Float[Tensor, "b 3"]:
    left, right = joints[:, JOINT[f"left_{name}"]], joints[:, JOINT[f"right_{name}"]]
    return torch.where(side[:, None] > 0, left, right)
