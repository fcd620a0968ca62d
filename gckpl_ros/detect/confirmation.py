"""Tell people from things by looking at them for a while: by their shape, frame after frame, or by their travel."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64
from scipy.spatial.distance import cdist

from gckpl_ros.config import DetectConfig

# Between two clouds nobody goes further than running takes them and their seen middle jumps: 0.6 m at 10 Hz.
RUNNING_M_S, JUMP_M = 3.0, 0.3
# How long a look lasts: the time between two clouds, at most as at 5 Hz; as at 10 Hz where nothing is remembered.
FIRST_LOOK_S, LONGEST_LOOK_S = 0.1, 0.2
MEMORY_S = 0.5  # clusters out of sight for longer are forgotten


@dataclass(frozen=True)
class _Seen:
    """Clusters of the past: where (fixed frame), where first, how long they looked human more than not (s)."""

    at: Float64[np.ndarray, "m 2"]
    born: Float64[np.ndarray, "m 2"]
    votes: Float64[np.ndarray, " m"]
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
        self._seen = _Seen(np.zeros((0, 2)), np.zeros((0, 2)), np.zeros(0), none.astype(bool), none)
        self._stamp_ns: int | None = None

    def __call__(
        self, at: Float64[np.ndarray, "c 2"], human: Bool[np.ndarray, " c"], stamp_ns: int
    ) -> Bool[np.ndarray, " c"]:
        """Which clusters at these places of the fixed frame are people; once confirmed, always, while in sight."""
        look_s, self._stamp_ns = self._look_s(stamp_ns), stamp_ns
        age_ns = stamp_ns - self._seen.stamps_ns
        past = _chosen(self._seen, (age_ns >= 0) & (age_ns <= MEMORY_S * 1e9))
        old, new = mutually_nearest(past.at, at, JUMP_M + RUNNING_M_S * look_s)
        born, votes, confirmed = at.copy(), np.zeros(len(at)), np.zeros(len(at), bool)
        born[new], votes[new], confirmed[new] = past.born[old], past.votes[old], past.confirmed[old]
        votes = np.clip(votes + np.where(human, look_s, -look_s), 0, self.config.confirm_s)
        travelled = np.linalg.norm(at - born, axis=1) >= self.config.confirm_travel_m
        confirmed |= travelled | (votes + look_s / 4 >= self.config.confirm_s)  # stamps jitter
        now = _Seen(at, born, votes, confirmed, np.full(len(at), stamp_ns))
        hidden = _chosen(past, np.setdiff1d(np.arange(len(past.at)), old))
        self._seen = _joined(now, hidden)
        return confirmed

    def _look_s(self, stamp_ns: int) -> float:
        """The time since the cloud before, as far as it can have been looked at."""
        gap_s = FIRST_LOOK_S if self._stamp_ns is None else (stamp_ns - self._stamp_ns) * 1e-9
        return min(gap_s, LONGEST_LOOK_S) if 0 < gap_s <= MEMORY_S else FIRST_LOOK_S


def mutually_nearest(
    past: Float64[np.ndarray, "m 2"], now: Float64[np.ndarray, "c 2"], step_m: float
) -> tuple[Int64[np.ndarray, " k"], Int64[np.ndarray, " k"]]:
    """Pairs of rows that are each other's nearest and at most a step (m) apart."""
    if not len(past) or not len(now):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    distances = cdist(past, now)
    nearest = distances.argmin(axis=0)
    new = np.arange(len(now))
    mutual = (distances.argmin(axis=1)[nearest] == new) & (distances[nearest, new] <= step_m)
    return nearest[mutual], new[mutual]


def _chosen(seen: _Seen, index: np.ndarray) -> _Seen:
    return _Seen(seen.at[index], seen.born[index], seen.votes[index], seen.confirmed[index], seen.stamps_ns[index])


def _joined(a: _Seen, b: _Seen) -> _Seen:
    return _Seen(*(np.concatenate((getattr(a, name), getattr(b, name))) for name in _Seen.__dataclass_fields__))
