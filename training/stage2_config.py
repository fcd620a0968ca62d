"""The settings of Stage II; kept beside the weights of every run."""

from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Final, Literal

from gckpl_ros.adapt.learner import LearnerConfig
from gckpl_ros.adapt.total import LossWeights
from gckpl_training.crops import CropConfig
from gckpl_training.passers import PasserConfig
from gckpl_training.stage1_config import commit

TeacherName = Literal["fit", "temporal", "smoothing", "single"]
# Of pairs; LossWeights() alone are the paper's. What measures best needs no pairs (docs/benchmarks/labelfree.json).
WEIGHTS: Final = LossWeights(0.0, 0.0, 0.0, 0.0, 0.5, teacher=7.0)


@dataclass(frozen=True)
class Stage2Config:
    """Learn from people without labels (GC-KPL, Stage II); resumes where a former run in ``out`` stopped."""

    data: tuple[Path, ...] = ()
    """Recordings (.mcap, .db3, folder), or crop sequences (.npz) as this command keeps them in ``out``."""
    frame: str = ""
    """Fixed frame of recordings whose sensor moves, e.g. odom (needs TF)."""
    weights: str = ""
    """Stage I's weights to start from; empty: those that ship."""
    temporal: str = ""
    """Weights of the temporal network that belongs to them; empty: the one that ships."""
    teacher: TeacherName = "fit"
    """Whose pseudo-labels are learnt: a fitted body's, the temporal network's, smoothed ones, or Stage I's own."""
    sensors: tuple[str, ...] = ()
    """Models of the LiDAR that made the data (docs/simulation.md): the fitted bodies are scanned with it; none: all."""
    out: Path = Path("runs/stage2")
    """Folder of this run: checkpoints, weights, pseudo-labels, logs."""
    steps: int = 2000
    seen: int = 28
    """Crops per step of the fitted bodies, simulated anew: their truth is known."""
    replay: int = 4
    """Crops per step as in Stage I."""
    pairs: int = 0
    """Pairs of consecutive frames per step of the data themselves, with pseudo-labels and the losses of ``learner``."""
    learner: LearnerConfig = field(default_factory=lambda: LearnerConfig(weights=WEIGHTS))
    warmup_steps: int = 50
    decay_fraction: float = 0.5
    device: str = "auto"
    """auto, cpu, cuda or cuda:<n>."""
    seed: int = 0
    checkpoint_every_s: float = 120.0
    crops: CropConfig = field(default_factory=lambda: CropConfig(views=3))
    """The crops of ``replay``."""
    passers: PasserConfig = field(default_factory=PasserConfig)
    """How fitted bodies are dressed, placed and seen; ``sensors`` above go before its own."""

    def schedule(self, step: int) -> float:
        """Factor of the learning rate at a step: warm-up, constant, linear decay."""
        left = (self.steps - step) / max(1.0, self.decay_fraction * self.steps)
        return min((step + 1) / max(1, self.warmup_steps), 1.0, left)

    def provenance(self, step: int) -> dict[str, str]:
        """Where weights come from, for their metadata."""
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        return {"stage": "2", "step": str(step), "seed": str(self.seed), "commit": commit(), "date": now}
