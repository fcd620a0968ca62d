"""Sub-sampling that evens out density: dense rings of a scan must not crowd out the sparse ones."""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

CELL_M = 0.06
GOLDEN = 0.6180339887498949


def evenly(
    points: Float[Tensor, "b n 3"], mask: Bool[Tensor, "b n"], most: int, generator: torch.Generator | None = None
) -> Int64[Tensor, "b m"]:
    """Indices of at most ``most`` points of each row: first one of each 6 cm cell, then a second, and so on.

    Points that do not exist (mask False) come last. Within cells and between them chance decides, or without a
    generator the golden ratio's sequence, which spreads over the scan and is the same every time.
    """
    place = torch.arange(mask.shape[1], device=mask.device).expand_as(mask)
    lots = (
        (place * GOLDEN) % 1 if generator is None else torch.rand(mask.shape, generator=generator, device=mask.device)
    )
    order = lots.argsort(1)
    by_cell, within = _cells(points, mask).gather(1, order).sort(dim=1, stable=True)
    new = torch.ones_like(mask)
    new[:, 1:] = by_cell[:, 1:] != by_cell[:, :-1]
    rank = place - torch.where(new, place, 0).cummax(1).values
    rank = torch.empty_like(rank).scatter_(1, within, rank)
    rank = rank + mask.shape[1] * ~mask.gather(1, order)
    return order.gather(1, rank.argsort(dim=1, stable=True)[:, :most])


def _cells(points: Float[Tensor, "b n 3"], mask: Bool[Tensor, "b n"]) -> Int64[Tensor, "b n"]:
    """One number for each cell; crops are a few metres wide, far from the 60 m at which numbers would repeat."""
    x, y, z = ((points / CELL_M).floor().long() + 512).unbind(-1)
    cells: Tensor = torch.where(mask, (x * 1024 + y) * 1024 + z, -1)
    return cells
