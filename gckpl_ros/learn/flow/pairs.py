"""What scene flow takes and gives: consecutive crops of people, and how each of their points moves."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor


@dataclass(frozen=True)
class Pairs:
    """Two consecutive crops of b people, padded, in metres.

    Both crops of a person have the same axes and the same origin (near the person), and the sensor's own motion is
    removed already: a standing person does not move. Where a mask is False there is no point, whatever its value.
    """

    points_t: Float[Tensor, "b n 3"]
    mask_t: Bool[Tensor, "b n"]
    points_t1: Float[Tensor, "b m 3"]
    mask_t1: Bool[Tensor, "b m"]

    def __len__(self) -> int:
        return len(self.points_t)

    def reversed(self) -> "Pairs":
        """The same people with time running backwards."""
        return Pairs(self.points_t1, self.mask_t1, self.points_t, self.mask_t)


@dataclass(frozen=True)
class Flow:
    """How far each point of one crop moves to the time of the other crop (m), and how sure that is (0..1).

    Both are zero where there is no point. Forward flow belongs to ``points_t``, backward flow to ``points_t1``.
    """

    vectors: Float[Tensor, "b n 3"]
    confidence: Float[Tensor, "b n"]


def both_ways(pairs: Pairs) -> Pairs:
    """2 b problems in one batch: first each pair forward, then each backward; padded to the longer of both."""
    longest = max(pairs.points_t.shape[1], pairs.points_t1.shape[1])
    points, mask = _padded(pairs.points_t, pairs.mask_t, longest)
    points1, mask1 = _padded(pairs.points_t1, pairs.mask_t1, longest)
    return Pairs(
        torch.cat([points, points1]), torch.cat([mask, mask1]), torch.cat([points1, points]), torch.cat([mask1, mask])
    )


def _padded(
    points: Float[Tensor, "b n 3"], mask: Bool[Tensor, "b n"], length: int
) -> tuple[Float[Tensor, "b l 3"], Bool[Tensor, "b l"]]:
    """Zeros behind and wherever there is no point, so that what padding held (NaN too) cannot matter."""
    more = length - points.shape[1]
    clean = points.masked_fill(~mask[..., None], 0.0)
    return torch.nn.functional.pad(clean, (0, 0, 0, more)), torch.nn.functional.pad(mask, (0, more))


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
