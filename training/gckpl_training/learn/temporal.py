"""Trains the temporal teacher: simulated people who pass, seen by a fixed keypoint network whose tokens it reads.

The keypoint network's answers are taken once, so a step costs only the temporal network itself.
"""

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gckpl_ros.batch import PersonBatch
from gckpl_ros.estimate.checkpoint import fingerprint, load_network
from gckpl_ros.estimate.network import KeypointNetwork
from gckpl_ros.learn.teachers import TemporalConfig, TemporalNetwork, estimate_with_tokens, save_temporal
from gckpl_training.learn.artefacts import settings
from gckpl_training.learn.run import Run, RunConfig
from gckpl_training.motion.files import read_mocap
from gckpl_training.motion.library import MotionLibrary, ProceduralMotions
from gckpl_training.simulate.people import PasserConfig, PasserSource


@dataclass(frozen=True)
class TemporalTrainingConfig(RunConfig):
    """Train the temporal network that teaches in Stage II; resumes where a former run in ``out`` stopped."""

    out: Path = Path("runs/temporal")
    weights: str = ""
    """Weights of the keypoint network whose tokens it reads; empty: those that ship."""
    mocap: Path | None = None
    """Packed motion capture (.npz), of which split train is used; None: procedural motion only."""
    people: int = 6000
    steps: int = 4000
    batch_size: int = 24
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    miss: float = 0.1
    """Chance that a frame is hidden from the network in training."""
    passers: PasserConfig = field(default_factory=PasserConfig)
    network: TemporalConfig = field(default_factory=TemporalConfig)


class TemporalTraining(Run):
    """A training run: simulated people, what a keypoint network estimates of them, and how to correct it over time."""

    stage = "temporal"
    headline = "error_m"
    processes = "one batch"
    config: TemporalTrainingConfig
    estimates: "Estimates"

    def __init__(self, config: TemporalTrainingConfig, keypoint_network: KeypointNetwork | None = None) -> None:
        """The keypoint network is read as the configuration says unless it is given."""
        self.keypoint_network = keypoint_network or load_network(config.weights)
        super().__init__(config)
        shape = replace(config.network, tokens=self.keypoint_network.token_width)
        self.network = TemporalNetwork(shape, reads=fingerprint(self.keypoint_network)).to(self.device)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self.generators["rows"] = self.generator = torch.Generator().manual_seed(config.seed)
        self.parts |= {"network": self.network, "optimizer": self.optimizer}

    def begin(self) -> None:
        """Simulate people and let the keypoint network see them."""
        self.estimates = estimated(self.keypoint_network, simulated(self.config))

    def write(self, path: Path) -> None:
        """Write the network."""
        save_temporal(path, self.network, self.provenance())

    @cached_property
    def made_of(self) -> dict[str, Any]:
        """The settings and the network whose tokens it reads."""
        return settings(self.config, *self.free, "weights") | {"keypoint_network": fingerprint(self.keypoint_network)}

    def train_step(self) -> dict[str, float]:
        """One step; the error (m) is the mean of the frames that the network saw."""
        seen, device = self.estimates, self.device
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * self.config.schedule(self.step)
        rows = torch.randint(len(seen.people), (self.config.batch_size,), generator=self.generator)
        shown = seen.people.seen[rows]
        shown = shown & (torch.rand(shown.shape, generator=self.generator) >= self.config.miss)
        rows, shown = rows[shown.any(1)], shown[shown.any(1)].to(device)
        batch = seen.people.rows(rows).to(device)
        batch = replace(batch, mask=batch.mask & shown[..., None])
        tokens, everybody = seen.tokens[rows].float().to(device), torch.arange(len(batch), device=device)
        corrected = self.parallel.over(
            len(batch), lambda share: self.network(batch.rows(everybody[share]), tokens[share])
        )
        error = (corrected - seen.truth[rows].to(device)).norm(dim=-1)[shown].mean()
        self.optimizer.zero_grad(set_to_none=True)
        error.backward()
        self.parallel.add([value.grad for value in self.network.parameters() if value.grad is not None])
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        return {"error_m": float(error.detach())}


@dataclass(frozen=True)
class Estimates:
    """What a keypoint network estimates of simulated people, and the truth (m, relative to each frame's origin)."""

    people: PersonBatch
    """With the network's keypoints and confidence; of the points only the first remains."""
    tokens: Tensor
    """In half precision: they are the most of it."""
    truth: Tensor


def simulated(config: TemporalTrainingConfig) -> PersonBatch:
    """The people to learn from: motion capture where there is some, otherwise procedural motion."""
    frames, frame_s = config.passers.frames, config.passers.frame_s
    clips = read_mocap(config.mocap, "train") if config.mocap else []
    long_enough = [clip for clip in clips if len(clip) / clip.fps > frames * frame_s]
    motions = MotionLibrary(long_enough) if long_enough else ProceduralMotions()
    return PasserSource(config.passers, config.seed, motions).draw(config.people)


def estimated(network: KeypointNetwork, people: PersonBatch) -> Estimates:
    """Keypoints and tokens of each frame alone."""
    single, tokens = estimate_with_tokens(network, people)
    few = replace(single, points=single.points[:, :, :1], mask=single.mask[:, :, :1], parts=None)
    return Estimates(few, tokens.half(), people.required("keypoints"))
