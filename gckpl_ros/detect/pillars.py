"""What stands on the ground, as columns of a grid: sparse input of the person network, and the points round a place."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float32, Int64

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
PAD: Final = 12
"""Empty cells round the grid, so that no neighbour lies outside."""


@dataclass(frozen=True)
class Pillars:
    """Occupied cells, sorted, of a grid around the sensor, and the points above the ground in the order of their cells.

    ``points``: x, y from the sensor and height above the ground (m). ``cells``: flat index in a grid of ``width``
    columns. ``index``: row of each grid cell, or the number of cells where it is empty.
    """

    points: Float32[np.ndarray, "n 3"]
    grounds: Float32[np.ndarray, " c"]
    of_point: Int64[np.ndarray, " n"]
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
    low = np.flatnonzero((heights > BELOW_M) & (heights < HIGHEST_M))
    x, y, z = xyz.take(low, axis=1)
    heights = heights[low]
    half = int(np.ceil(range_m / CELL_M)) + PAD
    width = 2 * half
    column = (x * np.float32(1 / CELL_M) + half).astype(np.int32)
    row = (y * np.float32(1 / CELL_M) + half).astype(np.int32)
    flat = column * width + row
    above = heights > LOWEST_M
    occupied = np.zeros(width * width, bool)
    occupied[flat[above]] = True
    cells = np.flatnonzero(occupied)
    index = np.full(width * width, len(cells), np.int64)
    index[cells] = np.arange(len(cells))
    ground_seen = np.bincount(index[flat[~above]], minlength=len(cells) + 1)[: len(cells)]
    standing = np.flatnonzero(above)
    of_point = index[flat[standing]]
    order = np.argsort(of_point.astype(np.uint16) if len(cells) < 1 << 16 else of_point, kind="stable")  # by radix
    of_point, standing = of_point[order], standing[order]
    x, y, z, heights = (axis[standing] for axis in (x, y, z, heights))
    centers = np.stack([cells // width - half + 0.5, cells % width - half + 0.5], 1).astype(np.float32) * CELL_M
    features, grounds = _features(x, y, z, heights, of_point, centers, ground_seen)
    points = np.stack([x, y, heights], 1)
    return Pillars(points, grounds, of_point, cells, features, centers, index, width)


def _features(
    x: Float32[np.ndarray, " n"],
    y: Float32[np.ndarray, " n"],
    z: Float32[np.ndarray, " n"],
    heights: Float32[np.ndarray, " n"],
    of_point: Int64[np.ndarray, " n"],
    centers: Float32[np.ndarray, "c 2"],
    ground_seen: Int64[np.ndarray, " c"],
) -> tuple[Float32[np.ndarray, "c f"], Float32[np.ndarray, " c"]]:
    """Returns in each slice and on the ground, their middle, highest and lowest, range and direction; ground height."""
    count = len(centers)
    level = ((heights - np.float32(LOWEST_M)) * np.float32(1 / SLICE_M)).astype(np.int64).clip(0, SLICES - 1)
    slices = np.bincount(of_point * SLICES + level, minlength=count * SLICES).reshape(count, SLICES)
    total = np.maximum(slices.sum(1), 1)
    starts = np.searchsorted(of_point, np.arange(count))
    top = np.maximum.reduceat(heights, starts) if count else np.zeros(0, np.float32)
    bottom = np.minimum.reduceat(heights, starts) if count else np.zeros(0, np.float32)
    middle = np.stack([np.bincount(of_point, axis, minlength=count) / total for axis in (x, y)], 1) - centers
    distance = np.linalg.norm(centers, axis=1)
    columns = [
        np.log1p(slices) / 2,
        np.log1p(ground_seen)[:, None] / 2,
        np.log1p(total)[:, None] / 4,
        middle / CELL_M,
        np.stack([top, bottom], 1),
        distance[:, None] / FAR_M,
        centers / np.maximum(distance, 0.1)[:, None],
    ]
    grounds = np.bincount(of_point, z - heights, minlength=count) / total
    return np.concatenate(columns, 1, dtype=np.float32), grounds.astype(np.float32)


def around(
    found: Pillars, places: Float32[np.ndarray, "k 2"], radius_m: float, most: int
) -> tuple[Int64[np.ndarray, "k m"], Bool[np.ndarray, "k m"], Int64[np.ndarray, " k"]]:
    """Rows of the points within a radius (m) of each place, at most so many; which are there; of how many.

    Of too many every so manieth is taken. Points lie in the order of their cells: a strip of the grid is one run.
    """
    reach = int(np.ceil(radius_m / CELL_M))
    at = (places / CELL_M + found.width // 2).astype(np.int64)
    strips = np.arange(-reach, reach + 1)
    first = (at[:, :1] + strips) * found.width + at[:, 1:] - reach
    of_cell = np.searchsorted(found.cells, np.stack([first, first + 2 * reach + 1]))
    starts = np.append(np.searchsorted(found.of_point, np.arange(len(found))), len(found.points))
    begin, end = starts[of_cell]
    lengths = (end - begin).ravel()
    total = lengths.cumsum()
    rows = np.arange(total[-1] if len(total) else 0) + np.repeat(begin.ravel() - (total - lengths), lengths)
    owner = np.repeat(np.arange(len(places)).repeat(len(strips)), lengths)
    near = np.square(found.points[rows, :2] - places[owner]).sum(1) <= radius_m**2
    rows, owner = rows[near], owner[near]
    counts = np.bincount(owner, minlength=len(places))
    slot = np.arange(len(rows)) - np.repeat(counts.cumsum() - counts, counts)
    kept = np.minimum(counts, most)
    index = np.zeros((len(places), most), np.int64)
    mask = np.arange(most) < kept[:, None]
    chosen = (slot * kept[owner]) // np.maximum(counts[owner], 1)
    fresh = np.ones(len(rows), bool)
    fresh[1:] = (chosen[1:] != chosen[:-1]) | (owner[1:] != owner[:-1])
    index[mask] = rows[fresh]
    return index, mask, counts
