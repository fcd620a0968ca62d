"""Keypoint metrics of n people whose predictions and truths are already paired: metres in, metres or fractions out.

Sources: GC-KPL (CVPR 2023) for the matched error; the Waymo Open Dataset's published ``keypoint_metrics.py`` for PCK,
OKS and PEM; Umeyama (PAMI 1991) for the similarity alignment.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment

from gckpl_ros.skeleton import KEYPOINTS

Keypoints = Float[np.ndarray, "n k 3"]
Distances = Float[np.ndarray, "n k"]

PCK_THRESHOLDS_M: Final = (0.05, 0.1, 0.15, 0.2, 0.3)
PCK_BOX_THRESHOLDS: Final = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
AUC_LIMIT_M: Final = 0.2
OKS_THRESHOLDS: Final = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
PEM_PENALTY_M: Final = 0.25
_OKS_SCALE: Final = {
    "nose": 0.052,
    "shoulder": 0.158,
    "elbow": 0.144,
    "wrist": 0.124,
    "hip": 0.214,
    "knee": 0.174,
    "ankle": 0.178,
    "head_center": 0.158,
}
OKS_SCALES: Final = np.array([_OKS_SCALE[name.removeprefix("left_").removeprefix("right_")] for name in KEYPOINTS])


def distances(predicted: Keypoints, truth: Keypoints) -> Distances:
    """Distance of every keypoint to its truth, ||y_hat_j - y_j||_2 (m). Their mean is the MPJPE."""
    errors: Distances = np.linalg.norm(predicted - truth, axis=-1)
    return errors


def similarity_align(predicted: Keypoints, truth: Keypoints) -> Keypoints:
    """Each prediction after the similarity (s, R, t) that minimises sum_j ||s R y_hat_j + t - y_j||^2 (Umeyama 1991).

    R is a proper rotation (no mirror), s >= 0. A prediction whose keypoints all coincide collapses to the truth's mean.
    """
    mean_predicted, mean_truth = predicted.mean(1, keepdims=True), truth.mean(1, keepdims=True)
    source = (predicted - mean_predicted).astype(np.float64)
    target = (truth - mean_truth).astype(np.float64)
    u, singular, vt = np.linalg.svd(np.einsum("nki,nkj->nij", target, source))
    singular[:, 2] *= (sign := np.sign(np.linalg.det(u) * np.linalg.det(vt)))
    u[:, :, 2] *= sign[:, None]
    spread = np.square(source).sum((1, 2))
    scale = singular.sum(1) / np.where(spread > 0, spread, 1.0)
    aligned: Keypoints = scale[:, None, None] * np.einsum("nij,nkj->nki", u @ vt, source) + mean_truth
    return aligned


def aligned_distances(predicted: Keypoints, truth: Keypoints) -> Distances:
    """Distances (m) after the best similarity of each person. Their mean is the PA-MPJPE."""
    return distances(similarity_align(predicted, truth), truth)


def matched_distances(predicted: Keypoints, truth: Keypoints) -> Distances:
    """Distance (m) of each truth keypoint to the predicted keypoint that the Hungarian assignment gives it.

    The assignment minimises the sum of distances within each person, whatever the keypoints are called; the mean is
    GC-KPL's MPJPE_matched, so that swapped left and right cost nothing. Columns follow the truth's keypoints.
    """
    cost = np.linalg.norm(truth[:, :, None] - predicted[:, None], axis=-1)
    columns = np.array([linear_sum_assignment(person)[1] for person in cost], np.int64).reshape(cost.shape[:2])
    matched: Distances = np.take_along_axis(cost, columns[:, :, None], axis=2)[:, :, 0]
    return matched


def pck(errors: Distances, thresholds: Sequence[float]) -> dict[float, float]:
    """PCK@t: the fraction of keypoints with error <= t; the unit of t is that of ``errors``."""
    return {t: float((errors <= t).mean()) for t in thresholds}


def pck_box(errors: Distances, scales: Float[np.ndarray, " n"]) -> dict[float, float]:
    """Waymo's PCK: the fraction of keypoints with error <= t x box scale (``box_scale``), t in 0.05 .. 0.5."""
    return pck(errors / scales[:, None], PCK_BOX_THRESHOLDS)


def pck_auc(errors: Distances, limit: float = AUC_LIMIT_M) -> float:
    """Area under PCK@t for t in 0 .. limit (m), divided by limit: 1 is perfect.

    In closed form (PCK is a step function of t): mean(max(0, 1 - error / limit)).
    """
    return float(np.clip(1 - errors / limit, 0, None).mean())


def box_scale(sizes: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
    """The scale of an object (m): the cube root of its box's volume."""
    scales: Float[np.ndarray, " n"] = np.cbrt(np.prod(sizes, axis=1, dtype=np.float64))
    return scales


def oks(errors: Distances, scales: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Object keypoint similarity of each person: mean_j exp(-d_j^2 / (2 (s k_j)^2)), s the box scale, k per joint."""
    per_joint = np.exp(-0.5 * np.square(errors / (scales[:, None] * OKS_SCALES)))
    similarity: Float[np.ndarray, " n"] = per_joint.mean(1)
    return similarity


def oks_ap(similarities: Float[np.ndarray, " n"], missed: int = 0) -> float:
    """Waymo's AP: the fraction of true people with OKS > t, averaged over t in 0.5 .. 0.95; a missed one has OKS 0."""
    passed = similarities[:, None] > np.array(OKS_THRESHOLDS)
    return float(passed.sum() / (len(OKS_THRESHOLDS) * max(len(similarities) + missed, 1)))


def pem(errors: Distances, unmatched: int) -> float:
    """Pose Estimation Metric (m): (sum_M min(d, 0.25) + 0.25 |U|) / (|M| + |U|).

    M are the matched keypoints, U those of missed and of invented people (``unmatched`` people, 14 keypoints each).
    Matched errors are capped at the penalty, as in Waymo's code: a bad guess costs no more than none.
    """
    unmatched_keypoints = unmatched * errors.shape[1]
    total = np.minimum(errors, PEM_PENALTY_M).sum() + PEM_PENALTY_M * unmatched_keypoints
    return float(total / max(errors.size + unmatched_keypoints, 1))
