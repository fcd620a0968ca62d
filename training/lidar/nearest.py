"""Ray-triangle tests of candidate triangles, and the nearest hit of every ray."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor

from gckpl_training.lidar.rays import Rays
from gckpl_training.lidar.triangles import Triangles

NO_HIT = torch.iinfo(torch.int64).max


@dataclass(frozen=True, eq=False)
class _Window:
    """The slots of the rays that a chunk's triangles may meet: a part of the grid, or the whole list."""

    slots: int
    ray: Int64[Tensor, " slots"]
    direction: Float[Tensor, "3 slots"]
    columns: int
    first: Int[Tensor, " n"]
    around: bool


def nearest(
    found: Triangles, rays: Rays, rows: int, pairs: int
) -> tuple[Int64[Tensor, " n"], Int64[Tensor, " n"], Int64[Tensor, " n"]]:
    """(row, ray, triangle) of the nearest hit of every ray that hits, testing about ``pairs`` pairs at a time."""
    none = torch.zeros(0, dtype=torch.int64, device=found.row.device)
    if not len(found.row):
        return none, none, none
    window = _grid_window(found, rays) if rays.order is None else _list_window(found, rays)
    # Range and triangle in one integer: bits of positive floats sort like the floats.
    best = torch.full((rows * window.slots,), NO_HIT, device=found.row.device)
    for first, stop, cells in _parts(found, pairs):
        triangle, slot = _pairs(found, rays, window, first, stop, cells)
        hit = _inside(found.plane, triangle, window.direction, slot)
        _keep_nearest(best, found, window, triangle.index_select(0, hit), slot.index_select(0, hit))
    at = (best < NO_HIT).nonzero().squeeze(1)
    triangle = best.index_select(0, at) & 0xFFFFFFFF
    row = found.row.index_select(0, triangle)
    return row, window.ray.index_select(0, at - row * window.slots), triangle


def _parts(found: Triangles, pairs: int) -> Iterator[tuple[int, int, int]]:
    """Ranges of triangles (first, stop, their cells) with about ``pairs`` cells each, at least one triangle."""
    total = found.counts.cumsum(0)
    last = int(total[-1])
    marks = torch.arange(pairs, max(last, pairs), pairs, device=total.device)
    stops = list(dict.fromkeys([*(torch.searchsorted(total, marks) + 1).tolist(), len(total)]))
    ends = total[torch.tensor(stops, device=total.device) - 1].tolist()
    firsts, before = [0, *stops[:-1]], [0, *ends[:-1]]
    for first, stop, begin, end in zip(firsts, stops, before, ends, strict=True):
        yield first, stop, end - begin


def _grid_window(found: Triangles, rays: Rays) -> _Window:
    box = found.cells
    ends = (box.column.min(), (box.column + box.columns).max(), box.beam.min(), (box.beam + box.beams).max())
    left, right, bottom, top = torch.stack(ends).tolist()
    columns = min(right - left, rays.columns)
    across, up = (torch.arange(a, b, device=box.beam.device) for a, b in ((left, left + columns), (bottom, top)))
    ray = (up[:, None] * rays.columns + across % rays.columns).flatten()
    first = (box.beam - bottom) * columns + (box.column - left) % rays.columns
    around = columns == rays.columns
    return _Window(len(ray), ray, rays.direction.index_select(1, ray), columns, first, around)


def _list_window(found: Triangles, rays: Rays) -> _Window:
    ray = torch.arange(rays.direction.shape[1], device=found.row.device)
    first = found.cells.beam * rays.columns + found.cells.column % rays.columns
    return _Window(len(ray), ray, rays.direction, rays.columns, first, True)


def _pairs(found: Triangles, rays: Rays, window: _Window, first: int, stop: int, cells: int) -> tuple[Tensor, Tensor]:
    """Every (triangle, slot) with the slot's ray in a cell of the triangle's footprint."""
    counts, width = found.counts[first:stop], found.cells.columns[first:stop]
    each = torch.arange(stop - first, device=counts.device, dtype=torch.int32)
    local = torch.repeat_interleave(each, counts, output_size=cells)
    start = (counts.cumsum(0) - counts).int()
    index = torch.arange(cells, device=counts.device, dtype=torch.int32) - start.index_select(0, local)
    wide = width.index_select(0, local)
    line = ((index + 0.5) / wide).int()
    cell = window.first[first:stop].index_select(0, local) + line * (window.columns - wide) + index
    if window.around:
        begin = (window.first[first:stop] % window.columns).index_select(0, local)
        past = begin + index - line * wide >= window.columns
        cell = cell - past.int() * window.columns
    triangle = local + first
    return (triangle, cell) if rays.order is None else _listed(rays, triangle, cell)


def _listed(rays: Rays, triangle: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """The rays of each cell, for a pattern that is a list of directions."""
    size = rays.size.index_select(0, cell)
    pair = torch.repeat_interleave(torch.arange(len(cell), device=cell.device), size)
    begin = (rays.start.index_select(0, cell) - (size.cumsum(0) - size)).index_select(0, pair)
    ray = rays.order.index_select(0, begin + torch.arange(len(pair), device=cell.device))
    return triangle.index_select(0, pair), ray


def _inside(
    plane: Float[Tensor, "12 t"],
    triangle: Int[Tensor, " n"],
    direction: Float[Tensor, "3 slots"],
    slot: Int[Tensor, " n"],
) -> Int64[Tensor, " hits"]:
    """Which of the pairs hit: all three volumes positive."""
    x, y, z = (axis.index_select(0, slot) for axis in direction)

    def volume(k: int) -> Tensor:
        a, b, c = (line.index_select(0, triangle) for line in plane[k : k + 3])
        return a.mul_(x).addcmul_(b, y).addcmul_(c, z)

    return (torch.minimum(torch.minimum(volume(0), volume(3)), volume(6)) >= 0).nonzero().squeeze(1)


def _keep_nearest(best: Tensor, found: Triangles, window: _Window, triangle: Tensor, slot: Tensor) -> None:
    normal = (axis.index_select(0, triangle) for axis in found.plane[9:])
    volume = sum(axis.index_select(0, slot) * n for axis, n in zip(window.direction, normal, strict=True))
    key = (volume.reciprocal().view(torch.int32).long() << 32) | triangle
    at = found.row.index_select(0, triangle) * window.slots + slot
    best.scatter_reduce_(0, at, torch.where(volume > 0, key, NO_HIT), "amin")
