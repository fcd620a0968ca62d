"""Stage II of GC-KPL (CVPR 2023, section 3.2): a network learns from people without labels.

Bodies are fitted to them once, before the first step, and simulated anew: dressed, placed and scanned as the simulation
can, with known truth (analysis by synthesis). The pairs of crops themselves, with a teacher's pseudo-labels and the
paper's losses, and crops as in Stage I can be learnt beside them.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal

import torch
from torch import Tensor

from gckpl_ros.batch import PersonBatch
from gckpl_ros.body.fit import BodyFit, FitConfig, Fitted
from gckpl_ros.config import Config
from gckpl_ros.errors import InputError
from gckpl_ros.estimate.checkpoint import fingerprint, load_network, save_network
from gckpl_ros.estimate.network import KeypointNetwork
from gckpl_ros.learn.learner import Learner, LearnerConfig, pair_batches
from gckpl_ros.learn.stage2_loss import LossWeights
from gckpl_ros.learn.teachers import SingleTeacher, SmoothingTeacher, Teacher, TemporalTeacher, load_temporal
from gckpl_training.data.people import load_people, read_people, save_people
from gckpl_training.learn.artefacts import artefact, key, settings
from gckpl_training.learn.run import Run, RunConfig, Stream, open_folder
from gckpl_training.motion.library import FittedMotions
from gckpl_training.simulate.maker import CropConfig
from gckpl_training.simulate.people import CropSource, PasserConfig, PasserSource, labelled_crops

TeacherName = Literal["fit", "temporal", "smoothing", "single"]
# Of pairs; LossWeights() alone are the paper's. What measures best needs no pairs (docs/benchmarks/labelfree.json).
WEIGHTS: Final = LossWeights(0.0, 0.0, 0.0, 0.0, 0.5, teacher=7.0)


@dataclass(frozen=True)
class Stage2Config(RunConfig):
    """Learn from people without labels (GC-KPL, Stage II); resumes where a former run in ``out`` stopped."""

    data: tuple[Path, ...] = ()
    """Recordings (.mcap, .db3, folder), or person sequences (docs/data.md), such as this command keeps in ``out``."""
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
    """Folder of this run: checkpoints, weights, people, pseudo-labels, logs."""
    steps: int = 2000
    seen: int = 28
    """Crops per step of the fitted bodies, simulated anew: their truth is known."""
    replay: int = 4
    """Crops per step as in Stage I."""
    pairs: int = 0
    """Pairs of consecutive frames per step of the data themselves, with pseudo-labels and the losses of ``learner``."""
    learner: LearnerConfig = field(default_factory=lambda: LearnerConfig(weights=WEIGHTS))
    crops: CropConfig = field(default_factory=lambda: CropConfig(views=3))
    """The crops of ``replay``."""
    passers: PasserConfig = field(default_factory=PasserConfig)
    """How fitted bodies are dressed, placed and seen; ``sensors`` above go before its own."""


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
class PseudoLabelled:
    """People with the pseudo-labels that a teacher gives them, and the bodies fitted to them."""

    people: PersonBatch
    fitted: Fitted | None = None

    def rows(self, index: Tensor) -> "PseudoLabelled":
        """The chosen people."""
        return PseudoLabelled(self.people.rows(index), self.fitted and self.fitted.rows(index))


def pseudo_label(config: Stage2Config, start: KeypointNetwork, people: PersonBatch) -> PseudoLabelled:
    """Ask the teacher, and fit bodies where it is a fitted body; kept in ``out``, once for what they are made of."""
    made_of: dict[str, Any] = {"people": people, "network": start, "teacher": config.teacher}
    if config.teacher in ("fit", "temporal"):
        made_of["temporal"] = load_temporal(config.temporal)
    if config.teacher == "fit":
        made_of["fit"] = FitConfig()

    def make(path: Path) -> None:
        labelled, fitted = make_teacher(config, start)(start, people), None
        if config.teacher == "fit":
            fitted = BodyFit().fit(labelled)
            labelled = replace(labelled, keypoints=fitted.keypoints)
        labels = {name: labelled.required(name) for name in ("keypoints", "confidence", "parts")}
        torch.save({"labels": labels, "fitted": vars(fitted) if fitted else None}, path)

    held = torch.load(artefact(config.out / "pseudo_labels.pt", made_of, make), weights_only=True)
    labelled = replace(people, **held["labels"], keypoint_mask=None)
    return PseudoLabelled(labelled, Fitted(**held["fitted"]) if held["fitted"] else None)


def people_of(config: Stage2Config, network: KeypointNetwork) -> PersonBatch:
    """Everybody in ``data``; kept in ``out``, once for what they are made of. Raises InputError without anybody."""
    if not config.data:
        raise InputError("nobody to learn from: give recordings or person sequences with --data")
    made_of = {"data": config.data, "network": network, "frame": config.frame, "pipeline": Config().to_ros_yaml()}
    kept = artefact(
        config.out / "people.people",
        made_of,
        lambda path: save_people(path, read_people(config.data, config.weights, config.frame)),
    )
    return load_people(kept)


def from_data(config: Stage2Config) -> "Stage2":
    """The run on the people in ``data``, pseudo-labelled; raises InputError where ``out`` cannot be written."""
    open_folder(config)
    start = load_network(config.weights)
    make_teacher(config, start)  # what it refuses it shall refuse before people are collected
    return Stage2(config, pseudo_label(config, start, people_of(config, start)), start)


class Stage2(Run):
    """A training run: everything that a checkpoint holds, and the steps that change it."""

    stage = "2"
    processes = "one batch"
    config: Stage2Config

    def __init__(self, config: Stage2Config, people: PseudoLabelled | None, start: KeypointNetwork) -> None:
        """Without anybody to learn from it learns from crops as in Stage I alone: the control."""
        super().__init__(config)
        self.people, self._start, self._trained_from = people, key(start), fingerprint(start)
        self.learner = Learner(start.to(self.device), config.learner, self.parallel)
        self.averaged = self.learner.averaged
        self.source = CropSource(config.crops, config.seed + 1, self.device, split="train")
        self.generators["people"] = self.generator = torch.Generator().manual_seed(config.seed)
        self.generators["source"] = drawn = self.source.generator
        fitted = people.fitted if people else None
        more = config.seen + 2 * config.pairs if people is None else 0
        self.crops: dict[str, Stream[PersonBatch]] = {}
        if config.replay + more:
            self.crops["replay"] = Stream(lambda step: self._as_in_stage1(config.replay + more), drawn)
        if config.seen and fitted:
            self.crops["fitted"] = Stream(lambda step: self._resimulated(fitted), self.generator, drawn)
        self.pairs = Stream(lambda step: self._pairs(), self.generator)
        self.parts |= {"learner": self.learner, "pairs": self.pairs, **self.crops}

    def train_step(self) -> dict[str, float]:
        """One step on pairs and on simulated crops."""
        pairs = self.pairs.next(self.step) if self.people and self.config.pairs else None
        return self.learner.step(pairs, self.next_crops(), self.config.schedule(self.step))

    def next_crops(self) -> PersonBatch | None:
        """Simulated crops: as in Stage I, and of fitted bodies; the control has as many, all of the former."""
        parts = [stream.next(self.step) for stream in self.crops.values()]
        return PersonBatch.join(parts) if parts else None

    def write(self, path: Path) -> None:
        """Write the averaged network."""
        save_network(path, self.averaged, self.provenance() | {"trained_from": self._trained_from})

    @cached_property
    def made_of(self) -> dict[str, Any]:
        """The settings, the people and the network to start from."""
        own = settings(self.config, *self.free, "data", "frame", "weights", "temporal")
        return own | {"people": key(self.people), "start": self._start}

    def _pairs(self) -> Iterator[PersonBatch]:
        """Pairs of the people, each once."""
        assert self.people is not None
        flow = self.config.learner.weights.flow > 0
        return pair_batches(self.people.people, self.config.pairs, self.generator, flow)

    def _as_in_stage1(self, size: int) -> list[PersonBatch]:
        """Batches of ``size`` crops as in Stage I."""
        return self._batches(self.source.draw(size * POOL), size)

    def _resimulated(self, fitted: Fitted) -> list[PersonBatch]:
        """Batches of crops of other people who move as the fitted bodies."""
        passers, crops = self.config.passers, self.config.seen * POOL
        passers = replace(passers, frames=fitted.pose.shape[1], sensors=self.config.sensors or passers.sensors)
        seed = int(torch.randint(2**31, (1,), generator=self.generator))
        source = PasserSource(passers, seed, FittedMotions(fitted.pose, fitted.place))
        batch = labelled_crops(source.draw(-(-crops // passers.seen_frames))).to(self.device)
        rows = torch.randperm(len(batch), generator=self.generator)[:crops].to(self.device)
        return self._batches(batch.rows(rows), self.config.seen)

    def _batches(self, pool: PersonBatch, size: int) -> list[PersonBatch]:
        """The pool cut into batches of similar size, several times."""
        return [part for _ in range(PASSES) for part in pool.split(size, self.source.generator)][::-1]
