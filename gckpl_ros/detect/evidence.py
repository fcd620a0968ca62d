"""Evidence of a person adds up from frame to frame: who is sure is one at once, who is doubtful after a while."""

from dataclasses import dataclass, fields, replace
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64
from scipy.special import logit

from gckpl_ros.config import DetectConfig
from gckpl_ros.detect.confirmation import JUMP_M, MEMORY_S, RUNNING_M_S, mutually_nearest

FRAME_S: Final = 0.1
LONGEST_S: Final = 0.2
SHARE: Final = 0.6
"""What a further look of 0.1 s counts: errors of one place from frame to frame are alike."""
MISS: Final = 0.7
"""Log odds that 0.1 s without a proposal takes away."""
KEPT: Final = 1.0
"""Whoever is reported stays so down to this much below where he came in."""
MOST: Final = 6.0
"""Log odds beyond this do not add up: people leave, and others come."""


@dataclass(frozen=True)
class _Places:
    """Where somebody may be (fixed frame), log odds so far, whether reported, when last seen."""

    at: Float64[np.ndarray, "m 2"]
    odds: Float64[np.ndarray, " m"]
    reported: Bool[np.ndarray, " m"]
    stamps_ns: Int64[np.ndarray, " m"]

    def rows(self, index: np.ndarray) -> "_Places":
        return _Places(*(getattr(self, each.name)[index] for each in fields(self)))

    def joined(self, other: "_Places") -> "_Places":
        return _Places(*(np.concatenate([getattr(self, e.name), getattr(other, e.name)]) for e in fields(self)))


class Evidence:
    """Remembers places from frame to frame, and how likely a person is there."""

    def __init__(self, config: DetectConfig) -> None:
        self.config = config
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        none = np.zeros(0)
        self._places = _Places(np.zeros((0, 2)), none, none.astype(bool), none.astype(np.int64))
        self._stamp_ns: int | None = None

    def __call__(
        self, at: Float64[np.ndarray, "c 2"], odds: Float[np.ndarray, " c"], stamp_ns: int
    ) -> tuple[Float64[np.ndarray, " c"], Bool[np.ndarray, " c"]]:
        """Log odds with the past, and who is reported, of proposals at these places of the fixed frame.

        Somebody is reported from ``detect.score`` on, and then until clearly less speaks for him.
        """
        gap_s = FRAME_S if self._stamp_ns is None else (stamp_ns - self._stamp_ns) * 1e-9
        look_s, self._stamp_ns = min(gap_s, LONGEST_S) if 0 < gap_s <= MEMORY_S else FRAME_S, stamp_ns
        age_ns = stamp_ns - self._places.stamps_ns
        past = self._places.rows((age_ns >= 0) & (age_ns <= MEMORY_S * 1e9))
        old, new = mutually_nearest(past.at, at, JUMP_M + RUNNING_M_S * look_s)
        total, reported = odds.astype(float).clip(-MOST, MOST), np.zeros(len(at), bool)
        total[new] = np.maximum(past.odds[old] + SHARE * look_s / FRAME_S * total[new], total[new]).clip(-MOST, MOST)
        reported[new] = past.reported[old]
        least = logit(self.config.score)
        reported = (total >= least) | (reported & (total >= least - KEPT))
        unseen = past.rows(np.setdiff1d(np.arange(len(past.at)), old))
        faded = replace(unseen, odds=unseen.odds - MISS * look_s / FRAME_S)
        self._places = _Places(at, total, reported, np.full(len(at), stamp_ns)).joined(faded)
        return total, reported
