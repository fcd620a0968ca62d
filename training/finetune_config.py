"""The settings of fine-tuning; kept beside the weights of every run."""

from dataclasses import dataclass, field
from pathlib import Path

from gckpl_ros.adapt.learner import LearnerConfig


@dataclass(frozen=True)
class FinetuneConfig:
    """Fine-tune on labelled crops; resumes where a former run in ``out`` stopped."""

    labels: Path = Path("labelled.npz")
    """Labelled crop sequences (.npz, see training/crop_files.py)."""
    weights: str = ""
    """Where to start; empty: the weights that ship; `random`: from nothing."""
    out: Path = Path("runs/finetune")
    """Folder of this run: checkpoints, weights."""
    people: int = 0
    """Use only the first so many people; 0: all."""
    steps: int = 800
    batch_size: int = 32
    learner: LearnerConfig = field(default_factory=LearnerConfig)
    warmup_steps: int = 50
    decay_fraction: float = 0.5
    device: str = "auto"
    seed: int = 0
    checkpoint_every_s: float = 120.0

    def schedule(self, step: int) -> float:
        """Factor of the learning rate at a step: warm-up, constant, linear decay."""
        left = (self.steps - step) / max(1.0, self.decay_fraction * self.steps)
        return min((step + 1) / max(1, self.warmup_steps), 1.0, left)
