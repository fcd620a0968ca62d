"""Stage II of GC-KPL (CVPR 2023, section 3.2): a network learns from people without labels.

Bodies are fitted to them once, before the first step, and simulated anew: dressed, placed and scanned as the simulation
can, with known truth (analysis by synthesis). The pairs of crops themselves, with a teacher's pseudo-labels and the
paper's losses, and crops as in Stage I can be learnt beside them.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Final, Literal

import torch
from rich.progress import Progress
from torch import Tensor

from gckpl_ros.body.fit import BodyFit, Fitted
from gckpl_ros.errors import InputError
from gckpl_ros.estimate.checkpoint import load_network, save_network
from gckpl_ros.estimate.estimator import choose_device
from gckpl_ros.estimate.network import KeypointNetwork
from gckpl_ros.learn.learner import Learner, LearnerConfig, Lesson, lesson_batches
from gckpl_ros.learn.stage2_loss import LossWeights
from gckpl_ros.learn.teachers import SingleTeacher, SmoothingTeacher, Targets, Teacher
from gckpl_ros.learn.temporal import TemporalTeacher, load_temporal
from gckpl_ros.people.batch import CropBatch
from gckpl_ros.people.tracklets import Tracklets
from gckpl_training.data.collect import read_people
from gckpl_training.data.crop_files import load_crops, save_crops
from gckpl_training.learn.stage1 import commit
from gckpl_training.motion.library import SeenMotions
from gckpl_training.simulate.crops import CropConfig, CropSource, join_batches
from gckpl_training.simulate.passers import PasserConfig, PasserSource

# The settings of Stage II; kept beside the weights of every run.

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


# Simulated crops are drawn for this many steps at once, and used this often.
POOL: Final = 32
PASSES: Final = 3


def make_teacher(config: Stage2Config, start: KeypointNetwork) -> Teacher:
    """The teacher of ``start`` that the configuration names; bodies are fitted to what the temporal one says.

    Raises InputError where the temporal one reads another network's tokens.
    """
    if config.teacher == "single":
        return SingleTeacher()
    if config.teacher == "smoothing":
        return SmoothingTeacher()
    return TemporalTeacher(load_temporal(config.temporal), start)


@dataclass(frozen=True)
class Lore:
    """What is known of people without labels: crops, what a teacher says of them, and the bodies fitted to them."""

    tracklets: Tracklets
    targets: Targets
    fitted: Fitted | None = None

    def rows(self, index: Tensor) -> "Lore":
        """The chosen people."""
        tracklets, said = self.tracklets.rows(index), self.targets.rows(index)
        said = replace(said, parts=said.parts[:, :, : tracklets.points.shape[2]])
        return Lore(tracklets, said, self.fitted and self.fitted.rows(index))


def study(config: Stage2Config, start: KeypointNetwork, tracklets: Tracklets) -> Lore:
    """Ask the teacher, and fit bodies where it is a fitted body; only once for a folder ``out``, where it is kept."""
    kept = config.out / "lore.pt"
    config.out.mkdir(parents=True, exist_ok=True)
    if not kept.exists():
        said, fitted = make_teacher(config, start)(start, tracklets), None
        if config.teacher == "fit":
            fitted = BodyFit().fit(tracklets, said)
            said = replace(said, keypoints=fitted.keypoints)
        beside = kept.with_name(f".{kept.name}.tmp")
        torch.save({"targets": vars(said), "fitted": vars(fitted) if fitted else None}, beside)
        beside.replace(kept)
    held = torch.load(kept, weights_only=True)
    return Lore(tracklets, Targets(**held["targets"]), Fitted(**held["fitted"]) if held["fitted"] else None)


def learn(config: Stage2Config) -> KeypointNetwork:
    """Read the people in ``data``, study them once, train; raises InputError when there is nobody."""
    if not config.data:
        raise InputError("nobody to learn from: give recordings or crop sequences with --data")
    config.out.mkdir(parents=True, exist_ok=True)
    kept, start = config.out / "crops.npz", load_network(config.weights)
    make_teacher(config, start)  # what it refuses it shall refuse before people are collected
    if not kept.exists():
        save_crops(kept, read_people(config.data, config.weights, config.frame))
    return Stage2(config, study(config, start, load_crops(kept)), start).run()


class Stage2:
    """A training run: everything that a checkpoint holds, and the steps that change it."""

    def __init__(self, config: Stage2Config, lore: Lore | None, start: KeypointNetwork) -> None:
        """Without anybody to learn from it learns from crops as in Stage I alone: the control."""
        self.config, self.step, self.lore = config, 0, lore
        self.device = choose_device(config.device)
        self.learner = Learner(start.to(self.device), config.learner)
        self.generator = torch.Generator().manual_seed(config.seed)
        self.source = CropSource(config.crops, config.seed + 1, self.device, split="train")
        self._lessons: Iterator[Lesson] = iter(())
        self._replay: list[CropBatch] = []
        self._seen: list[CropBatch] = []

    def run(self) -> KeypointNetwork:
        """Train to the configured step, from ``last.pt`` where there is one; returns the averaged network."""
        self.config.out.mkdir(parents=True, exist_ok=True)
        kept = json.dumps(asdict(self.config), indent=1, default=str)
        (self.config.out / "config.json").write_text(kept + "\n")
        self.resume()
        with Progress(transient=True) as progress, (self.config.out / "losses.jsonl").open("a", buffering=1) as log:
            bar, saved = progress.add_task("stage 2", total=self.config.steps), time.monotonic()
            while self.step < self.config.steps:
                losses = self.train_step()
                progress.update(bar, completed=self.step, description=f"stage 2, loss {losses['total']:.3f}")
                if self.step % 20 == 0:
                    log.write(json.dumps({"step": self.step, **losses}) + "\n")
                if self.step == self.config.steps or time.monotonic() - saved > self.config.checkpoint_every_s:
                    self.save()
                    saved = time.monotonic()
        return self.learner.averaged

    def train_step(self) -> dict[str, float]:
        """One step on simulated crops and on pairs."""
        losses = self.learner.step(self._next_lesson(), self._next_crops(), self.config.schedule(self.step))
        self.step += 1
        return losses

    def save(self) -> None:
        """Write weights and ``last.pt``: beside, then rename, so that a killed run can resume."""
        out = self.config.out
        save_network(out / "final.safetensors", self.learner.averaged, self.config.provenance(self.step))
        held = {"learner": self.learner.state_dict(), "step": self.step, "generator": self.generator.get_state()}
        beside = out / ".last.pt.tmp"
        torch.save(held | {"source": self.source.generator.get_state()}, beside)
        beside.replace(out / "last.pt")

    def resume(self) -> None:
        """Continue from ``last.pt`` where there is one; batches in flight are drawn anew."""
        path = self.config.out / "last.pt"
        if path.exists():
            held = torch.load(path, map_location=self.device, weights_only=True)
            self.learner.load_state_dict(held["learner"])
            self.step = held["step"]
            self.generator.set_state(held["generator"].cpu())
            self.source.generator.set_state(held["source"].cpu())

    def _next_lesson(self) -> Lesson | None:
        if self.lore is None or self.config.pairs == 0:
            return None
        lesson = next(self._lessons, None)
        if lesson is None:
            flow, lore = self.config.learner.weights.flow > 0, self.lore
            self._lessons = lesson_batches(lore.tracklets, lore.targets, self.config.pairs, self.generator, flow)
            lesson = next(self._lessons)
        return lesson

    def _next_crops(self) -> CropBatch | None:
        """Simulated crops: of fitted bodies, and as in Stage I; the control has as many, all of these."""
        config, parts = self.config, []
        fitted = self.lore.fitted if self.lore else None
        more = config.seen + 2 * config.pairs if self.lore is None else 0
        if config.replay + more:
            parts.append(self._drawn(self._replay, config.replay + more, self.source.draw))
        if config.seen and fitted:
            parts.append(self._drawn(self._seen, config.seen, partial(self._again, fitted)))
        return join_batches(parts) if parts else None

    def _drawn(self, waiting: list[CropBatch], size: int, draw: Callable[[int], CropBatch]) -> CropBatch:
        """The next of the batches that wait; when there is none, a pool is drawn and used several times."""
        if not waiting:
            pool = draw(size * POOL)
            waiting += [part for _ in range(PASSES) for part in pool.split(size, self.source.generator)]
        return waiting.pop()

    def _again(self, fitted: Fitted, crops: int) -> CropBatch:
        """Crops of other people who move as those who were seen."""
        passers = replace(self.config.passers, frames=fitted.pose.shape[1])
        passers = replace(passers, sensors=self.config.sensors or passers.sensors)
        seed = int(torch.randint(2**31, (1,), generator=self.generator))
        people = PasserSource(passers, seed, SeenMotions(fitted.pose, fitted.place)).draw(
            -(-crops // passers.seen_frames)
        )
        batch = people.batch().to(self.device)
        return batch.rows(torch.randperm(len(batch), generator=self.generator)[:crops].to(self.device))
