"""How sure a flow is of each point: does the point land on the other crop, and does the backward flow lead back?"""

import torch
from jaxtyping import Float
from torch import Tensor

from gckpl_ros.flow.neighbours import squared_distances
from gckpl_ros.flow.types import Flow, Pairs

# Confidence falls to 0.6 where a point lands this far from the other crop, or comes back this far from its start.
LAND_M = 0.1
CYCLE_M = 0.05


def with_confidence(
    pairs: Pairs, forward: Float[Tensor, "b n 3"], backward: Float[Tensor, "b m 3"]
) -> tuple[Flow, Flow]:
    """Both flows with confidence from the Chamfer and the cycle check; zero where masked or the other crop is empty."""
    return _checked(pairs, forward, backward), _checked(pairs.reversed(), backward, forward)


def _checked(pairs: Pairs, forward: Float[Tensor, "b n 3"], backward: Float[Tensor, "b m 3"]) -> Flow:
    real = pairs.mask_t & pairs.mask_t1.any(1, keepdim=True)
    forward = forward.masked_fill(~real[..., None], 0.0)
    if not real.any():
        return Flow(forward, torch.zeros_like(forward[..., 0]))
    landed = (pairs.points_t + forward).masked_fill(~real[..., None], 0.0)
    others = pairs.points_t1.masked_fill(~pairs.mask_t1[..., None], 0.0)
    missed, nearest = squared_distances(landed, real, others, pairs.mask_t1).min(2)
    returned = forward + backward.gather(1, nearest[..., None].expand(-1, -1, 3))
    doubt = missed / (2 * LAND_M**2) + returned.square().sum(-1) / (2 * CYCLE_M**2)
    return Flow(forward, doubt.neg().exp() * real)
