"""Cut people out of a cloud: the points inside each box, padded to one batch for the network."""

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64

from gckpl_ros.batch import PersonBatch
from gckpl_ros.config import CropConfig
from gckpl_ros.geometry import points_in_boxes
from gckpl_ros.people.thinning import thinned
from gckpl_ros.reasons import BAD_BOX, FEW_POINTS
from gckpl_ros.types import Boxes, Cloud


def crop(cloud: Cloud, boxes: Boxes, config: CropConfig) -> tuple[PersonBatch, Int64[np.ndarray, " b"], dict[str, int]]:
    """Crops of all usable boxes, which boxes they are, and how many were dropped by reason.

    Boxes grow by ``config.margin_m`` on each side; a point may belong to several people; ground stays in.
    """
    good = np.flatnonzero(_usable(boxes))
    rows = points_in_boxes(cloud.points, boxes[good], config.margin_m)
    counts = np.array([len(row) for row in rows], np.int64)
    enough = np.flatnonzero(counts >= config.min_points)
    kept = good[enough]
    sampled = thinned(cloud.points, [rows[i] for i in enough], config.max_points)
    dropped = {BAD_BOX: len(boxes) - len(good), FEW_POINTS: len(good) - len(kept)}
    crops = _pack(cloud, boxes.centers[kept], sampled, counts[enough])
    return crops, kept, {reason: count for reason, count in dropped.items() if count}


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
