"""Is the confidence true? It claims to be the probability that a keypoint lies within 10 cm of its truth."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float, Int

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
    confidence = np.clip(confidence.astype(np.float64).ravel(), 0, 1)
    correct = errors.ravel() < within
    index = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    counts = np.bincount(index, minlength=bins)
    filled = counts > 0
    means = [np.bincount(index, values, bins)[filled] / counts[filled] for values in (confidence, correct)]
    return Reliability(means[0], means[1], counts[filled])
