"""Fine-tuning on a few labelled people: what Stage I and II learnt without labels is where it starts."""

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path

import torch
from rich.progress import Progress

from gckpl_ros.estimate.checkpoint import load_network, save_network
from gckpl_ros.estimate.estimator import choose_device
from gckpl_ros.estimate.network import KeypointNetwork
from gckpl_ros.estimate.tokens import TokenNetwork
from gckpl_ros.learn.learner import Learner, LearnerConfig
from gckpl_ros.people.batch import CropBatch
from gckpl_training.data.crop_files import load_labelled
from gckpl_training.learn.stage1 import commit
from gckpl_training.simulate.passers import LabelledTracklets

# The settings of fine-tuning; kept beside the weights of every run.


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


class Finetune:
    """A training run on labelled people."""

    def __init__(
        self, config: FinetuneConfig, people: LabelledTracklets | None = None, start: KeypointNetwork | None = None
    ) -> None:
        """People and start are read as the configuration says unless they are given."""
        torch.manual_seed(config.seed)
        self.config, self.step, self.device = config, 0, choose_device(config.device)
        people = people or load_labelled(config.labels)
        self.batch = people.rows(torch.arange(config.people or len(people))).batch().to(self.device)
        if start is None:
            start = TokenNetwork() if config.weights == "random" else load_network(config.weights)
        self.learner = Learner(start.to(self.device), config.learner)
        self.generator = torch.Generator(self.device).manual_seed(config.seed)
        self._batches: Iterator[CropBatch] = iter(())

    def run(self) -> KeypointNetwork:
        """Train to the configured step, from ``last.pt`` where there is one; returns the averaged network."""
        out = self.config.out
        out.mkdir(parents=True, exist_ok=True)
        (out / "config.json").write_text(json.dumps(asdict(self.config), indent=1, default=str) + "\n")
        self.resume()
        with Progress(transient=True) as progress:
            bar, saved = progress.add_task("fine-tuning", total=self.config.steps), time.monotonic()
            while self.step < self.config.steps:
                losses = self.learner.step(None, self._next(), self.config.schedule(self.step))
                self.step += 1
                progress.update(bar, completed=self.step, description=f"fine-tuning, loss {losses['total']:.3f}")
                if self.step == self.config.steps or time.monotonic() - saved > self.config.checkpoint_every_s:
                    self.save()
                    saved = time.monotonic()
        return self.learner.averaged

    def save(self) -> None:
        """Write weights and ``last.pt``: beside, then rename, so that a killed run can resume."""
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        provenance = {"stage": "finetune", "step": str(self.step), "commit": commit(), "date": now}
        save_network(self.config.out / "final.safetensors", self.learner.averaged, provenance)
        beside = self.config.out / ".last.pt.tmp"
        torch.save({"learner": self.learner.state_dict(), "step": self.step}, beside)
        beside.replace(self.config.out / "last.pt")

    def resume(self) -> None:
        """Continue from ``last.pt`` where there is one."""
        path = self.config.out / "last.pt"
        if path.exists():
            held = torch.load(path, map_location=self.device, weights_only=True)
            self.learner.load_state_dict(held["learner"])
            self.step = held["step"]

    def _next(self) -> CropBatch:
        batch = next(self._batches, None)
        if batch is None:
            self._batches = iter(self.batch.split(self.config.batch_size, self.generator))
            batch = next(self._batches)
        return batch
