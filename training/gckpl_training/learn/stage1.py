"""Stage I of GC-KPL (CVPR 2023, section 3.1): the network learns keypoints and parts from simulated crops."""

import json
import subprocess
import time
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal

import torch
from rich.progress import Progress, TaskID
from torch import nn
from torch.utils.tensorboard import SummaryWriter

from gckpl_ros.estimate.checkpoint import save_network
from gckpl_ros.estimate.estimator import choose_device
from gckpl_ros.estimate.registry import NetworkConfig, build
from gckpl_ros.estimate.tokens import TokenConfig
from gckpl_ros.learn.losses import confidence_loss, keypoint_loss, segmentation_loss, stage1_loss
from gckpl_ros.people.batch import CropBatch
from gckpl_training.learn.parallel import Parallel
from gckpl_training.learn.validate import CALIBRATION_SEED, Validation, calibrate, held_out
from gckpl_training.simulate.crops import CropConfig, CropSource

# The settings of Stage I; kept beside the weights of every run.


@dataclass(frozen=True)
class Stage1Config:
    """Train the network on simulated crops (GC-KPL, Stage I); resumes where a former run in ``out`` stopped."""

    out: Path = Path("runs/stage1")
    """Folder of this run: checkpoints, weights, logs."""
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
    """The learning rate is constant, then falls linearly to zero over this last share of the steps."""
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    ema_decay: float = 0.998
    lambda_kp: float = 0.5
    lambda_seg: float = 1.0
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    device: str = "auto"
    """auto, cpu, cuda or cuda:<n>; under torchrun each process takes its own GPU."""
    seed: int = 0
    validate_every: int = 1000
    validation_people: int = 2000
    checkpoint_every_s: float = 120.0
    crops: CropConfig = field(default_factory=CropConfig)
    network: NetworkConfig = field(default_factory=TokenConfig)

    def schedule(self, step: int) -> float:
        """Factor of the learning rate at a step: warm-up, constant, linear decay."""
        left = (self.steps - step) / max(1.0, self.decay_fraction * self.steps)
        return min((step + 1) / max(1, self.warmup_steps), 1.0, left)

    def difficulty(self, step: int) -> float:
        """Of the crops at a step, 0..1."""
        return min(1.0, max(0.0, (step - self.easy_steps) / max(1, self.ramp_steps)))

    def provenance(self, step: int) -> dict[str, str]:
        """Where weights come from, for their metadata."""
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        return {"stage": "1", "step": str(step), "seed": str(self.seed), "commit": commit(), "date": now}


def commit() -> str:
    """The commit of the source tree, or ``unknown`` outside a checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


class Stage1:
    """A training run: everything that a checkpoint holds, and the steps that change it."""

    def __init__(self, config: Stage1Config) -> None:
        torch.manual_seed(config.seed)
        self.config, self.step, self.best = config, 0, float("inf")
        self.parallel = Parallel(choose_device(config.device))
        self.device = self.parallel.device
        self.network = build(config.network).to(self.device)
        self.averaged = deepcopy(self.network).eval().requires_grad_(False)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, betas=(0.9, 0.98)
        )
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=config.precision == "float16")
        self.source = CropSource(config.crops, config.seed + 1000 * self.parallel.rank, self.device, split="train")
        self.batches: list[CropBatch] = []

    def run(self) -> dict[str, float]:
        """Train to the configured step; resumes from ``last.pt`` where there is one. Returns the final validation."""
        self.config.out.mkdir(parents=True, exist_ok=True)
        self.resume()
        result = self._lead() if self.parallel.leads else self._follow()
        self.parallel.close()
        return result

    def _lead(self) -> dict[str, float]:
        out, validation = self.config.out, Validation(self.config.crops, self.config.validation_people, self.device)
        (out / "config.json").write_text(json.dumps(asdict(self.config), indent=1, default=str) + "\n")
        with SummaryWriter(out / "tensorboard") as log, Progress(transient=True) as progress:
            bar = progress.add_task("stage 1", total=self.config.steps, completed=self.step)
            saved = time.monotonic()
            while self.step < self.config.steps:
                losses = self.train_step(self.next_batch())
                self._report(log, progress, bar, losses)
                last = self.step == self.config.steps
                if self.step % self.config.validate_every == 0 or last:
                    self.validate(validation, log)
                if last or time.monotonic() - saved > self.config.checkpoint_every_s:
                    self.save()
                    saved = time.monotonic()
        return self.finish(validation)

    def finish(self, validation: Validation) -> dict[str, float]:
        """Calibrate the averaged network on held-out crops that validation does not use, write it, measure it."""
        calibrate(
            self.averaged, held_out(self.config.crops, self.config.validation_people, self.device, CALIBRATION_SEED)
        )
        save_network(self.config.out / "final.safetensors", self.averaged, self.config.provenance(self.step))
        return validation(self.averaged)

    def _follow(self) -> dict[str, float]:
        while self.step < self.config.steps:
            self.train_step(self.next_batch())
        return {}

    def next_batch(self) -> CropBatch:
        """The next batch: a pool of crops is simulated at once and cut into batches of similar size, several times."""
        if not self.batches:
            pool = self.source.draw(
                self.config.batch_size * self.config.pool_batches, self.config.difficulty(self.step)
            )
            for _ in range(self.config.pool_passes):
                self.batches += pool.split(self.config.batch_size, self.source.generator)
        return self.batches.pop()

    def train_step(self, batch: CropBatch) -> dict[str, float]:
        """One optimiser step and one step of the moving average."""
        config = self.config
        for group in self.optimizer.param_groups:
            group["lr"] = config.learning_rate * config.schedule(self.step)
        lower = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}[config.precision]
        with torch.autocast(self.device.type, dtype=lower, enabled=lower is not None):
            prediction = self.network(batch.points, batch.mask, batch.views)
        keypoints = keypoint_loss(prediction.steps.float(), batch.keypoints)
        parts = segmentation_loss(prediction.part_logits.float(), batch.labels, batch.mask)
        sure = confidence_loss(prediction.confidence_logit.float(), prediction.keypoints.float(), batch.keypoints)
        loss = stage1_loss(keypoints, parts, config.lambda_kp, config.lambda_seg) + sure
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        self.parallel.average([value.grad for value in self.network.parameters() if value.grad is not None])
        nn.utils.clip_grad_norm_(self.network.parameters(), config.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.step += 1
        self._average()
        error = (prediction.keypoints.detach() - batch.keypoints).norm(dim=-1).mean()
        named = {"loss": loss, "keypoints": keypoints, "parts": parts, "confidence": sure, "mpjpe": error}
        return {name: float(value.detach()) for name, value in named.items()}

    def validate(self, validation: Validation, log: SummaryWriter) -> None:
        """Measure the averaged network, note it, and keep it where it is the best so far."""
        result = validation(self.averaged)
        for name, value in result.items():
            log.add_scalar(f"validation/{name}", value, self.step)
        with (self.config.out / "validation.jsonl").open("a") as lines:
            lines.write(json.dumps({"step": self.step, **result}) + "\n")
        save_network(self.config.out / "last.safetensors", self.averaged, self.config.provenance(self.step))
        if result["mpjpe"] < self.best:
            self.best = result["mpjpe"]
            save_network(self.config.out / "best.safetensors", self.averaged, self.config.provenance(self.step))

    def save(self) -> None:
        """Write ``last.pt``: beside, then rename, so that a killed run can resume."""
        held = {name: getattr(self, name).state_dict() for name in _STATEFUL}
        held |= {"step": self.step, "best": self.best, "source": self.source.generator.get_state()}
        beside = self.config.out / ".last.pt.tmp"
        torch.save(held, beside)
        beside.replace(self.config.out / "last.pt")

    def resume(self) -> None:
        """Continue from ``last.pt`` where there is one; batches in flight are drawn anew."""
        path = self.config.out / "last.pt"
        if not path.exists():
            return
        held = torch.load(path, map_location=self.device, weights_only=True)
        for name in _STATEFUL:
            getattr(self, name).load_state_dict(held[name])
        self.step, self.best = held["step"], held["best"]
        if self.parallel.leads:
            self.source.generator.set_state(held["source"].cpu())
        else:
            self.source.generator.manual_seed(self.config.seed + 1000 * self.parallel.rank + self.step)

    def _average(self) -> None:
        decay = min(self.config.ema_decay, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for mean, value in zip(self.averaged.parameters(), self.network.parameters(), strict=True):
                mean.lerp_(value, 1 - decay)

    def _report(self, log: SummaryWriter, progress: Progress, bar: TaskID, losses: dict[str, float]) -> None:
        progress.update(bar, completed=self.step, description=f"stage 1, error {losses['mpjpe'] * 100:.1f} cm")
        if self.step % 20 == 0:
            for name, value in losses.items():
                log.add_scalar(f"train/{name}", value, self.step)


_STATEFUL = ("network", "averaged", "optimizer", "scaler")
