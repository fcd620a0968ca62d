"""Constant-velocity Kalman filter of many points at once; the three axes share one covariance (isotropic noise)."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float64

UNKNOWN_STD_M: Final = 1e3


@dataclass(frozen=True)
class Dynamics:
    """How each of k points moves: its velocity fades with ``fades_s`` and is pushed by noise ``agility`` (m^2/s^3).

    ``speed_mps``: standard deviation of the velocity before the first measurement. A measurement further off than
    ``gate`` (squared, in variances) counts as noisier than it says.
    """

    agility: Float64[np.ndarray, " k"]
    fades_s: Float64[np.ndarray, " k"]
    speed_mps: Float64[np.ndarray, " k"]
    gate: Float64[np.ndarray, " k"]


@dataclass(frozen=True)
class Motion:
    """``state``: rows position (m) and velocity (m/s); ``covariance``: of these two, the same on every axis."""

    state: Float64[np.ndarray, "n k 2 3"]
    covariance: Float64[np.ndarray, "n k 2 2"]

    @property
    def positions(self) -> Float64[np.ndarray, "n k 3"]:
        """Metres."""
        return self.state[:, :, 0]

    @property
    def velocities(self) -> Float64[np.ndarray, "n k 3"]:
        """Metres per second."""
        return self.state[:, :, 1]

    @property
    def variances(self) -> Float64[np.ndarray, "n k"]:
        """Of the positions on each axis, m^2."""
        return self.covariance[:, :, 0, 0]

    @staticmethod
    def unknown(people: int, dynamics: Dynamics) -> "Motion":
        """Before the first measurement: anywhere, at rest give or take the dynamics' speed."""
        points = len(dynamics.agility)
        covariance = np.zeros((people, points, 2, 2))
        covariance[:, :, 0, 0], covariance[:, :, 1, 1] = UNKNOWN_STD_M**2, dynamics.speed_mps**2
        return Motion(np.zeros((people, points, 2, 3)), covariance)

    def predict(self, dt_s: float, dynamics: Dynamics) -> "Motion":
        """Move on by ``dt_s``: exact for velocities that fade (Ornstein-Uhlenbeck), so the same at any rate."""
        fades_s, kept = dynamics.fades_s, np.exp(-dt_s / dynamics.fades_s)
        way_s = fades_s * (1 - kept)
        spread_s = fades_s / 2 * (1 - kept**2)
        noise = np.array([[fades_s**2 * (dt_s - 2 * way_s + spread_s), way_s**2 / 2], [way_s**2 / 2, spread_s]])
        step = np.array([[np.ones_like(kept), way_s], [np.zeros_like(kept), kept]]).transpose(2, 0, 1)
        pushed = (dynamics.agility * noise).transpose(2, 0, 1)
        return Motion(step @ self.state, step @ self.covariance @ step.mT + pushed)

    def update(
        self, positions: Float64[np.ndarray, "n k 3"], variances: Float64[np.ndarray, "n k"], dynamics: Dynamics
    ) -> "Motion":
        """Take in measured positions (m) with their variances on each axis (m^2)."""
        surprise = positions - self.positions
        beyond = (surprise**2).sum(axis=2) / (dynamics.gate * (self.variances + variances))
        gain = self.covariance[..., 0] / (self.variances + variances * np.maximum(beyond, 1))[..., None]
        state = self.state + gain[..., None] * surprise[:, :, None]
        return Motion(state, self.covariance - gain[..., None] * self.covariance[:, :, :1])
