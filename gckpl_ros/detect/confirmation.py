"""Tell people from things by looking at them for a while: by their shape, frame after frame, or by their travel."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64
from scipy.spatial.distance import cdist

from gckpl_ros.config import DetectConfig

STEP_M = 0.6  # between two frames nobody goes further
MEMORY_S = 0.5  # clusters out of sight for longer are forgotten


@dataclass(frozen=True)
class _Seen:
    """Clusters of the past: where (fixed frame), where first, how often they looked human more than not."""

    at: Float64[np.ndarray, "m 2"]
    born: Float64[np.ndarray, "m 2"]
    votes: Int64[np.ndarray, " m"]
    confirmed: Bool[np.ndarray, " m"]
    stamps_ns: Int64[np.ndarray, " m"]


class Confirmation:
    """Remembers clusters from frame to frame and says which of them are people."""

    def __init__(self, config: DetectConfig) -> None:
        self.config = config
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        none = np.zeros(0, np.int64)
        self._seen = _Seen(np.zeros((0, 2)), np.zeros((0, 2)), none, none.astype(bool), none)

    def __call__(
        self, at: Float64[np.ndarray, "c 2"], human: Bool[np.ndarray, " c"], stamp_ns: int
    ) -> Bool[np.ndarray, " c"]:
        """Which clusters at these places of the fixed frame are people; once confirmed, always, while in sight."""
        age_ns = stamp_ns - self._seen.stamps_ns
        past = _chosen(self._seen, (age_ns >= 0) & (age_ns <= MEMORY_S * 1e9))
        old, new = _mutually_nearest(past.at, at)
        born, votes, confirmed = at.copy(), np.zeros(len(at), np.int64), np.zeros(len(at), bool)
        born[new], votes[new], confirmed[new] = past.born[old], past.votes[old], past.confirmed[old]
        votes = np.clip(votes + np.where(human, 1, -1), 0, self.config.confirm_looks)
        travelled = np.linalg.norm(at - born, axis=1) >= self.config.confirm_travel_m
        confirmed |= travelled | (votes >= self.config.confirm_looks)
        now = _Seen(at, born, votes, confirmed, np.full(len(at), stamp_ns))
        hidden = _chosen(past, np.setdiff1d(np.arange(len(past.at)), old))
        self._seen = _joined(now, hidden)
        return confirmed


def _mutually_nearest(
    past: Float64[np.ndarray, "m 2"], now: Float64[np.ndarray, "c 2"]
) -> tuple[Int64[np.ndarray, " k"], Int64[np.ndarray, " k"]]:
    """Pairs of rows that are each other's nearest and less than a step apart."""
    if not len(past) or not len(now):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    distances = cdist(past, now)
    nearest = distances.argmin(axis=0)
    new = np.arange(len(now))
    mutual = (distances.argmin(axis=1)[nearest] == new) & (distances[nearest, new] <= STEP_M)
    return nearest[mutual], new[mutual]


def _chosen(seen: _Seen, index: np.ndarray) -> _Seen:
    return _Seen(seen.at[index], seen.born[index], seen.votes[index], seen.confirmed[index], seen.stamps_ns[index])


def _joined(a: _Seen, b: _Seen) -> _Seen:
    return _Seen(*(np.concatenate((getattr(a, name), getattr(b, name))) for name in _Seen.__dataclass_fields__))
