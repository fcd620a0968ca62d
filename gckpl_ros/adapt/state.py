"""What the adapter says of itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum


class Activity(IntEnum):
    """What the adapter is doing; the values are those of msg/AdaptationStatus."""

    DISABLED = 0
    COLLECTING = 1
    TRAINING = 2
    PAUSED = 3
    FAILED = 4


@dataclass(frozen=True)
class AdaptationState:
    """msg/AdaptationStatus without its header: counts go on over restarts, losses are the latest step's, weighted."""

    state: Activity
    step: int = 0
    losses: Mapping[str, float] = field(default_factory=dict)
    accepted: int = 0
    rolled_back: int = 0
    reason: str = ""
    drift_m: float = 0.0


@dataclass
class Progress:
    """What came of it: counts since the start, and the latest step's and check's figures."""

    step: int = 0
    accepted: int = 0
    rolled_back: int = 0
    drift_m: float = 0.0
    reason: str = ""
    losses: dict[str, float] = field(default_factory=dict)

    def counts(self) -> dict[str, int]:
        """The figures that count."""
        return {"step": self.step, "accepted": self.accepted, "rolled_back": self.rolled_back}
