"""Cut people out of a cloud: the points inside each box, padded to one batch for the network."""

from typing import Final

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64

from gckpl_ros.batch import PersonBatch
from gckpl_ros.config import CropConfig
from gckpl_ros.geometry import most_points_in_boxes, points_in_boxes
from gckpl_ros.people.thinning import thinned
from gckpl_ros.reasons import BAD_BOX, FEW_POINTS, TOO_MANY
from gckpl_ros.types import Boxes, Cloud

# Of more boxes than people are wanted, the nearest are counted first, and no more than this: looks at boxes, in
# multiples of the wanted, and looks at points.
_LOOKS: Final = 8
_POINT_LOOKS: Final = 2_000_000


def crop(
    cloud: Cloud, boxes: Boxes, config: CropConfig, most: int | None = None
) -> tuple[PersonBatch, Int64[np.ndarray, " b"], dict[str, int]]:
    """Crops of all usable boxes, which boxes they are, and how many were dropped by reason.

    Boxes grow by ``config.margin_m`` on each side; a point may belong to several people; ground stays in. ``most``: of
    more boxes with enough points the nearest to the sensor are taken.
    """
    good = np.flatnonzero(_usable(boxes))
    dropped = {BAD_BOX: len(boxes) - len(good)}
    if most is None or len(good) <= most:
        rows = points_in_boxes(cloud.points, boxes[good], config.margin_m)
    else:
        near, rows, beyond = _nearest(cloud, boxes[good], config, most)
        good = good[near]
        dropped |= beyond
    counts = np.array([len(row) for row in rows], np.int64)
    enough = np.flatnonzero(counts >= config.min_points)
    kept = good[enough]
    sampled = thinned(cloud.points, [rows[i] for i in enough], config.max_points)
    dropped[FEW_POINTS] = dropped.get(FEW_POINTS, 0) + len(good) - len(kept)
    crops = _pack(cloud, boxes.centers[kept], sampled, counts[enough])
    return crops, kept, {reason: count for reason, count in dropped.items() if count}


def _nearest(
    cloud: Cloud, boxes: Boxes, config: CropConfig, most: int
) -> tuple[Int64[np.ndarray, " b"], list[Int64[np.ndarray, " _"]], dict[str, int]]:
    """The nearest boxes with enough points, in the boxes' order, their points, and how many were left out and why.

    Thousands of boxes cost little: most are known to be empty by a coarse grid, and the search has an end.
    """
    upper = most_points_in_boxes(cloud.points, boxes, config.margin_m)
    distances = np.linalg.norm(boxes.centers - np.asarray(cloud.origin, np.float32), axis=1)
    order = np.argsort(distances, kind="stable")
    order = order[upper[order] >= config.min_points]
    few = len(boxes) - len(order)
    within = upper[order].cumsum() <= _POINT_LOOKS
    found: dict[int, Int64[np.ndarray, " _"]] = {}
    looked = 0
    while looked < len(order) and len(found) < most and (not looked or within[looked]) and looked < _LOOKS * most:
        chunk = order[looked : looked + most]
        for box, row in zip(chunk.tolist(), points_in_boxes(cloud.points, boxes[chunk], config.margin_m), strict=True):
            if len(found) < most:
                looked += 1
                if len(row) >= config.min_points:
                    found[box] = row
                else:
                    few += 1
    near = np.array(sorted(found), np.int64)
    return near, [found[box] for box in near.tolist()], {FEW_POINTS: few, TOO_MANY: len(order) - looked}


def _usable(boxes: Boxes) -> Bool[np.ndarray, " b"]:
    numbers = np.column_stack((boxes.centers, boxes.sizes, boxes.yaws))
    usable: np.ndarray = np.isfinite(numbers).all(axis=1) & (boxes.sizes > 0).all(axis=1)
    return usable


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
