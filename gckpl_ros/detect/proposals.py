"""Clusters that are as large as a person, with the shape cues that tell people from posts, boxes and walls."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Int64
from scipy import ndimage

from gckpl_ros.config import DetectConfig

# Clusters of points in the ground plane, because beams lie far apart in height but close around.

SPLIT = 3  # grid cells per radius


def cluster(xy: Float32[np.ndarray, "2 n"], radius_m: float) -> Int64[np.ndarray, " n"]:
    """Label of each point, from 0; points up to ``radius_m`` apart in x and y hang together (a third more: may).

    Connected components of an occupancy grid whose occupied cells grow by one to each side: linear in the points.
    """
    if not xy.shape[1]:
        return np.zeros(0, np.int64)
    corner = xy.min(axis=1, keepdims=True)
    x, y = ((xy - corner) * np.float32(SPLIT / radius_m)).astype(np.int32) + 1
    occupied = np.zeros((int(x.max()) + 2, int(y.max()) + 2), bool)
    occupied[x, y] = True
    labels, _ = ndimage.label(_grown(occupied), structure=np.ones((3, 3)))
    of_point: np.ndarray = labels[x, y].astype(np.int64) - 1
    return of_point


def _grown(cells: Bool[np.ndarray, "x y"]) -> Bool[np.ndarray, "x y"]:
    rows = cells.copy()
    rows[1:] |= cells[:-1]
    rows[:-1] |= cells[1:]
    grown: np.ndarray = rows.copy()
    grown[:, 1:] |= rows[:, :-1]
    grown[:, :-1] |= rows[:, 1:]
    return grown


HEAD_M = 0.22  # the head is what lies within this below the top
HEAD_WIDTH_M = 0.45  # at most
BODY_WIDTH_M = 0.35  # at least: posts are thinner
BODY_TO_HEAD = 1.3  # at least: boxes, bushes and pieces of wall are as wide at the top as below


@dataclass(frozen=True)
class Candidates:
    """Person-sized clusters: mean of the points, extent in x and y, top above ground, ground height, widths (m)."""

    means: Float32[np.ndarray, "c 2"]
    low: Float32[np.ndarray, "c 2"]
    high: Float32[np.ndarray, "c 2"]
    tops: Float32[np.ndarray, " c"]
    grounds: Float32[np.ndarray, " c"]
    counts: Int64[np.ndarray, " c"]
    head_widths: Float32[np.ndarray, " c"]
    body_widths: Float32[np.ndarray, " c"]

    def __len__(self) -> int:
        return len(self.means)

    @property
    def human(self) -> Bool[np.ndarray, " c"]:
        """Looks like a head on a wider body."""
        narrow = self.head_widths <= HEAD_WIDTH_M
        wide = self.body_widths >= np.maximum(BODY_WIDTH_M, BODY_TO_HEAD * self.head_widths)
        human: np.ndarray = narrow & wide
        return human


def candidates(
    xyz: Float32[np.ndarray, "3 n"],
    heights: Float32[np.ndarray, " n"],
    labels: Int64[np.ndarray, " n"],
    config: DetectConfig,
) -> Candidates:
    """Clusters that pass the gates of number, height, width and gap to the ground."""
    fits = _gates(xyz, heights, labels, config)
    chosen = np.flatnonzero(fits[labels])
    xyz, heights = xyz.take(chosen, axis=1), heights[chosen]
    labels = (np.cumsum(fits) - 1)[labels[chosen]]
    count = int(fits.sum())
    low, high = _extent(xyz[:2], labels, count)
    tops = _extent(heights[None], labels, count)[1][:, 0]
    head = heights > tops[labels] - HEAD_M
    body = (heights > 0.4 * tops[labels]) & ~head
    return Candidates(
        means=np.stack([_mean(axis, labels, count) for axis in xyz[:2]], axis=1),
        low=low,
        high=high,
        tops=tops,
        grounds=_mean(xyz[2] - heights, labels, count),
        counts=np.bincount(labels, minlength=count),
        head_widths=_widths(xyz[:2, head], labels[head], count),
        body_widths=_widths(xyz[:2, body], labels[body], count),
    )


def _gates(
    xyz: Float32[np.ndarray, "3 n"],
    heights: Float32[np.ndarray, " n"],
    labels: Int64[np.ndarray, " n"],
    config: DetectConfig,
) -> Bool[np.ndarray, " l"]:
    count = int(labels.max(initial=-1)) + 1
    low, high = _extent(np.stack((xyz[0], xyz[1], heights)), labels, count)
    width = (high - low)[:, :2].max(axis=1)
    fits: np.ndarray = (
        (np.bincount(labels, minlength=count) >= config.min_points)
        & (width <= config.max_width_m)
        & (low[:, 2] <= config.max_ground_gap_m)
        & (high[:, 2] >= config.min_height_m)
        & (high[:, 2] <= config.max_height_m)
    )
    return fits


def _extent(
    values: Float32[np.ndarray, "d n"], labels: Int64[np.ndarray, " n"], count: int
) -> tuple[Float32[np.ndarray, "c d"], Float32[np.ndarray, "c d"]]:
    """Least and greatest value of each label."""
    low = np.full((len(values), count), np.inf, np.float32)
    high = -low
    for row, axis in enumerate(values):
        np.minimum.at(low[row], labels, axis)
        np.maximum.at(high[row], labels, axis)
    return low.T, high.T


def _widths(xy: Float32[np.ndarray, "2 n"], labels: Int64[np.ndarray, " n"], count: int) -> Float32[np.ndarray, " c"]:
    low, high = _extent(xy, labels, count)
    widths: np.ndarray = np.maximum(high - low, 0).max(axis=1)
    return widths


def _mean(values: Float32[np.ndarray, " n"], labels: Int64[np.ndarray, " n"], count: int) -> Float32[np.ndarray, " c"]:
    sums = np.bincount(labels, values, minlength=count)
    return (sums / np.maximum(np.bincount(labels, minlength=count), 1)).astype(np.float32)
