"""Stage I of GC-KPL (CVPR 2023, section 3.1): the network learns keypoints and parts from simulated crops."""

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from gckpl_ros.batch import PersonBatch
from gckpl_ros.estimate.checkpoint import save_network
from gckpl_ros.estimate.network import KeypointNetwork, Prediction
from gckpl_ros.estimate.registry import NetworkConfig, Size, build, of_size
from gckpl_ros.estimate.tokens import TokenConfig
from gckpl_ros.learn.learner import average
from gckpl_ros.learn.losses import confidence_loss, keypoint_loss, segmentation_loss, stage1_loss
from gckpl_training.learn.run import Run, RunConfig, Stream
from gckpl_training.learn.validate import CALIBRATION_SEED, Validation, calibrate, held_out
from gckpl_training.simulate.maker import CropConfig
from gckpl_training.simulate.people import CropSource


@dataclass(frozen=True)
class Stage1Config(RunConfig):
    """Train the network on simulated crops (GC-KPL, Stage I); resumes where a former run in ``out`` stopped."""

    out: Path = Path("runs/stage1")
    steps: int = 30_000
    batch_size: int = 16
    """Crops per step and process (torchrun starts several)."""
    pool_batches: int = 64
    """Crops are simulated in pools of this many batches, then sorted by size."""
    pool_passes: int = 2
    """How often each pool is used; simulating takes a third of the time of a step on a CPU."""
    easy_steps: int = 2500
    """Start with whole people, near and alone: facing a person's clutter at once, training stays at a mean pose."""
    ramp_steps: int = 4000
    """Steps over which crops then reach their full difficulty."""
    learning_rate: float = 2e-3
    warmup_steps: int = 500
    decay_fraction: float = 0.3
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    ema_decay: float = 0.998
    lambda_kp: float = 0.5
    lambda_seg: float = 1.0
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    compile: bool = False
    """Fuse the network's operations: needs a C++ compiler and a minute, then a CPU takes 1.6 times as many crops."""
    validate_every: int = 1000
    validation_people: int = 2000
    crops: CropConfig = field(default_factory=CropConfig)
    network: NetworkConfig = field(default_factory=TokenConfig)
    size: Size = ""
    """One of the network's sizes by its name; empty: as ``network`` says."""

    def difficulty(self, step: int) -> float:
        """Of the crops at a step, 0..1."""
        return min(1.0, max(0.0, (step - self.easy_steps) / max(1, self.ramp_steps)))


class Stage1(Run):
    """A training run: everything that a checkpoint holds, and the steps that change it."""

    stage = "1"
    headline = "mpjpe"
    processes = "own batches"
    free = (*Run.free, "compile", "validate_every", "validation_people")
    config: Stage1Config
    validation: Validation

    def __init__(self, config: Stage1Config) -> None:
        super().__init__(config)
        self.network = self.make().to(self.device)
        self.averaged = deepcopy(self.network).eval().requires_grad_(False)
        if config.compile:
            self.network.compile(dynamic=True)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, betas=(0.9, 0.98)
        )
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=config.precision == "float16")
        self.source = CropSource(config.crops, config.seed + 1000 * self.parallel.rank, self.device, split="train")
        self.batches = Stream(self._pool, self.source.generator)
        self.generators["source"] = self.source.generator
        self.numbers["best"] = float("inf")
        self.parts |= {"network": self.network, "averaged": self.averaged, "optimizer": self.optimizer}
        self.parts |= {"scaler": self.scaler, "batches": self.batches}

    def make(self) -> KeypointNetwork:
        """An untrained network as the settings say."""
        return build(of_size(self.config.size, self.config.network))

    def begin(self) -> None:
        """Draw the crops to validate on."""
        if self.parallel.leads:
            self.validation = Validation(self.config.crops, self.config.validation_people, self.device)

    def write(self, path: Path) -> None:
        """Write the averaged network."""
        save_network(path, self.averaged, self.provenance())

    def validate(self) -> dict[str, float]:
        """Measure the averaged network now and then, and keep it where it is the best so far."""
        if self.step % self.config.validate_every and self.step < self.config.steps:
            return {}
        result = self.validation(self.averaged)
        self.write(self.config.out / "last.safetensors")
        if result["mpjpe"] < self.numbers["best"]:
            self.numbers["best"] = result["mpjpe"]
            self.write(self.config.out / "best.safetensors")
        return result

    def finish(self) -> dict[str, float]:
        """Calibrate the averaged network on held-out crops that validation does not use, write it, measure it."""
        crops, people = self.config.crops, self.config.validation_people
        calibrate(self.averaged, held_out(crops, people, self.device, CALIBRATION_SEED))
        super().finish()
        return self.validation(self.averaged)

    def _pool(self, step: int) -> Iterable[PersonBatch]:
        """A pool of crops, simulated at once and cut into batches of similar size, several times."""
        config, generator = self.config, self.source.generator
        pool = self.source.draw(config.batch_size * config.pool_batches, config.difficulty(step))
        return [part for _ in range(config.pool_passes) for part in pool.split(config.batch_size, generator)][::-1]

    def train_step(self) -> dict[str, float]:
        """Learn the next batch."""
        return self.learn(self.batches.next(self.step))

    def learn(self, batch: PersonBatch) -> dict[str, float]:
        """One optimiser step and one step of the moving average."""
        config = self.config
        for group in self.optimizer.param_groups:
            group["lr"] = config.learning_rate * config.schedule(self.step)
        with self.autocast():
            prediction = self.network.predict(batch)
        named = self.losses(prediction, batch)
        loss = named["loss"]
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        self.parallel.average([value.grad for value in self.network.parameters() if value.grad is not None])
        nn.utils.clip_grad_norm_(self.network.parameters(), config.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        average(self.averaged, self.network, config.ema_decay, self.step + 1)
        return {name: float(value.detach()) for name, value in named.items()}

    def autocast(self) -> torch.autocast:
        """The precision that networks run in."""
        lower = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}[self.config.precision]
        return torch.autocast(self.device.type, dtype=lower, enabled=lower is not None)

    def losses(self, prediction: Prediction, batch: PersonBatch) -> dict[str, Tensor]:
        """What the step minimises, as ``loss``, what that is made of, and the error (m)."""
        config, truth = self.config, batch.required("keypoints")
        keypoints = keypoint_loss(prediction.steps.float(), truth)
        parts = segmentation_loss(prediction.part_logits.float(), batch.required("parts"), batch.mask)
        sure = confidence_loss(prediction.confidence_logit.float(), prediction.keypoints.float(), truth)
        loss = stage1_loss(keypoints, parts, config.lambda_kp, config.lambda_seg) + sure
        error = (prediction.keypoints.detach() - truth).norm(dim=-1).mean()
        return {"loss": loss, "keypoints": keypoints, "parts": parts, "confidence": sure, "mpjpe": error}
