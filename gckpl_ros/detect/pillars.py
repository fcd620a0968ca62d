"""What stands on the ground, as columns of a grid: sparse input of the person network, and the points round a place."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float32, Int32, Int64

CELL_M: Final = 0.2
SLICE_M: Final = 0.2
SLICES: Final = 13
LOWEST_M: Final = 0.12
"""What is lower above the ground is ground; the slices lie one above the other from here."""
HIGHEST_M: Final = LOWEST_M + SLICES * SLICE_M
BELOW_M: Final = -0.3
FEATURES: Final = SLICES + 9
FAR_M: Final = 25.0
"""Ranges are told to the network as shares of this, however far it is asked to look."""
ENOUGH: Final = 6
"""Of more than so many times the points that are asked for every so manieth is looked at."""
PAD: Final = 12
"""Empty cells round the grid, so that no neighbour lies outside."""
_LOGARITHMS: Final = np.log1p(np.arange(2000, dtype=np.float32))
"""Of numbers and one; hardly a slice holds more returns."""


@dataclass(frozen=True)
class Pillars:
    """Occupied cells, sorted, of a grid around the sensor, and the points above the ground in the order of their cells.

    ``points``: x, y from the sensor and height above the ground (m). ``starts``: where the points of each cell begin,
    and the last ones end. ``cells``: flat index in a grid of ``width`` columns. ``index``: row of each grid cell, or
    the number of cells where it is empty.
    """

    points: Float32[np.ndarray, "n 3"]
    grounds: Float32[np.ndarray, " c"]
    starts: Int64[np.ndarray, " edges"]
    cells: Int64[np.ndarray, " c"]
    features: Float32[np.ndarray, "c f"]
    centers: Float32[np.ndarray, "c 2"]
    index: Int64[np.ndarray, " g"]
    width: int

    def __len__(self) -> int:
        return len(self.cells)

    def beside(self, dilation: int) -> Int64[np.ndarray, "c 9"]:
        """Rows of the three by three cells around each that lie so far apart; the number of cells where empty."""
        line = np.arange(-1, 2) * dilation
        rows: np.ndarray = self.index[self.cells[:, None] + (line[:, None] * self.width + line).ravel()]
        return rows

    def ground(self, places: Float32[np.ndarray, "k 2"]) -> Float32[np.ndarray, " k"]:
        """Height (m, from the sensor) of the ground at places, as it is under the nearest pillar."""
        nearest = (
            np.square(places[:, None] - self.centers).sum(-1).argmin(1) if len(self) else places[:0, 0].astype(int)
        )
        heights: np.ndarray = self.grounds[nearest]
        return heights


def pillars(xyz: Float32[np.ndarray, "3 n"], heights: Float32[np.ndarray, " n"], range_m: float) -> Pillars:
    """Pillars of the points (m, from the sensor) whose heights above the ground are known, within the range."""
    half = int(np.ceil(range_m / CELL_M)) + PAD
    width = 2 * half
    standing = np.flatnonzero((heights > LOWEST_M) & (heights < HIGHEST_M))
    flat = _flat(xyz[:2].take(standing, axis=1), half)
    occupied = np.zeros(width * width, bool)
    occupied[flat] = True
    cells = np.flatnonzero(occupied)
    index = np.full(width * width, len(cells), np.int64)
    index[cells] = np.arange(len(cells))
    lying = np.flatnonzero((heights > BELOW_M) & (heights <= LOWEST_M))
    ground_seen = np.bincount(_flat(xyz[:2].take(lying, axis=1), half), minlength=width * width)[cells]
    of_point = index[flat]
    order = np.argsort(of_point.astype(np.uint16) if len(cells) < 1 << 16 else of_point, kind="stable")  # by radix
    of_point, standing = of_point[order], standing[order]
    x, y, z = xyz.take(standing, axis=1)
    heights = heights[standing]
    centers = np.stack([cells // width - half + 0.5, cells % width - half + 0.5], 1).astype(np.float32) * CELL_M
    starts = np.append(0, np.bincount(of_point, minlength=len(cells)).cumsum())
    features, grounds = _features(x, y, z, heights, of_point, starts, centers, ground_seen)
    points = np.stack([x, y, heights], 1)
    return Pillars(points, grounds, starts, cells, features, centers, index, width)


def _flat(xy: Float32[np.ndarray, "2 n"], half: int) -> Int32[np.ndarray, " n"]:
    """Grid cell of each point."""
    column, row = (xy * np.float32(1 / CELL_M) + np.float32(half)).astype(np.int32)
    flat: np.ndarray = column * np.int32(2 * half) + row
    return flat


def _features(
    x: Float32[np.ndarray, " n"],
    y: Float32[np.ndarray, " n"],
    z: Float32[np.ndarray, " n"],
    heights: Float32[np.ndarray, " n"],
    of_point: Int64[np.ndarray, " n"],
    starts: Int64[np.ndarray, " edges"],
    centers: Float32[np.ndarray, "c 2"],
    ground_seen: Int64[np.ndarray, " c"],
) -> tuple[Float32[np.ndarray, "c f"], Float32[np.ndarray, " c"]]:
    """Returns in each slice and on the ground, their middle, highest and lowest, range and direction; ground height."""
    count, begin = len(centers), starts[:-1]
    if not count:
        return np.zeros((0, FEATURES), np.float32), np.zeros(0, np.float32)
    level = ((heights - np.float32(LOWEST_M)) * np.float32(1 / SLICE_M)).astype(np.int64).clip(0, SLICES - 1)
    slices = np.bincount(of_point * SLICES + level, minlength=count * SLICES).reshape(count, SLICES)
    total = np.diff(starts).astype(np.float32)
    top, bottom = np.maximum.reduceat(heights, begin), np.minimum.reduceat(heights, begin)
    middle = np.stack([np.add.reduceat(axis, begin) / total for axis in (x, y)], 1) - centers
    distance = np.linalg.norm(centers, axis=1)
    columns = [
        _LOGARITHMS[np.minimum(slices, len(_LOGARITHMS) - 1)] / 2,
        np.log1p(ground_seen)[:, None] / 2,
        np.log1p(total)[:, None] / 4,
        middle / CELL_M,
        np.stack([top, bottom], 1),
        distance[:, None] / FAR_M,
        centers / np.maximum(distance, 0.1)[:, None],
    ]
    grounds: np.ndarray = np.add.reduceat(z - heights, begin) / total
    return np.concatenate(columns, 1, dtype=np.float32), grounds


def around(
    found: Pillars, places: Float32[np.ndarray, "k 2"], radius_m: float, most: int
) -> tuple[Int64[np.ndarray, "k m"], Int64[np.ndarray, " k"]]:
    """Rows of ``most`` points within a radius (m) of each place, and of about how many.

    Of too many every so manieth is taken, of too few the first ones again; of none the row is 0 and the number too.
    Points lie in the order of their cells: a strip of the grid is one run.
    """
    reach = int(np.ceil(radius_m / CELL_M))
    at = (places / CELL_M + found.width // 2).astype(np.int64)
    strips = np.arange(-reach, reach + 1)
    first = (at[:, :1] + strips) * found.width + at[:, 1:] - reach
    of_cell = np.searchsorted(found.cells, np.stack([first, first + 2 * reach + 1]))
    begin, end = found.starts[of_cell]
    step = np.maximum((end - begin).sum(1) // (ENOUGH * most), 1)
    lengths = (-((begin - end) // step[:, None])).ravel()
    total = lengths.cumsum()
    place = np.arange(len(places)).repeat(len(strips))
    owner = np.repeat(place, lengths)
    rows = np.arange(total[-1] if len(total) else 0) - np.repeat(total - lengths, lengths)
    rows = rows * step[owner] + np.repeat(begin.ravel(), lengths)
    near = np.square(found.points[rows, :2] - places[owner]).sum(1) <= radius_m**2
    rows, counts = rows[near], np.bincount(owner[near], minlength=len(places))
    slot = np.arange(most) * np.maximum(counts, most)[:, None] // most % np.maximum(counts, 1)[:, None]
    index = (counts.cumsum() - counts)[:, None] + slot
    chosen = rows[np.minimum(index, len(rows) - 1)] if len(rows) else np.zeros(index.shape, np.int64)
    return np.where(counts[:, None] > 0, chosen, 0), counts * step
