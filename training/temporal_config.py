"""The settings of the temporal teacher's training; kept beside the weights of every run."""

from dataclasses import dataclass, field
from pathlib import Path

from gckpl_ros.adapt.temporal import TemporalConfig
from gckpl_training.passers import PasserConfig


@dataclass(frozen=True)
class TemporalTrainingConfig:
    """Train the temporal network that teaches in Stage II; resumes where a former run in ``out`` stopped."""

    out: Path = Path("runs/temporal")
    """Folder of this run: the simulated people, checkpoints, weights."""
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
    device: str = "auto"
    seed: int = 0
    checkpoint_every_s: float = 120.0
    passers: PasserConfig = field(default_factory=PasserConfig)
    network: TemporalConfig = field(default_factory=TemporalConfig)

    def schedule(self, step: int) -> float:
        """Factor of the learning rate at a step: warm-up, constant, linear decay over the second half."""
        return min((step + 1) / 50, 1.0, 2 * (1 - step / self.steps))
