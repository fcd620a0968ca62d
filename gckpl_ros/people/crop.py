"""Cut people out of a cloud: the points inside each box, padded to one batch for the network."""

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64

from gckpl_ros.batch import PersonBatch
from gckpl_ros.config import CropConfig
from gckpl_ros.people.thinning import evenly
from gckpl_ros.types import Boxes, Cloud

CELL_M = 0.5
GRID = 512  # the coarse grid repeats every GRID cells, so that its size does not depend on the cloud's extent


def crop(cloud: Cloud, boxes: Boxes, config: CropConfig) -> tuple[PersonBatch, Int64[np.ndarray, " b"], dict[str, int]]:
    """Crops of all usable boxes, which boxes they are, and how many were dropped by reason (few_points, bad_box).

    Boxes grow by ``config.margin_m`` on each side; a point may belong to several people; ground stays in.
    """
    good = np.flatnonzero(_usable(boxes))
    rows = _points_in_boxes(cloud.points, boxes[good], config.margin_m)
    counts = np.array([len(row) for row in rows], np.int64)
    enough = np.flatnonzero(counts >= config.min_points)
    kept = good[enough]
    sampled = [_thinned(cloud.points, rows[i], config.max_points) for i in enough]
    dropped = {"bad_box": len(boxes) - len(good), "few_points": len(good) - len(kept)}
    crops = _pack(cloud, boxes.centers[kept], sampled, counts[enough])
    return crops, kept, {reason: count for reason, count in dropped.items() if count}


def _usable(boxes: Boxes) -> Bool[np.ndarray, " b"]:
    numbers = np.column_stack((boxes.centers, boxes.sizes, boxes.yaws))
    usable: np.ndarray = np.isfinite(numbers).all(axis=1) & (boxes.sizes > 0).all(axis=1)
    return usable


def _points_in_boxes(
    points: Float32[np.ndarray, "n 3"], boxes: Boxes, margin_m: float
) -> list[Int64[np.ndarray, " _"]]:
    """Indices of the points inside each enlarged box, in scan order."""
    half = boxes.sizes / 2 + np.float32(margin_m)
    radii = np.hypot(half[:, 0], half[:, 1])
    near = _near_any(points, boxes.centers, radii)
    near = near[np.argsort(points[near, 0])]  # along x, each box needs only one slice of the points
    columns = np.ascontiguousarray(points[near].T)
    first = np.searchsorted(columns[0], boxes.centers[:, 0] - radii)
    last = np.searchsorted(columns[0], boxes.centers[:, 0] + radii, side="right")
    rows = []
    for center, yaw, reach, a, b in zip(boxes.centers, boxes.yaws, half, first, last, strict=True):
        inside = _inside(columns[:, a:b], center, float(yaw), reach)
        rows.append(np.sort(near[a:b][inside]))
    return rows


def _near_any(
    points: Float32[np.ndarray, "n 3"], centers: Float32[np.ndarray, "b 3"], radii: Float32[np.ndarray, " b"]
) -> Int64[np.ndarray, " _"]:
    """Points whose cell of a coarse, periodic grid over x and y is touched by any circle: a superset, fast."""
    touched = np.zeros((GRID, GRID), bool)
    low, high = _cells(centers[:, :2] - radii[:, None]), _cells(centers[:, :2] + radii[:, None])
    for (x0, y0), (x1, y1) in zip(low, np.minimum(high, low + GRID - 1), strict=True):
        touched[np.ix_(np.arange(x0, x1 + 1) % GRID, np.arange(y0, y1 + 1) % GRID)] = True
    x, y = _cells(points[:, 0]) & (GRID - 1), _cells(points[:, 1]) & (GRID - 1)
    return np.flatnonzero(np.take(touched, x * GRID + y))


def _cells(meters: Float32[np.ndarray, "..."]) -> np.ndarray:
    cells: np.ndarray = np.floor(np.clip(meters, -1e8, 1e8) * np.float32(1 / CELL_M)).astype(np.int32)
    return cells


def _inside(
    columns: Float32[np.ndarray, "3 n"], center: Float32[np.ndarray, "3"], yaw: float, half: Float32[np.ndarray, "3"]
) -> Bool[np.ndarray, " n"]:
    x, y, z = columns - center[:, None]
    cos, sin = np.cos(yaw), np.sin(yaw)
    along, across = cos * x + sin * y, cos * y - sin * x
    inside: np.ndarray = (np.abs(along) <= half[0]) & (np.abs(across) <= half[1]) & (np.abs(z) <= half[2])
    return inside


def _thinned(points: Float32[np.ndarray, "n 3"], row: Int64[np.ndarray, " m"], most: int) -> Int64[np.ndarray, " _"]:
    """At most ``most`` of a person's points, spread evenly over the body, in scan order."""
    if len(row) <= most:
        return row
    inside = torch.from_numpy(points[row] - points[row].mean(0))[None]
    chosen = evenly(inside, torch.ones(inside.shape[:2], dtype=torch.bool), most)
    thinned: Int64[np.ndarray, " _"] = np.sort(row[chosen[0].numpy()])
    return thinned


def _pack(
    cloud: Cloud, centers: Float32[np.ndarray, "b 3"], rows: list[np.ndarray], counts: Int64[np.ndarray, " b"]
) -> PersonBatch:
    lengths = np.array([len(row) for row in rows], np.int64)
    mask = np.arange(lengths.max(initial=0)) < lengths[:, None]
    index = np.full(mask.shape, -1, np.int64)
    points = np.zeros((*mask.shape, 3), np.float32)
    if rows:
        index[mask] = np.concatenate(rows)
        points = np.where(mask[..., None], cloud.points[index] - centers[:, None], np.float32(0))
    views = centers - np.asarray(cloud.origin, np.float32)
    arrays = {"points": points, "mask": mask, "index": index, "origins": centers, "views": views, "counts": counts}
    return PersonBatch(**{name: torch.from_numpy(array) for name, array in arrays.items()})
