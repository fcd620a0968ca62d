"""Clusters of points in the ground plane, because beams lie far apart in height but close around."""

import numpy as np
from jaxtyping import Bool, Float32, Int64
from scipy import ndimage

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
