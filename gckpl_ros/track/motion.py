"""Constant-velocity Kalman filter of many points at once; the three axes share one covariance (isotropic noise)."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64

MEASUREMENT_STD_M = 0.1
ACCELERATION_STD_MPS2 = 3.0
INITIAL_SPEED_STD_MPS = 1.5
UNKNOWN_STD_M = 1e3


@dataclass(frozen=True)
class Motion:
    """``state``: rows position (m) and velocity (m/s); ``covariance``: of these two, the same on every axis."""

    state: Float64[np.ndarray, "n 2 3"]
    covariance: Float64[np.ndarray, "n 2 2"]

    def __getitem__(self, index: "np.ndarray | slice | list[int]") -> "Motion":
        """Motions chosen by an index array, a mask or a slice."""
        return Motion(self.state[index], self.covariance[index])

    @property
    def positions(self) -> Float64[np.ndarray, "n 3"]:
        """Centres, metres."""
        return self.state[:, 0]

    @property
    def velocities(self) -> Float64[np.ndarray, "n 3"]:
        """Metres per second."""
        return self.state[:, 1]

    @staticmethod
    def unknown(positions: Float64[np.ndarray, "n 3"]) -> "Motion":
        """Before the first measurement: anywhere, at rest give or take a running person's speed."""
        covariance = np.diag([UNKNOWN_STD_M**2, INITIAL_SPEED_STD_MPS**2])
        state = np.stack((positions, np.zeros_like(positions)), axis=1)
        return Motion(state, np.tile(covariance, (len(positions), 1, 1)))

    def predict(self, dt_s: float) -> "Motion":
        """Move on by ``dt_s``; a random constant acceleration adds the noise."""
        step = np.array([[1.0, dt_s], [0.0, 1.0]])
        gain = np.array([dt_s**2 / 2, dt_s]) * ACCELERATION_STD_MPS2
        return Motion(step @ self.state, step @ self.covariance @ step.T + np.outer(gain, gain))

    def update(self, positions: Float64[np.ndarray, "n 3"]) -> "Motion":
        """Take in measured positions."""
        gain = self.covariance[:, :, 0] / (self.covariance[:, :1, 0] + MEASUREMENT_STD_M**2)
        state = self.state + gain[:, :, None] * (positions - self.positions)[:, None, :]
        return Motion(state, self.covariance - gain[:, :, None] * self.covariance[:, :1, :])


# Smooth keypoints over time: an exponential filter that moves along with the person and trusts by confidence.

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
