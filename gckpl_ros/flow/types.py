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
