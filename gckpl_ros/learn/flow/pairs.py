"""What scene flow works on: two consecutive frames of people around a common origin, and how sure a flow is.

A pair is a ``PersonBatch`` of shape (b, 2): z up, the sensor's own motion removed, so that a standing person does not
move. Flow (m) of each frame's points leads to the other frame: forward of the first, backward of the second.
"""

from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gckpl_ros.batch import PersonBatch


def both_ways(pairs: PersonBatch) -> PersonBatch:
    """2 b problems in one batch, first each pair forward, then each backward, around each pair's first origin.

    Points are zero where there is none, so that what padding held (NaN too) cannot matter.
    """
    pairs = pairs.around_first()
    backward = replace(PersonBatch.stack([pairs.frame(1), pairs.frame(0)]), dt_s=pairs.dt_s)
    return PersonBatch.join([pairs, backward])


# Distances between the points of two masked batches.

# Added to the squared distance for each of both points that does not exist.
FAR_M2 = 1e6


def squared_distances(
    a: Float[Tensor, "b n 3"], mask_a: Bool[Tensor, "b n"], b: Float[Tensor, "b m 3"], mask_b: Bool[Tensor, "b m"]
) -> Float[Tensor, "b n m"]:
    """Squared distances (m^2) of all points of a row to each other; ``FAR_M2`` or more where one does not exist."""
    square_a = a.square().sum(-1) + FAR_M2 * ~mask_a
    square_b = b.square().sum(-1) + FAR_M2 * ~mask_b
    distance = torch.baddbmm(square_b[:, None], a, b.transpose(1, 2), alpha=-2)
    return (distance + square_a[..., None]).clamp_min(0)


# How sure a flow is of each point: does the point land on the other crop, and does the backward flow lead back?

# Confidence falls to 0.6 where a point lands this far from the other crop, or comes back this far from its start.
LAND_M = 0.1
CYCLE_M = 0.05


def with_flow(pairs: PersonBatch, forward: Float[Tensor, "b n 3"], backward: Float[Tensor, "b n 3"]) -> PersonBatch:
    """The pairs with both flows, and their confidence from the Chamfer and the cycle check.

    Flow and confidence are zero where masked, or where the other crop is empty.
    """
    around = pairs.around_first()
    flows = [_checked(around, 0, forward, backward), _checked(around, 1, backward, forward)]
    flow, confidence = (torch.stack(values, 1) for values in zip(*flows, strict=True))
    return replace(pairs, flow=flow, flow_confidence=confidence)


def _checked(
    pairs: PersonBatch, place: int, forward: Float[Tensor, "b n 3"], backward: Float[Tensor, "b n 3"]
) -> tuple[Float[Tensor, "b n 3"], Float[Tensor, "b n"]]:
    here, there = pairs.frame(place), pairs.frame(1 - place)
    real = here.mask & there.mask.any(1, keepdim=True)
    forward = forward.masked_fill(~real[..., None], 0.0)
    if not real.any():
        return forward, torch.zeros_like(forward[..., 0])
    landed = (here.points + forward).masked_fill(~real[..., None], 0.0)
    missed, nearest = squared_distances(landed, real, there.points, there.mask).min(2)
    returned = forward + backward.gather(1, nearest[..., None].expand(-1, -1, 3))
    doubt = missed / (2 * LAND_M**2) + returned.square().sum(-1) / (2 * CYCLE_M**2)
    return forward, doubt.neg().exp() * real
