"""One table for a batch of people whose predictions and truths are paired: for training and for model cards."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from jaxtyping import Float, Int

from gckpl_ros.evaluate import metrics
from gckpl_ros.evaluate.calibration import reliability
from gckpl_ros.skeleton import GROUPS, KEYPOINTS

# Number of points on the person: name -> [from, to).
POINT_BINS: Final = {
    "<8": (0, 8),
    "8-30": (8, 30),
    "30-60": (30, 60),
    "60-100": (60, 100),
    "100-200": (100, 200),
    "200-500": (200, 500),
    ">=500": (500, np.inf),
    ">=100": (100, np.inf),
}


def keypoint_table(
    predicted: Float[np.ndarray, "n 14 3"],
    truth: Float[np.ndarray, "n 14 3"],
    counts: Int[np.ndarray, " n"],
    confidence: Float[np.ndarray, "n 14"] | None = None,
) -> dict[str, Any]:
    """MPJPE, PA-MPJPE, MPJPE_matched (m), PCK, AUC, per joint, per group, by number of points; ECE with confidence.

    Needs at least one person. Ready for JSON; bins into which nobody falls are left out.
    """
    errors = metrics.distances(predicted, truth)
    aligned, matched = metrics.aligned_distances(predicted, truth), metrics.matched_distances(predicted, truth)
    table = {
        **summary(errors, aligned, matched),
        "pck": {f"{t:g}": value for t, value in metrics.pck(errors, metrics.PCK_THRESHOLDS_M).items()},
        "auc": metrics.pck_auc(errors),
        "per_joint": per_joint(errors),
        "per_group": per_group(errors),
        "by_points": by_bins(counts, POINT_BINS, errors, aligned, matched),
    }
    return table if confidence is None else table | {"ece": reliability(confidence, errors).ece}


def summary(errors: metrics.Distances, aligned: metrics.Distances, matched: metrics.Distances) -> dict[str, float]:
    """The number of people and their three mean errors (m)."""
    return {
        "people": len(errors),
        "mpjpe": float(errors.mean()),
        "pa_mpjpe": float(aligned.mean()),
        "mpjpe_matched": float(matched.mean()),
    }


def per_joint(errors: metrics.Distances) -> dict[str, float]:
    """Mean error (m) of each keypoint."""
    return dict(zip(KEYPOINTS, errors.mean(0).tolist(), strict=True))


def per_group(errors: metrics.Distances) -> dict[str, float]:
    """Mean error (m) of each of Waymo's groups of keypoints."""
    return {group: float(errors[:, list(indices)].mean()) for group, indices in GROUPS.items()}


def by_bins(
    values: Float[np.ndarray, " n"] | Int[np.ndarray, " n"],
    bins: Mapping[str, tuple[float, float]],
    errors: metrics.Distances,
    aligned: metrics.Distances,
    matched: metrics.Distances,
) -> dict[str, dict[str, float]]:
    """The summary of the people whose value falls in each bin [from, to); empty bins are left out."""
    chosen = {name: (values >= low) & (values < high) for name, (low, high) in bins.items()}
    return {
        name: summary(errors[mask], aligned[mask], matched[mask]) for name, mask in chosen.items() if bool(mask.any())
    }
