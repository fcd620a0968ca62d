"""Which prediction is which true person: Hungarian matching within a frame, as for Waymo's Pose Estimation Metric."""

from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int64
from scipy.optimize import linear_sum_assignment

from gckpl_ros.types import Boxes

GATE_M: Final = 0.25
_FORBIDDEN: Final = 1e6


def match_people(
    predicted: Float[np.ndarray, "p 14 3"], truth: Float[np.ndarray, "t 14 3"], boxes: Boxes
) -> tuple[Int64[np.ndarray, " m"], Int64[np.ndarray, " m"]]:
    """Indices (truth, predicted) of the matched pairs: as many as can be, and of those the least sum of MPJPE.

    Only candidates are matched: predictions with a keypoint within 0.25 m of the truth's box.
    """
    allowed = candidates(predicted, boxes)
    errors = np.linalg.norm(truth[:, None] - predicted[None], axis=-1).mean(-1)
    rows, columns = linear_sum_assignment(np.where(allowed, errors, _FORBIDDEN))
    valid = allowed[rows, columns]
    return rows[valid], columns[valid]


def candidates(predicted: Float[np.ndarray, "p 14 3"], boxes: Boxes, gate: float = GATE_M) -> Bool[np.ndarray, "t p"]:
    """Whether each prediction has at least one keypoint at most ``gate`` (m) away from each box."""
    offsets = predicted[None] - boxes.centers[:, None, None]
    cos, sin = np.cos(boxes.yaws)[:, None, None], np.sin(boxes.yaws)[:, None, None]
    x, y, z = np.moveaxis(offsets, -1, 0)
    in_box = np.stack((cos * x + sin * y, cos * y - sin * x, z), axis=-1)
    outside = np.clip(np.abs(in_box) - boxes.sizes[:, None, None] / 2, 0, None)
    near: Bool[np.ndarray, "t p"] = (np.linalg.norm(outside, axis=-1) <= gate).any(-1)
    return near
