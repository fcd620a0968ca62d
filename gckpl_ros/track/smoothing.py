"""Smooth keypoints over time: an exponential filter that moves along with the person and trusts by confidence."""

import numpy as np
from jaxtyping import Float32

AGILE_M = 0.15  # a keypoint this far from where it was expected has moved: the past counts half


def smooth(
    keypoints: Float32[np.ndarray, "b 14 3"],
    confidence: Float32[np.ndarray, "b 14"],
    expected: Float32[np.ndarray, "b 14 3"],
    trust: Float32[np.ndarray, "b 14"],
    smoothing: float,
) -> tuple[Float32[np.ndarray, "b 14 3"], Float32[np.ndarray, "b 14"]]:
    """Filtered keypoints and their new trust; exactly the input when ``smoothing`` is 0.

    Every keypoint is a mean of where the past expects it and where it is seen, weighted by gathered and by new
    confidence. As in the one-euro filter (CHI 2012) the past counts less when the keypoint moves fast.
    """
    surprise = np.linalg.norm(keypoints - expected, axis=2) / AGILE_M
    past = np.float32(smoothing) * trust / (1 + surprise**2)
    present = np.float32(1 - smoothing) * confidence
    weight = past / np.maximum(past + present, np.finfo(np.float32).tiny)
    return keypoints + weight[..., None] * (expected - keypoints), past + present
