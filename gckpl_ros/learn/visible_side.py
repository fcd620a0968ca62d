"""Corrections for the visible side, beyond the paper: a sensor sees skin, and only the half of it that faces it.

The paper's points-to-limb and joint-to-part losses are least when limbs and joints lie in the seen surface. Here the
surface lies a limb's radius from its axis, and a joint lies behind the centre of what is seen of its part.
"""

from typing import Final

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from gckpl_ros.learn.geometric import limb_weights, mean_over_limbs, mean_over_people, part_centres, segment_distance

# Median distance (m) of the bare skin from the segment of each of skeleton.LIMBS, on the body that ships: the skin of
# the parent's part, each piece at its nearest limb. A test measures them again. The trunk is no cylinder: 0.03 to 0.18.
_ARM_AND_LEG: Final = (0.045, 0.029, 0.098, 0.084, 0.047)
LIMB_RADII_M: Final = (0.088, *_ARM_AND_LEG, *_ARM_AND_LEG)
HUBER_M: Final = 0.02


def limb_radius_loss(
    keypoints: Float[Tensor, "b 14 3"],
    points: Float[Tensor, "b n 3"],
    mask: Bool[Tensor, "b n"],
    parts: Float[Tensor, "b n 15"],
    share: Float[Tensor, "b l n"] | None = None,
    radii: Float[Tensor, "#b l"] | None = None,
    huber_m: float = HUBER_M,
) -> Float[Tensor, ""]:
    """1/|L| sum_l 1/N sum_i W_ia H(d(p_i, l) - radius_l), m: points lie a limb's radius (m) from its segment.

    H is Huber's function over ``huber_m``: e^2 / 2h up to h, |e| - h / 2 beyond, so that stray points pull no harder.
    """
    if radii is None:
        radii = points.new_tensor(LIMB_RADII_M)[None]
    error = segment_distance(points, keypoints) - radii[..., None]
    robust = functional.huber_loss(error, torch.zeros_like(error), reduction="none", delta=huber_m) / huber_m
    return mean_over_limbs(limb_weights(parts, mask, share) * robust, mask)


def joint_behind_part_loss(
    keypoints: Float[Tensor, "b 14 3"],
    points: Float[Tensor, "b n 3"],
    mask: Bool[Tensor, "b n"],
    parts: Float[Tensor, "b n 15"],
    views: Float[Tensor, "b 3"],
    depths: Float[Tensor, "#b 14"],
) -> Float[Tensor, ""]:
    """L_j2p with each part's centre moved away from the sensor by ``depths`` (m) along the line of sight through it.

    ``views`` is the vector sensor -> origin of the points (as in ``types.Crops``). The depths depend on the view; the
    simulator knows them.
    """
    centres, present = part_centres(points, mask, parts)
    sight = functional.normalize(centres + views[:, None], dim=-1)
    distance = (keypoints - centres - depths[..., None] * sight).norm(dim=-1)
    return mean_over_people((distance * present).mean(1), mask.any(1))
