"""Far training: on crops that were simulated once and stored; from a teacher as well, and hard ones more often."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from gckpl_ros.batch import PersonBatch
from gckpl_ros.estimate.checkpoint import load_network
from gckpl_ros.estimate.network import Prediction
from gckpl_ros.estimate.registry import NetworkConfig
from gckpl_ros.estimate.tokens import SIZES
from gckpl_ros.learn.losses import teacher_loss
from gckpl_ros.skeleton import NUM_KEYPOINTS
from gckpl_training.data.crops import Hardness, StoredCrops
from gckpl_training.learn.stage1 import Stage1, Stage1Config

POOL = 8192
"""Crops drawn at a time."""


@dataclass(frozen=True)
class FarConfig(Stage1Config):
    """Learn from stored crops as Stage I does from those that it simulates; resumes where a run in ``out`` stopped."""

    out: Path = Path("runs/far/base")
    shards: Path = Path("runs/far/shards")
    """Folder of what `gckpl data simulate` made; more may be added while the run rests."""
    start: str = ""
    """Weights to go on from; empty: from nothing."""
    steps: int = 200_000
    batch_size: int = 32
    learning_rate: float = 1.5e-3
    warmup_steps: int = 300
    ema_decay: float = 0.999
    precision: Literal["float32", "bfloat16", "float16"] = "bfloat16"
    network: NetworkConfig = field(default_factory=lambda: SIZES["base"])
    teacher: str = ""
    """Weights (small, base or a file) whose keypoints are learnt beside the truth; empty: the truth alone."""
    teacher_weight: float = 1.0
    """Of the teacher's keypoints, the truth's having 1; a keypoint counts as far as the teacher is sure of it."""
    mined: float = 0.0
    """Crops are drawn by the last error on them, over the mean, to this power; 0: evenly."""
    cut: float = 0.05
    """Chance that the sensor's field of view ends across somebody."""


class FarTraining(Stage1):
    """Stage I on stored crops."""

    free = (*Stage1.free, "shards", "teacher", "teacher_weight", "mined", "cut")
    later = ("hardness",)
    config: FarConfig

    def __init__(self, config: FarConfig) -> None:
        super().__init__(config)
        self.stored = StoredCrops(config.shards)
        self.hardness = Hardness(len(self.stored))
        self.parts = {"hardness": self.hardness, **self.parts}  # first: the batches are drawn again by it
        self.teacher = load_network(config.teacher, str(self.device)) if config.teacher else None
        if config.start:
            state = load_network(config.start).state_dict()
            self.network.load_state_dict(state)
            self.averaged.load_state_dict(state)

    def _pool(self, step: int) -> Iterator[PersonBatch]:
        """From nothing one shard after the other, as they rise in difficulty; afterwards any crops."""
        config, g = self.config, self.source.generator
        place = step * config.batch_size // POOL
        weights = self.hardness.weights(config.mined)
        rising = not config.start and place < len(self.stored.ends)
        crops = self.stored.shard(place) if rising else self.stored.draw(weights, POOL, g)
        return self.stored.batches(crops, config.batch_size, g, config.cut)

    def train_step(self) -> dict[str, float]:
        """Learn the next batch."""
        return self.learn(self.batches.next(self.step).to(self.device))

    def losses(self, prediction: Prediction, batch: PersonBatch) -> dict[str, Tensor]:
        """Those of Stage I; with a teacher its keypoints too, after every layer, each as far as the teacher is sure."""
        config, named = self.config, super().losses(prediction, batch)
        error = (prediction.keypoints.detach() - batch.required("keypoints")).norm(dim=-1).mean(1)
        self.hardness.note(batch.required("ids").cpu(), error.cpu())
        if self.teacher is not None:
            with torch.no_grad(), self.autocast():
                said = self.teacher.predict(batch)
            sure, keypoints = said.confidence_logit.float().sigmoid(), said.keypoints.float()
            taught = [teacher_loss(layer.float(), keypoints, sure) for layer in prediction.steps]
            named["taught"] = NUM_KEYPOINTS * torch.stack(taught).mean()
            named["loss"] = named["loss"] + config.lambda_kp * config.teacher_weight * named["taught"]
        return named
