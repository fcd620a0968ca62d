"""The settings of Stage I; kept beside the weights of every run."""

import subprocess
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal

from gckpl_ros.estimate.network import NetworkConfig
from gckpl_training.crops import CropConfig


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
    network: NetworkConfig = field(default_factory=NetworkConfig)

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
