"""Keypoint metrics of n people whose predictions and truths are already paired: metres in, metres or fractions out.

Where the truth is NaN it is unknown: such keypoints do not count, in any figure.

Sources: GC-KPL (CVPR 2023) for the matched error; the Waymo Open Dataset's published ``keypoint_metrics.py`` for PCK,
OKS and PEM; Umeyama (PAMI 1991) for the similarity alignment.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.optimize import linear_sum_assignment

from gckpl_ros.evaluate import metrics
from gckpl_ros.skeleton import GROUPS, KEYPOINTS

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


def mean_of_known(values: Float[np.ndarray, "..."], axis: int | None = None) -> np.ndarray:
    """The mean of what is not NaN; NaN where everything is."""
    known = ~np.isnan(values)
    count = np.asarray(known.sum(axis), values.dtype)
    total = np.where(known, values, 0).sum(axis)
    mean: np.ndarray = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return mean


def similarity_align(predicted: Keypoints, truth: Keypoints) -> Keypoints:
    """Each prediction after the similarity (s, R, t) that minimises sum_j ||s R y_hat_j + t - y_j||^2 (Umeyama 1991).

    R is a proper rotation (no mirror), s >= 0. A prediction whose keypoints all coincide collapses to the truth's mean.
    """
    known = ~np.isnan(truth).any(-1, keepdims=True)
    count = np.maximum(known.sum(1, keepdims=True), 1).astype(predicted.dtype)
    mean_predicted, mean_truth = (
        np.where(known, value, 0).sum(1, keepdims=True) / count for value in (predicted, truth)
    )
    whole = (predicted - mean_predicted).astype(np.float64)
    source = np.where(known, whole, 0)
    target = np.where(known, truth - mean_truth, 0).astype(np.float64)
    u, singular, vt = np.linalg.svd(np.einsum("nki,nkj->nij", target, source))
    singular[:, 2] *= (sign := np.sign(np.linalg.det(u) * np.linalg.det(vt)))
    u[:, :, 2] *= sign[:, None]
    spread = np.square(source).sum((1, 2))
    scale = singular.sum(1) / np.where(spread > 0, spread, 1.0)
    aligned: Keypoints = scale[:, None, None] * np.einsum("nij,nkj->nki", u @ vt, whole) + mean_truth
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
    matched: Distances = np.full(cost.shape[:2], np.nan, cost.dtype)
    for row, person in enumerate(cost):
        known = np.flatnonzero(~np.isnan(person).any(1))
        matched[row, known] = person[known][linear_sum_assignment(person[known])]
    return matched


def pck(errors: Distances, thresholds: Sequence[float]) -> dict[float, float]:
    """PCK@t: the fraction of keypoints with error <= t; the unit of t is that of ``errors``."""
    known = errors[~np.isnan(errors)]
    return {t: float((known <= t).mean()) for t in thresholds}


def pck_box(errors: Distances, scales: Float[np.ndarray, " n"]) -> dict[float, float]:
    """Waymo's PCK: the fraction of keypoints with error <= t x box scale (``box_scale``), t in 0.05 .. 0.5."""
    return pck(errors / scales[:, None], PCK_BOX_THRESHOLDS)


def pck_auc(errors: Distances, limit: float = AUC_LIMIT_M) -> float:
    """Area under PCK@t for t in 0 .. limit (m), divided by limit: 1 is perfect.

    In closed form (PCK is a step function of t): mean(max(0, 1 - error / limit)).
    """
    return float(mean_of_known(np.clip(1 - errors / limit, 0, None)))


def box_scale(sizes: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
    """The scale of an object (m): the cube root of its box's volume."""
    scales: Float[np.ndarray, " n"] = np.cbrt(np.prod(sizes, axis=1, dtype=np.float64))
    return scales


def oks(errors: Distances, scales: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Object keypoint similarity of each person: mean_j exp(-d_j^2 / (2 (s k_j)^2)), s the box scale, k per joint."""
    per_joint = np.exp(-0.5 * np.square(errors / (scales[:, None] * OKS_SCALES)))
    similarity: Float[np.ndarray, " n"] = mean_of_known(per_joint, 1)
    return similarity


def oks_ap(similarities: Float[np.ndarray, " n"], missed: int = 0) -> float:
    """Waymo's AP: the fraction of true people with OKS > t, averaged over t in 0.5 .. 0.95; a missed one has OKS 0."""
    passed = similarities[:, None] > np.array(OKS_THRESHOLDS)
    return float(passed.sum() / (len(OKS_THRESHOLDS) * max(len(similarities) + missed, 1)))


def pem(errors: Distances, unmatched: int) -> float:
    """Pose Estimation Metric (m): (sum_M min(d, 0.25) + 0.25 |U|) / (|M| + |U|).

    M are the matched keypoints, U the ``unmatched`` ones: those known of missed people, all 14 of invented people.
    Matched errors are capped at the penalty, as in Waymo's code: a bad guess costs no more than none.
    """
    known = errors[~np.isnan(errors)]
    total = np.minimum(known, PEM_PENALTY_M).sum() + PEM_PENALTY_M * unmatched
    return float(total / max(known.size + unmatched, 1))


# One table for a batch of people whose predictions and truths are paired: for training and for model cards.

# Number of points on the person: name -> [from, to).
POINT_BINS: Final = {
    "<8": (0.0, 8.0),
    "8-30": (8.0, 30.0),
    "30-60": (30.0, 60.0),
    "60-100": (60.0, 100.0),
    "100-200": (100.0, 200.0),
    "200-500": (200.0, 500.0),
    ">=500": (500.0, np.inf),
    ">=100": (100.0, np.inf),
}


@dataclass(frozen=True)
class Errors:
    """Distances (m) of n people's keypoints to their truth: plain, after alignment, and Hungarian-matched."""

    plain: metrics.Distances
    aligned: metrics.Distances
    matched: metrics.Distances

    @staticmethod
    def of(predicted: metrics.Keypoints, truth: metrics.Keypoints) -> "Errors":
        """All three errors of paired people (m in, m out)."""
        measures = (metrics.distances, metrics.aligned_distances, metrics.matched_distances)
        return Errors(*(measure(predicted, truth) for measure in measures))

    def __len__(self) -> int:
        return len(self.plain)

    def __getitem__(self, mask: Bool[np.ndarray, " n"]) -> "Errors":
        """The people chosen by a mask."""
        return Errors(self.plain[mask], self.aligned[mask], self.matched[mask])

    def summary(self) -> dict[str, int | float]:
        """The number of people and their three mean errors (m)."""
        means = {"mpjpe": self.plain, "pa_mpjpe": self.aligned, "mpjpe_matched": self.matched}
        return {"people": len(self)} | {name: float(mean_of_known(distances)) for name, distances in means.items()}


def keypoint_table(
    predicted: Float[np.ndarray, "n 14 3"],
    truth: Float[np.ndarray, "n 14 3"],
    counts: Int[np.ndarray, " n"],
    confidence: Float[np.ndarray, "n 14"] | None = None,
) -> dict[str, Any]:
    """MPJPE, PA-MPJPE, MPJPE_matched (m), PCK, AUC, per joint, per group, by number of points; ECE with confidence.

    Needs at least one person. Ready for JSON; bins into which nobody falls are left out.
    """
    errors = Errors.of(predicted, truth)
    table = error_table(errors) | {"by_points": by_bins(counts, POINT_BINS, errors)}
    return table if confidence is None else table | {"ece": reliability(confidence, errors.plain).ece}


def error_table(errors: Errors) -> dict[str, Any]:
    """The part of the table that needs errors alone."""
    return {
        **errors.summary(),
        "pck": {f"{t:g}": value for t, value in metrics.pck(errors.plain, metrics.PCK_THRESHOLDS_M).items()},
        "auc": metrics.pck_auc(errors.plain),
        "per_joint": dict(zip(KEYPOINTS, map(_or_none, mean_of_known(errors.plain, 0)), strict=True)),
        "per_group": {
            group: _or_none(mean_of_known(errors.plain[:, list(indices)])) for group, indices in GROUPS.items()
        },
    }


def _or_none(value: np.ndarray | np.floating[Any]) -> float | None:
    """As JSON knows it: NaN, of what nobody knows, is none."""
    return None if np.isnan(value) else float(value)


def by_bins(
    values: Float[np.ndarray, " n"] | Int[np.ndarray, " n"], bins: Mapping[str, tuple[float, float]], errors: Errors
) -> dict[str, dict[str, int | float]]:
    """The summary of the people whose value falls in each bin [from, to); empty bins are left out."""
    chosen = {name: errors[(values >= low) & (values < high)] for name, (low, high) in bins.items()}
    return {name: people.summary() for name, people in chosen.items() if len(people)}


CORRECT_WITHIN_M: Final = 0.1


NUM_BINS: Final = 10


@dataclass(frozen=True)
class Reliability:
    """Keypoints in equal bins of confidence; empty bins are left out."""

    confidence: Float[np.ndarray, " bins"]
    accuracy: Float[np.ndarray, " bins"]
    counts: Int[np.ndarray, " bins"]

    @property
    def ece(self) -> float:
        """Expected calibration error: sum_b n_b / n |accuracy_b - confidence_b| (Naeini et al., AAAI 2015)."""
        gap = np.abs(self.accuracy - self.confidence)
        return float((self.counts * gap).sum() / max(self.counts.sum(), 1))


def reliability(
    confidence: Float[np.ndarray, "n 14"],
    errors: Float[np.ndarray, "n 14"],
    within: float = CORRECT_WITHIN_M,
    bins: int = NUM_BINS,
) -> Reliability:
    """Mean confidence against the fraction of keypoints with error < ``within`` (m), bin by bin of confidence."""
    known = ~np.isnan(errors)
    confidence = np.clip(confidence[known].astype(np.float64), 0, 1)
    correct = errors[known] < within
    index = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    counts = np.bincount(index, minlength=bins)
    filled = counts > 0
    means = [np.bincount(index, values, bins)[filled] / counts[filled] for values in (confidence, correct)]
    return Reliability(means[0], means[1], counts[filled])
