"""One table for a batch of people whose predictions and truths are paired: for training and for model cards."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from jaxtyping import Bool, Float, Int

from gckpl_ros.evaluate import metrics
from gckpl_ros.evaluate.calibration import reliability
from gckpl_ros.skeleton import GROUPS, KEYPOINTS

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
        return {"people": len(self)} | {name: float(distances.mean()) for name, distances in means.items()}


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
        "per_joint": dict(zip(KEYPOINTS, errors.plain.mean(0).tolist(), strict=True)),
        "per_group": {group: float(errors.plain[:, list(indices)].mean()) for group, indices in GROUPS.items()},
    }


def by_bins(
    values: Float[np.ndarray, " n"] | Int[np.ndarray, " n"], bins: Mapping[str, tuple[float, float]], errors: Errors
) -> dict[str, dict[str, int | float]]:
    """The summary of the people whose value falls in each bin [from, to); empty bins are left out."""
    chosen = {name: errors[(values >= low) & (values < high)] for name, (low, high) in bins.items()}
    return {name: people.summary() for name, people in chosen.items() if len(people)}
