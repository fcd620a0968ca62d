"""What the adapter says of itself, and what it keeps on disk: accepted weights, and the learner's state to go on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from enum import IntEnum
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import torch

from gckpl_ros.errors import InputError
from gckpl_ros.estimate.checkpoint import ADAPTED_FROM, fingerprint, load_network, save_network, weights_file
from gckpl_ros.estimate.network import KeypointNetwork
from gckpl_ros.files import write_file


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
    restarts: int = 0


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

    def state(self, activity: Activity, restarts: int = 0) -> AdaptationState:
        """What is told of it."""
        told = {"losses": dict(self.losses), "reason": self.reason, "drift_m": self.drift_m, "restarts": restarts}
        return AdaptationState(activity, **self.counts(), **told)  # type: ignore[arg-type]


WEIGHTS_FILE: Final = "adapted.safetensors"
LEARNER_FILE: Final = "learner.pt"


class Storage:
    """Reads and writes what was adapted from one network, loaded from ``weights`` (empty: those that ship)."""

    def __init__(self, loaded: KeypointNetwork, weights: str) -> None:
        self._origin, self._config = fingerprint(loaded), loaded.config
        self._source = Path(loaded.origin.path) if loaded.origin.path else weights_file(weights)
        self._commit = loaded.origin.metadata.get("commit", "unknown")

    def save_weights(self, path: Path, network: KeypointNetwork, progress: Progress) -> None:
        """Write a network with where it comes from, whole or not at all; raises InputError where that fails."""
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        provenance = {"stage": "2 online", "weights": self._source.name, ADAPTED_FROM: self._origin, "date": now}
        provenance["commit"] = self._commit
        provenance |= {name: str(count) for name, count in progress.counts().items()}
        save_network(path, network, provenance)

    def load_weights(self, path: Path, device: torch.device) -> KeypointNetwork:
        """Read a network that was adapted from the loaded one; raises InputError for any other."""
        network = load_network(path, str(device)).requires_grad_(False)
        if network.config != self._config:
            raise InputError(f"weights {path} are of another architecture than {self._source}")
        if network.origin.metadata.get(ADAPTED_FROM) != self._origin:
            raise InputError(f"weights {path} were not adapted from {self._source}")
        return network

    def save_learner(self, path: Path, progress: Progress, learner: Mapping[str, Any]) -> None:
        """Write what a restart needs besides weights, whole or not at all; raises InputError where that fails."""
        figures = {**progress.counts(), "drift_m": progress.drift_m}
        state = BytesIO()
        torch.save({ADAPTED_FROM: self._origin, "progress": figures, "learner": learner}, state)
        write_file(path, state.getvalue(), mend="set adapt.folder to a folder that can be written")

    def load_learner(self, path: Path, device: torch.device) -> tuple[Progress, dict[str, Any]]:
        """Read what ``save_learner`` wrote; raises InputError if it is of another network or cannot be read."""
        try:
            state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
            origin, progress, learner = state[ADAPTED_FROM], Progress(**state["progress"]), state["learner"]
        except Exception as error:  # torch.load raises many kinds for a broken file
            raise InputError(f"cannot read the learner's state {path}: {error}") from error
        if origin != self._origin:
            raise InputError(f"the learner's state {path} was not adapted from {self._source}")
        return progress, learner
