"""Trains the person detector's second stage alone, on what the first proposes: its own mistakes come again more often.

The first stage is as ``start`` has it. Every scan is looked at once, augmented, and the places that it proposes are
kept as crops; a step then costs a tenth of one of ``person``.
"""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor, nn

from gckpl_ros.detect.network import Crops, PersonNetwork, load_person, proposals, save_person
from gckpl_ros.errors import InputError
from gckpl_ros.files import load_arrays, save_arrays
from gckpl_ros.learn.learner import average
from gckpl_training.learn.person import (
    SEEN,
    SHOWN_M,
    Asked,
    Lesson,
    asked,
    augmented,
    calibrate,
    lesson,
    measured,
    nearest,
    person_losses,
    scans,
)
from gckpl_training.learn.run import Run, RunConfig, Stream

LEAST: Final = 0.02
"""Places of less heat are proposed in training than later on."""
PROPOSALS: Final = 48
ANYWHERE: Final = 24
"""So many places of a scan are drawn among its points: what is cold in simulated scans may be hot in recorded ones."""
SPREAD_M: Final = 0.15
BLIND: Final = 0.3
"""Share of crops without the features of their cell: the points must do."""
EASY: Final = 0.15
"""What is no person is drawn with this weight and the probability that it is taken for one."""
THINNED: Final = 0.4
SHIFT_M, LIFT_M, NOISE_M = 0.06, 0.03, 0.01
CHUNK: Final = 1024


@dataclass(frozen=True)
class LookTrainingConfig(RunConfig):
    """Train the second stage of the person detector; resumes where a former run in ``out`` stopped."""

    out: Path = Path("runs/look")
    start: Path = Path("runs/person/final.safetensors")
    """The detector whose second stage goes on learning."""
    scans: tuple[Path, ...] = (Path("runs/scenes/train"),)
    shards: int = 100
    """At most so many of each folder."""
    validation: Path = Path("runs/scenes/val")
    validation_scans: int = 256
    steps: int = 20_000
    batch_size: int = 256
    learning_rate: float = 1e-3
    warmup_steps: int = 100
    decay_fraction: float = 0.7
    weight_decay: float = 0.01
    clip_norm: float = 2.0
    ema_decay: float = 0.998
    draw_steps: int = 500
    """How long what is drawn more often stays the same."""
    validate_every: int = 4000


@dataclass(frozen=True)
class Taught:
    """n crops with what should be said of them."""

    points: Float[np.ndarray, "n m 3"]
    counts: Int64[np.ndarray, " n"]
    distance: Float32[np.ndarray, " n"]
    features: Float[np.ndarray, "n w"]
    person: Bool[np.ndarray, " n"]
    boxed: Bool[np.ndarray, " n"]
    box: Float32[np.ndarray, "n 8"]

    def __len__(self) -> int:
        return len(self.person)

    def rows(self, rows: np.ndarray | slice) -> "Taught":
        """Some of them."""
        return Taught(**{name: values[rows] for name, values in vars(self).items()})

    def shown(self) -> Crops:
        """As the network takes them."""
        held = self.points, self.counts, self.distance, self.features
        points, counts, distance, features = (torch.from_numpy(values.astype(np.float32)) for values in held)
        return Crops(points, counts, distance, features)

    @staticmethod
    def joined(parts: "list[Taught]") -> "Taught":
        """All of them."""
        return Taught(**{name: np.concatenate([vars(each)[name] for each in parts]) for name in vars(parts[0])})


@torch.inference_mode()
def taught(network: PersonNetwork, shown: Lesson, rng: np.random.Generator) -> Taught:
    """Crops of what the first stage proposes in a scan, of places about its people, and of some anywhere."""
    seen, truth = shown
    heat = network.propose(seen)
    rows, places = proposals(seen, heat, network.config)
    clear = truth.boxes[truth.returns >= SEEN, :2]
    near = clear + rng.normal(0, SHOWN_M, clear.shape).astype(np.float32)
    some = seen.points[rng.integers(len(seen.points), size=ANYWHERE), :2]
    further = np.concatenate([near, some + rng.normal(0, SPREAD_M, some.shape).astype(np.float32)])
    rows, places = np.append(rows, nearest(further, seen.centers)), np.concatenate([places, further])
    crops, wanted = network.crops(seen, places, heat.features[torch.from_numpy(rows)]), asked(places, truth)
    return Taught(
        points=crops.points.numpy().astype(np.float16),
        counts=crops.counts.numpy().astype(np.int64),
        distance=crops.distance.numpy(),
        features=crops.features.numpy().astype(np.float16),
        person=wanted.person,
        boxed=wanted.boxed,
        box=wanted.box,
    ).rows(wanted.known | wanted.boxed)


def varied(batch: Taught, rng: np.random.Generator) -> Taught:
    """From a place a little beside, on ground a little higher or lower, mirrored, thinned, noisy, without its cell."""
    count, most = batch.points.shape[:2]
    points, box = batch.points.astype(np.float32), batch.box.copy()
    shift = rng.normal(0, SHIFT_M, (count, 2)).astype(np.float32) * (rng.random((count, 1)) < 0.5)
    lift = rng.normal(0, LIFT_M, (count, 1)).astype(np.float32)
    points[..., :2] -= shift[:, None]
    points[..., 2] += lift
    points += rng.normal(0, NOISE_M, points.shape).astype(np.float32) * rng.random((count, 1, 1), np.float32)
    box[:, :2] -= shift
    box[:, 2:4] += lift
    side = np.where(rng.random((count, 1)) < 0.5, np.float32(-1), np.float32(1))
    points[..., 1] *= side
    box[:, [1, 7]] *= side
    there = np.minimum(batch.counts, most)
    kept = np.where(rng.random(count) < THINNED, there * rng.uniform(0.3, 1, count), there).astype(np.int64).clip(1)
    order = np.where(np.arange(most) < there[:, None], rng.random((count, most)), 2.0).argsort(1)
    order = np.take_along_axis(order, np.arange(most) % kept[:, None], 1)
    points = np.take_along_axis(points, order[..., None], 1)
    counts = np.maximum(batch.counts * kept // np.maximum(there, 1), kept)
    features = batch.features * (rng.random((count, 1)) >= BLIND)
    return Taught(points, counts, batch.distance, features, batch.person, batch.boxed, box)


class LookTraining(Run):
    """A training run of the second stage."""

    stage = "look"
    headline = "person"
    free = (*Run.free, "validate_every", "validation", "validation_scans", "scans", "shards")
    config: LookTrainingConfig

    def __init__(self, config: LookTrainingConfig) -> None:
        """Raises InputError where there are no scans, or no first stage."""
        super().__init__(config)
        if not any(self._shards()):
            raise InputError(f"no scans in {config.scans}: make some (`python -m gckpl_training.simulate.scenes`)")
        self.network = load_person(config.start).train()
        self.learning = [
            value
            for part in (self.network.look, self.network.again, self.network.decide)
            for value in part.parameters()
        ]
        self.averaged = deepcopy(self.network).eval().requires_grad_(False)
        self.optimizer = torch.optim.AdamW(
            self.learning, lr=config.learning_rate, weight_decay=config.weight_decay, betas=(0.9, 0.98)
        )
        self.generators["crops"] = self.generator = torch.Generator().manual_seed(config.seed)
        self.batches = Stream(self._drawn, self.generator)
        self.parts |= {"network": self.network, "averaged": self.averaged, "optimizer": self.optimizer}
        self.parts |= {"batches": self.batches}
        self.numbers["best"] = -1.0
        self._crops: Taught | None = None

    def _shards(self) -> Iterator[Path]:
        for folder in self.config.scans:
            yield from sorted(folder.glob("*.npz"))[: self.config.shards]

    @property
    def crops(self) -> Taught:
        """Of all shards; kept in ``out``/crops."""
        if self._crops is None:
            self._crops = Taught.joined([self._of_shard(shard) for shard in self._shards()])
        return self._crops

    def _of_shard(self, shard: Path) -> Taught:
        kept = self.config.out / "crops" / f"{shard.parent.parent.name}_{shard.parent.name}_{shard.name}"
        if kept.exists():
            return Taught(**load_arrays(kept, *Taught.__dataclass_fields__))
        rng = np.random.default_rng([self.config.seed, *str(kept.name).encode()])
        found = Taught.joined(
            [
                taught(self._miner, seen, rng)
                for seen in (lesson(*augmented(*scan, rng)) for scan in scans(shard))
                if len(seen.seen)
            ]
        )
        save_arrays(kept, **vars(found))
        return found

    @property
    def _miner(self) -> PersonNetwork:
        miner = deepcopy(self.averaged)
        miner.config = replace(miner.config, least=LEAST, proposals=PROPOSALS)
        return miner

    def _drawn(self, step: int) -> Iterator[Taught]:
        """Batches until what comes more often is chosen anew."""
        rng = np.random.default_rng(int(torch.randint(1 << 31, (1,), generator=self.generator)))
        crops = self.crops
        upto = np.where(crops.person, 0.5, EASY + self._taken(crops)).cumsum()
        for _ in range(self.config.draw_steps):
            rows = np.searchsorted(upto, upto[-1] * rng.random(self.config.batch_size), side="right")
            yield varied(crops.rows(rows.clip(max=len(crops) - 1)), rng)

    @torch.inference_mode()
    def _taken(self, crops: Taught) -> Float32[np.ndarray, " n"]:
        """How probably each is taken for a person now."""
        chunks = (crops.rows(slice(i, i + CHUNK)).shown() for i in range(0, len(crops), CHUNK))
        return torch.cat([self.averaged.judge(chunk).logit.sigmoid() for chunk in chunks]).numpy()

    def train_step(self) -> dict[str, float]:
        """Learn from the next crops."""
        config = self.config
        for group in self.optimizer.param_groups:
            group["lr"] = config.learning_rate * config.schedule(self.step)
        batch = self.batches.next(self.step)
        wanted = Asked(batch.person, batch.person | ~batch.boxed, batch.boxed, batch.box)
        person, box = (each.mean() for each in person_losses(self.network.judge(batch.shown()), wanted))
        loss: Tensor = 2 * person + 2 * box
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.learning, config.clip_norm)
        if torch.isfinite(norm):
            self.optimizer.step()
        average(self.averaged, self.network, config.ema_decay, self.step + 1)
        return {"person": float(person.detach()), "box": float(box.detach())}

    def write(self, path: Path) -> None:
        """Write the averaged network."""
        save_person(path, self.averaged, self.provenance())

    def validate(self) -> dict[str, float]:
        """Average precision and recall on held-out scans now and then."""
        if self.step % self.config.validate_every:
            return {}
        return measured(self.averaged, self.config.validation, most=self.config.validation_scans)[0]

    def finish(self) -> dict[str, float]:
        """Calibrate the averaged network's score on held-out scans, write it, measure it."""
        figures = calibrate(self.averaged, self.config.validation, self.config.validation_scans)
        super().finish()
        return figures
