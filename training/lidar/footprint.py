"""Which cells of the sensor's grid a triangle may cover: its bounding box in azimuth and tan(elevation)."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor

from gckpl_training.lidar.rays import Rays

# Share of a column by which float32 may misplace a vertex.
COLUMN_MARGIN = 2e-3


class Footprint(NamedTuple):
    """Cells ``column`` .. ``column + columns - 1`` (unwrapped) of beams ``beam`` .. ``beam + beams - 1``."""

    column: Int[Tensor, "*n"]
    columns: Int[Tensor, "*n"]
    beam: Int[Tensor, "*n"]
    beams: Int[Tensor, "*n"]


def footprint(xyz: Float[Tensor, "3 v r"], faces: Int64[Tensor, "3 f"], rays: Rays) -> Footprint:
    """Cells of every face in every row; at least those whose rays meet the triangle."""
    column = torch.atan2(xyz[1], xyz[0]) * (1 / rays.step)
    tan = xyz[2] / torch.hypot(xyz[0], xyz[1]).clamp_(min=1e-12)
    c0, c1, c2 = (column.index_select(0, corner) for corner in faces)
    low, high = _span(_wrap(c1.sub_(c0), rays.columns), _wrap(c2.sub_(c0), rays.columns))
    span = high - low
    # The triangle surrounds the z axis, or comes too near to tell.
    ring = span > rays.columns * 0.4999
    first = (c0 + (low - rays.half - COLUMN_MARGIN)).ceil_().int()
    columns = (c0 + (high + rays.half + COLUMN_MARGIN)).floor_().int().sub_(first).add_(1)
    columns = columns.clamp_(max=rays.columns).masked_fill_(ring, rays.columns)
    beam, beams = _beams(tan, faces, span, ring, rays)
    return Footprint(first, columns, beam, beams)


def _span(d1: Tensor, d2: Tensor) -> tuple[Tensor, Tensor]:
    return torch.minimum(d1, d2).clamp_(max=0), torch.maximum(d1, d2).clamp_(min=0)


def _wrap(difference: Tensor, period: int) -> Tensor:
    return difference.sub_((difference * (1 / period)).round_().mul_(period))


def _beams(tan: Tensor, faces: Tensor, span: Tensor, ring: Tensor, rays: Rays) -> tuple[Tensor, Tensor]:
    """First beam and their number.

    Along an edge tan(elevation) = A cos(azimuth - a): between ends that are 2 x apart it exceeds neither end's value
    by more than the factor 1 / cos(x) <= 1 / (1 - x^2 / 2), and only away from the horizon.
    """
    t0, t1, t2 = (tan.index_select(0, corner) for corner in faces)
    grow = (1 - span.mul(math.pi / rays.columns).square_().mul_(0.5)).clamp_(min=1e-9).reciprocal_()
    low = torch.minimum(torch.minimum(t0, t1), t2)
    high = torch.maximum(torch.maximum(t0, t1), t2)
    low, high = torch.minimum(low, low * grow), torch.maximum(high, high * grow)
    first = rays.first.index_select(0, rays.bin(low).flatten()).view_as(span)
    stop = rays.stop.index_select(0, rays.bin(high).flatten()).view_as(span)
    first, stop = first.masked_fill_(ring, 0), stop.masked_fill_(ring, rays.beams)
    return first, stop.sub_(first).clamp_(min=0)
