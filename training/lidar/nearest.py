"""Ray-triangle tests of candidate triangles, and the nearest hit of every ray."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from gckpl_training.lidar.rays import Rays
from gckpl_training.lidar.triangles import Triangles

NO_HIT = torch.iinfo(torch.int64).max


class _Window(NamedTuple):
    """The part of the grid that a chunk's triangles touch, first cell and size; the whole ring where it is wide."""

    column: int
    columns: int
    beam: int
    beams: int


def nearest(
    found: Triangles, rays: Rays, rows: int, pairs: int
) -> tuple[Int64[Tensor, " n"], Int64[Tensor, " n"], Int64[Tensor, " n"]]:
    """(row, ray, triangle) of the nearest hit of every ray that hits, testing about ``pairs`` pairs at a time."""
    none = torch.zeros(0, dtype=torch.int64, device=found.row.device)
    if not len(found.row):
        return none, none, none
    window = _window(found, rays)
    slots = rays.direction.shape[1] if rays.order is not None else window.beams * window.columns
    # Range and triangle in one integer: bits of positive floats sort like the floats.
    best = torch.full((rows * slots,), NO_HIT, device=found.row.device)
    for first, stop, cells in _parts(found, pairs):
        triangle, ray, slot = _pairs(found, rays, window, first, stop, cells)
        volumes = dot_rows(found.plane, triangle, rays.direction, ray)
        hit = (torch.minimum(torch.minimum(volumes[0], volumes[1]), volumes[2]) >= 0).nonzero().squeeze(1)
        _keep_nearest(best, found, rays, slots, triangle[hit], ray[hit], slot[hit])
    return _winners(best, rays, window, slots)


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


def _window(found: Triangles, rays: Rays) -> _Window:
    box = found.cells
    low, high = box.column.min(), (box.column + box.columns).max()
    first, stop = box.beam.min(), (box.beam + box.beams).max()
    column, end, beam, top = torch.stack((low, high, first, stop)).tolist()
    return _Window(column, min(end - column, rays.columns), beam, top - beam)


def _pairs(
    found: Triangles, rays: Rays, window: _Window, first: int, stop: int, cells: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Every (triangle, ray, slot of the ray in the window) with the ray in a cell of the triangle's footprint."""
    box = [values[first:stop] for values in found.cells]
    counts = box[1] * box[3]
    device = counts.device
    local = torch.repeat_interleave(torch.arange(stop - first, device=device), counts, output_size=cells)
    start = (counts.cumsum(0) - counts).index_select(0, local)
    index = (torch.arange(cells, device=device) - start).int()
    width = box[1].index_select(0, local)
    line = ((index + 0.5) / width).int()
    column = box[0].index_select(0, local) + (index - line * width)
    beam = box[2].index_select(0, local) + line
    cell = beam * rays.columns + column % rays.columns
    triangle = local + first
    if rays.order is None:
        inside = column - window.column
        inside = inside % rays.columns if window.columns == rays.columns else inside
        return triangle, cell, (beam - window.beam) * window.columns + inside
    triangle, ray = _listed(rays, triangle, cell)
    return triangle, ray, ray


def _listed(rays: Rays, triangle: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """The rays of each cell, for a pattern that is a list of directions."""
    size = rays.size.index_select(0, cell)
    pair = torch.repeat_interleave(torch.arange(len(cell), device=cell.device), size)
    begin = (rays.start.index_select(0, cell) - (size.cumsum(0) - size)).index_select(0, pair)
    ray = rays.order.index_select(0, begin + torch.arange(len(pair), device=cell.device))
    return triangle.index_select(0, pair), ray


def dot_rows(
    plane: Float[Tensor, "t 12"], triangle: Tensor, direction: Float[Tensor, "3 rays"], ray: Tensor
) -> list[Tensor]:
    d = [axis.index_select(0, ray) for axis in direction]
    p = plane.index_select(0, triangle)
    return [torch.addcmul(torch.addcmul(p[:, k] * d[0], p[:, k + 1], d[1]), p[:, k + 2], d[2]) for k in (0, 3, 6)]


def _keep_nearest(
    best: Tensor, found: Triangles, rays: Rays, slots: int, triangle: Tensor, ray: Tensor, slot: Tensor
) -> None:
    normal = found.plane.index_select(0, triangle).t()[9:]
    distance = 1 / dot(normal, rays.direction.index_select(1, ray))[0]
    key = (distance.contiguous().view(torch.int32).long() << 32) | triangle
    at = found.row.index_select(0, triangle) * slots + slot
    best.scatter_reduce_(0, at, torch.where(distance > 0, key, NO_HIT), "amin")


def dot(plane: Float[Tensor, "m n"], direction: Float[Tensor, "3 n"]) -> Float[Tensor, "m/3 n"]:
    """Dot product of every three lines of ``plane`` with ``direction``."""
    return (plane.unflatten(0, (-1, 3)) * direction).sum(1)


def _winners(best: Tensor, rays: Rays, window: _Window, slots: int) -> tuple[Tensor, Tensor, Tensor]:
    at = (best < NO_HIT).nonzero().squeeze(1)
    triangle = best.index_select(0, at) & 0xFFFFFFFF
    row = torch.div(at, slots, rounding_mode="trunc")
    slot = at - row * slots
    if rays.order is not None:
        return row, slot, triangle
    beam = torch.div(slot, window.columns, rounding_mode="trunc")
    column = (slot - beam * window.columns + window.column) % rays.columns
    return row, (beam + window.beam) * rays.columns + column, triangle
