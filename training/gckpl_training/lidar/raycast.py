"""The triangles that may return a ray, prepared so that each ray-triangle test is three dot products.

For a ray s d from the sensor and a triangle v0 v1 v2 with normal n = (v1 - v0) x (v2 - v0): the volumes
d . (v1 x v2), d . (v2 x v0), d . (v0 x v1) over v0 . n are the barycentric coordinates divided by s (Moeller and
Trumbore 1997, solved for a common origin), and s = v0 . n / (d . n).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int, Int64
from torch import Tensor

from gckpl_training.lidar.sensors import Sensor

# The rays of one frame, sorted into cells of azimuth and tan(elevation), so that a triangle finds those it may meet.
#
# Both coordinates suit flat triangles: on a plane through the sensor, tan(elevation) is a cosine of the azimuth, so an
# edge's extremes have a closed bound. A spinning sensor has one ray per cell, at its very centre; a list of directions
# is binned, and each bin knows its rays.

LOOKUP_BINS = 4096
LIST_CELL_DEG = 1.5


@dataclass(frozen=True, eq=False)
class Rays:
    """Directions (cos azimuth, sin azimuth, tan elevation), and the grid of cells they lie in.

    ``half`` is half a cell's width in columns (0 where rays sit at cell centres); ``first`` and ``stop`` bound the
    beams that an interval of tan(elevation) may meet, looked up by ``bin``; ``start`` and ``size`` say which of
    ``order`` are the rays of a cell (None: ray = cell).
    """

    columns: int
    beams: int
    half: float
    low: float
    bins_per_tan: float
    first: Int[Tensor, " bins"]
    stop: Int[Tensor, " bins"]
    direction: Float[Tensor, "3 rays"]
    order: Int64[Tensor, " rays"] | None = None
    start: Int64[Tensor, " cells"] | None = None
    size: Int64[Tensor, " cells"] | None = None

    @property
    def step(self) -> float:
        """Angle between columns, rad."""
        return 2 * math.pi / self.columns

    def bin(self, tan: Float[Tensor, "*n"]) -> Int[Tensor, "*n"]:
        """Lookup bin of tan(elevation); the outermost bins are open."""
        return ((tan - self.low) * self.bins_per_tan).clamp_(0, LOOKUP_BINS - 1).int()


def rays(sensor: Sensor, time_s: float, device: torch.device) -> Rays:
    """The rays of the frame that starts at ``time_s``; azimuth 0 is the x axis."""
    if sensor.directions is None:
        return _grid(sensor, str(device))
    return _binned(sensor.directions(time_s).double(), device)


@lru_cache(maxsize=32)
def _grid(sensor: Sensor, device: str) -> Rays:
    tan = torch.tensor(sensor.elevations_deg, dtype=torch.float64).deg2rad().tan()
    azimuth = torch.arange(sensor.columns, dtype=torch.float64) * sensor.azimuth_step
    low, scale, first, stop = _lookup(tan, tan)
    direction = torch.stack(
        (
            azimuth.cos().repeat(sensor.beams),
            azimuth.sin().repeat(sensor.beams),
            tan.repeat_interleave(sensor.columns),
        )
    )
    tables = (first.to(device), stop.to(device), direction.float().to(device))
    return Rays(sensor.columns, sensor.beams, 0.0, low, scale, *tables)


def _binned(angles: Float[Tensor, "2 n"], device: torch.device) -> Rays:
    azimuth, tan = angles[0], angles[1].tan()
    columns = round(360 / LIST_CELL_DEG)
    beams = max(2, math.ceil(float(angles[1].max() - angles[1].min()) / math.radians(LIST_CELL_DEG)))
    edges = torch.linspace(float(angles[1].min()) - 1e-6, float(angles[1].max()) + 1e-6, beams + 1).double().tan()
    column = (azimuth * (columns / (2 * math.pi))).round().long() % columns
    beam = (torch.searchsorted(edges, tan, right=True) - 1).clamp(0, beams - 1)
    cell = beam * columns + column
    order = cell.argsort(stable=True)
    size = torch.bincount(cell, minlength=beams * columns)
    low, scale, first, stop = _lookup(edges[:-1], edges[1:])
    direction = torch.stack((azimuth.cos(), azimuth.sin(), tan)).float()
    lists = (order.to(device), (size.cumsum(0) - size).to(device), size.to(device))
    tables = (first.to(device), stop.to(device), direction.to(device))
    # Cells are widened by a little, as rays at a rounded bin border may lie on either side of it.
    return Rays(columns, beams, 0.5 + 1e-4, low, scale, *tables, *lists)


def _lookup(starts: Tensor, ends: Tensor) -> tuple[float, float, Tensor, Tensor]:
    """Per bin of tan(elevation): the first beam an interval beginning there may meet, and the stop of one ending."""
    low, high = float(starts[0]) - 1e-3, float(ends[-1]) + 1e-3
    edges = torch.linspace(low, high, LOOKUP_BINS + 1, dtype=torch.float64)
    margin = (high - low) / LOOKUP_BINS * 1e-2
    below = torch.cat((edges.new_tensor([-math.inf]), edges[1:-1])) - margin
    above = torch.cat((edges[1:-1], edges.new_tensor([math.inf]))) + margin
    first = torch.searchsorted(ends, below)
    stop = torch.searchsorted(starts, above, right=True)
    return low, LOOKUP_BINS / (high - low), first.int(), stop.int()


# Which cells of the sensor's grid a triangle may cover: its bounding box in azimuth and tan(elevation).

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


# A triangle thinner than this share of its distance is below what float32 coordinates resolve.
THINNEST = 1e-6


@dataclass(frozen=True, eq=False)
class Triangles:
    """n candidate triangles of a chunk of rows; ``plane`` holds the three edge volumes, then the normal, by v0 . n."""

    row: Int64[Tensor, " n"]
    face: Int64[Tensor, " n"]
    cells: Footprint
    plane: Float[Tensor, "12 n"]

    @property
    def counts(self) -> Int[Tensor, " n"]:
        """Cells of each triangle."""
        return self.cells.columns * self.cells.beams


def triangles(
    xyz: Float[Tensor, "3 v r"], faces: Int64[Tensor, "3 f"], rays: Rays, cull: Bool[Tensor, " f"]
) -> Triangles:
    """Triangles that cover at least one cell and are neither degenerate nor, where ``cull``, seen from behind."""
    box = footprint(xyz, faces, rays)
    active = ((box.columns > 0) & (box.beams > 0)).flatten().nonzero().squeeze(1)
    rows = xyz.shape[2]
    face = torch.div(active, rows, rounding_mode="trunc")
    row = active - face * rows
    plane, good = _planes(xyz, faces, face, row, cull)
    chosen = good.nonzero().squeeze(1)
    active = active.index_select(0, chosen)
    cells = Footprint(*(values.flatten().index_select(0, active) for values in box))
    return Triangles(row.index_select(0, chosen), face.index_select(0, chosen), cells, plane.index_select(1, chosen))


def _planes(xyz: Tensor, faces: Tensor, face: Tensor, row: Tensor, cull: Tensor) -> tuple[Tensor, Tensor]:
    rows = xyz.shape[2]
    flat = xyz.flatten(1)
    index = [corner.index_select(0, face) * rows + row for corner in faces]
    v0, v1, v2 = ([axis.index_select(0, i) for axis in flat] for i in index)
    e01, e12, e20 = _minus(v1, v0), _minus(v2, v1), _minus(v0, v2)
    normal = _cross(e20, e01)
    volume = _dot(v0, normal)
    longest = torch.maximum(torch.maximum(_dot(e01, e01), _dot(e12, e12)), _dot(e20, e20))
    good = (_dot(normal, normal) > THINNEST**2 * longest * _dot(v0, v0)) & (volume != 0)
    good &= (volume < 0) | ~cull.index_select(0, face)
    # Crossing with an edge rather than with the far vertex keeps the small differences that float32 would lose.
    parts = (*_cross(v1, e12), *_cross(v2, e20), *_cross(v0, e01), *normal)
    return torch.stack(parts).div_(volume), good


def _minus(a: list[Tensor], b: list[Tensor]) -> list[Tensor]:
    return [p - q for p, q in zip(a, b, strict=True)]


def _dot(a: list[Tensor], b: list[Tensor]) -> Tensor:
    return torch.addcmul(torch.addcmul(a[0] * b[0], a[1], b[1]), a[2], b[2])


def _cross(a: list[Tensor], b: list[Tensor]) -> list[Tensor]:
    return [torch.addcmul(a[i] * b[j], a[j], b[i], value=-1) for i, j in ((1, 2), (2, 0), (0, 1))]


# Ray-triangle tests of candidate triangles, and the nearest hit of every ray.

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
    assert rays.order is not None and rays.start is not None and rays.size is not None
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
