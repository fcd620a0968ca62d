"""Trains the person detector on simulated scans: both stages at once, the second on what the first proposes."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64
from scipy.optimize import minimize
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, smooth_l1_loss

from gckpl_ros.detect.ground import height_above_ground
from gckpl_ros.detect.network import BOX, Found, Heat, PersonConfig, PersonNetwork, proposals, said_of, save_person
from gckpl_ros.detect.pillars import Pillars, pillars
from gckpl_ros.errors import InputError
from gckpl_ros.learn.learner import average
from gckpl_training.learn.run import Run, RunConfig, Stream
from gckpl_training.simulate.scenes import load_scans

SEEN: Final = 5
"""People with fewer returns count neither for nor against."""
SPREAD_M: Final = 0.2
"""Standard deviation of the heat round a centre."""
VOTES_M: Final = 0.7
"""Cells this near to a centre vote for it."""
HIT_M, MISS_M = 0.3, 0.45
"""A proposal nearer to a person than the first is one, farther than the second is none."""
PROPOSALS: Final = 32
"""So many of a scan are judged in training."""
SHOWN_M: Final = 0.12
"""The second stage also sees a place about this far from each person, whatever the first proposes."""
RANGE_M: Final = 25.0
RIM_M: Final = 0.5
FOUND_M: Final = 0.5


@dataclass(frozen=True)
class PersonTrainingConfig(RunConfig):
    """Train the person detector on simulated scans; resumes where a former run in ``out`` stopped."""

    out: Path = Path("runs/person")
    scans: Path = Path("runs/scenes/train")
    """Folder of simulated scans (`python -m gckpl_training.simulate.scenes`)."""
    validation: Path = Path("runs/scenes/val")
    steps: int = 12_000
    batch_size: int = 4
    learning_rate: float = 1.5e-3
    warmup_steps: int = 200
    decay_fraction: float = 0.5
    weight_decay: float = 0.01
    clip_norm: float = 2.0
    ema_decay: float = 0.998
    validate_every: int = 1000
    network: PersonConfig = field(default_factory=PersonConfig)


class Truth(NamedTuple):
    """People of a scan: boxes (x, y from the sensor, z above the ground, length, width, height, yaw) and returns."""

    boxes: Float32[np.ndarray, "p 7"]
    returns: Int64[np.ndarray, " p"]


class Lesson(NamedTuple):
    """A scan as the detector sees it, and who is there."""

    seen: Pillars
    truth: Truth


def lesson(points: Float32[np.ndarray, "n 3"], truth: Truth, cell_m: float = 1.0, range_m: float = RANGE_M) -> Lesson:
    """Pillars of a scan; boxes stand on the estimated ground, and who is cut off by the range has no returns."""
    xyz = np.ascontiguousarray(points[np.square(points[:, :2]).sum(1) <= range_m**2].T)
    heights = height_above_ground(xyz, cell_m)
    seen = pillars(xyz, heights, range_m)
    boxes = truth.boxes.copy()
    if len(seen):
        boxes[:, 2] -= seen.ground(boxes[:, :2])
    return Lesson(seen, Truth(boxes, np.where(np.hypot(*boxes[:, :2].T) < range_m - RIM_M, truth.returns, 0)))


def augmented(
    points: Float32[np.ndarray, "n 3"], truth: Truth, rng: np.random.Generator
) -> tuple[Float32[np.ndarray, "m 3"], Truth]:
    """Turned about the sensor, mirrored, scaled by up to 6 %, thinned by up to two thirds."""
    boxes = truth.boxes.copy()
    if rng.random() < 0.5:
        points = points * np.array([1, -1, 1], np.float32)
        boxes[:, 1], boxes[:, 6] = -boxes[:, 1], -boxes[:, 6]
    angle, scale = rng.uniform(-np.pi, np.pi), rng.uniform(0.94, 1.06)
    cos, sin = np.cos(angle) * scale, np.sin(angle) * scale
    turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, scale]], np.float32)
    boxes[:, :3] = boxes[:, :3] @ turn.T
    boxes[:, 3:6] *= scale
    boxes[:, 6] += angle
    returns = truth.returns
    if rng.random() < 0.4:
        share = rng.uniform(0.35, 1.0)
        points = points[rng.random(len(points)) < share]
        returns = (returns * share).astype(np.int64)
    return np.ascontiguousarray(points @ turn.T), Truth(boxes, returns)


def scans(path: Path) -> Iterator[tuple[Float32[np.ndarray, "n 3"], Truth]]:
    """The scans of a shard: points (m, from the sensor) and people."""
    for scan in load_scans(path):
        yield scan.points, Truth(scan.boxes, scan.returns)


def losses(network: PersonNetwork, batch: list[Lesson], rng: np.random.Generator) -> dict[str, Tensor]:
    """Heat (focal, CenterNet: Zhou et al. 2019), votes, persons (cross-entropy) and boxes, over the batch."""
    heats, votes, judged = [], [], []
    for seen, truth in batch:
        if not len(seen):
            continue
        heat = network.propose(seen)
        clear = truth.returns >= SEEN
        heat_loss, vote_loss = _heat_loss(heat, seen, truth, clear)
        heats.append(heat_loss)
        votes.append(vote_loss)
        rows, places = (hottest[:PROPOSALS] for hottest in proposals(seen, heat, network.config))
        shown = truth.boxes[clear, :2] + rng.normal(0, SHOWN_M, (int(clear.sum()), 2)).astype(np.float32)
        rows = np.append(rows, nearest(shown, seen.centers))
        places = np.concatenate([places, shown])
        if len(rows):
            found = network.judge(network.crops(seen, places, heat.features[torch.from_numpy(rows)]))
            judged.append(person_losses(found, asked(places, truth)))
    person, box = (torch.cat(each) for each in zip(*judged, strict=True))
    return {
        "heat": torch.stack(heats).sum() / max(1, sum(int((truth.returns >= SEEN).sum()) for _, truth in batch)),
        "vote": torch.stack(votes).mean(),
        "person": person.mean(),
        "box": box.sum() / max(1, len(box)),
    }


def nearest(places: Float32[np.ndarray, "k 2"], others: Float32[np.ndarray, "m 2"]) -> Int64[np.ndarray, " k"]:
    """Row of the nearest other of each place."""
    nearest: np.ndarray = np.square(places[:, None] - others).sum(-1).argmin(1)
    return nearest


def _heat_loss(heat: Heat, seen: Pillars, truth: Truth, clear: Bool[np.ndarray, " p"]) -> tuple[Tensor, Tensor]:
    """Sum of the focal loss over the cells, and the error (m) of votes near people."""
    probability = heat.logit.sigmoid().clamp(1e-4, 1 - 1e-4)
    if not len(truth.boxes):
        return -(probability**2 * (1 - probability).log()).sum(), heat.vote.sum() * 0
    away = np.linalg.norm(seen.centers[:, None] - truth.boxes[:, :2], axis=-1)
    target = np.exp(-np.square(away) / (2 * SPREAD_M**2)) * clear
    nearest = away.argmin(0)
    there = clear & (away[nearest, np.arange(len(nearest))] < VOTES_M)
    target[nearest[there], np.flatnonzero(there)] = 1
    wanted = torch.from_numpy(target.max(1).astype(np.float32))
    ignored = torch.from_numpy((away[:, ~clear] < VOTES_M).any(1))
    centre = wanted > 0.95
    up, down = (1 - probability) ** 2 * probability.log(), (1 - wanted) ** 4 * probability**2 * (1 - probability).log()
    loss = -torch.where(centre, up, down).masked_fill(ignored, 0).sum()
    owner = away.argmin(1)
    voting = np.flatnonzero((away.min(1) < VOTES_M) & clear[owner])
    if not len(voting):
        return loss, heat.vote.sum() * 0
    rows = torch.from_numpy(voting)
    shift = torch.from_numpy(truth.boxes[owner[voting], :2] - seen.centers[voting])
    weight = 0.3 + centre[rows].float()
    error = smooth_l1_loss(heat.vote[rows], shift, beta=0.1, reduction="none").sum(1)
    return loss, (error * weight).sum() / weight.sum()


class Asked(NamedTuple):
    """What the second stage should say of k places: who is a person, of which it is known, and of whom which box."""

    person: Bool[np.ndarray, " k"]
    known: Bool[np.ndarray, " k"]
    boxed: Bool[np.ndarray, " k"]
    box: Float32[np.ndarray, "k 8"]


def asked(places: Float32[np.ndarray, "k 2"], truth: Truth) -> Asked:
    """Clearly a person, clearly none, or neither; boxes of the nearest person."""
    if not len(truth.boxes):
        nobody = np.zeros(len(places), bool)
        return Asked(nobody, ~nobody, nobody, np.zeros((len(places), BOX), np.float32))
    away = np.linalg.norm(places[:, None] - truth.boxes[:, :2], axis=-1)
    owner, distance = away.argmin(1), away.min(1)
    hit, clear = distance < HIT_M, truth.returns[owner] >= SEEN
    known = np.where(clear, hit | (distance > MISS_M), distance > VOTES_M)
    return Asked(hit & clear, known, (distance < MISS_M) & clear, said_of(places, truth.boxes[owner]))


def person_losses(found: Found, wanted: Asked) -> tuple[Tensor, Tensor]:
    """Cross-entropy of each proposal that is clearly a person or none; the boxes' errors of those near people."""
    known, boxed = (torch.from_numpy(np.flatnonzero(rows)) for rows in (wanted.known, wanted.boxed))
    person = torch.from_numpy(wanted.person.astype(np.float32))
    entropy = binary_cross_entropy_with_logits(found.logit[known], person[known], reduction="none")
    error = smooth_l1_loss(found.box[boxed], torch.from_numpy(wanted.box)[boxed], beta=0.1, reduction="none")
    return entropy, error.mean(1)


class PersonTraining(Run):
    """A training run of the person detector."""

    stage = "person"
    headline = "loss"
    free = (*Run.free, "validate_every", "validation", "scans")
    config: PersonTrainingConfig

    def __init__(self, config: PersonTrainingConfig) -> None:
        """Raises InputError where there are no scans."""
        super().__init__(config)
        self.shards = sorted(config.scans.glob("*.npz"))
        if not self.shards:
            raise InputError(f"no scans in {config.scans}: make some (`python -m gckpl_training.simulate.scenes`)")
        self.network = PersonNetwork(config.network)
        self.averaged = deepcopy(self.network).eval().requires_grad_(False)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, betas=(0.9, 0.98)
        )
        self.generators["scans"] = self.generator = torch.Generator().manual_seed(config.seed)
        self.batches = Stream(self._shard, self.generator)
        self.parts |= {"network": self.network, "averaged": self.averaged, "optimizer": self.optimizer}
        self.parts |= {"batches": self.batches}
        self.numbers["best"] = -1.0

    def _shard(self, step: int) -> Iterator[list[Lesson]]:
        """Batches out of one shard."""
        shards = sorted(self.config.scans.glob("*.npz"))
        shard = shards[int(torch.randint(len(shards), (1,), generator=self.generator))]
        rng = np.random.default_rng(int(torch.randint(1 << 31, (1,), generator=self.generator)))
        every = list(scans(shard))
        order = rng.permutation(len(every))
        size = self.config.batch_size
        for start in range(0, len(order) - size + 1, size):
            chosen = [
                augmented(points, truth, rng) for points, truth in (every[row] for row in order[start : start + size])
            ]
            yield [lesson(points, truth) for points, truth in chosen]

    def train_step(self) -> dict[str, float]:
        """Learn from the next scans."""
        config = self.config
        for group in self.optimizer.param_groups:
            group["lr"] = config.learning_rate * config.schedule(self.step)
        parts = losses(self.network, self.batches.next(self.step), np.random.default_rng((config.seed, self.step)))
        loss = parts["heat"] + parts["vote"] + 2 * parts["person"] + 2 * parts["box"]
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), config.clip_norm)
        if torch.isfinite(norm):
            self.optimizer.step()
        average(self.averaged, self.network, config.ema_decay, self.step + 1)
        return {"loss": float(loss.detach()), **{name: float(value.detach()) for name, value in parts.items()}}

    def write(self, path: Path) -> None:
        """Write the averaged network."""
        save_person(path, self.averaged, self.provenance())

    def validate(self) -> dict[str, float]:
        """Average precision and recall on held-out scans now and then."""
        if self.step % self.config.validate_every and self.step < self.config.steps:
            return {}
        figures, _, _ = measured(self.averaged, self.config.validation)
        if figures["ap"] > self.numbers["best"]:
            self.numbers["best"] = figures["ap"]
            self.write(self.config.out / "best.safetensors")
        return figures

    def finish(self) -> dict[str, float]:
        """Calibrate the averaged network's score on held-out scans, write it, measure it."""
        figures = calibrate(self.averaged, self.config.validation)
        super().finish()
        return figures


def calibrate(network: PersonNetwork, folder: Path, most: int = 256) -> dict[str, float]:
    """Scale and shift the logits so that they are log odds on held-out scans; returns the figures there."""
    network.calibration.copy_(torch.tensor([1.0, 0.0]))
    figures, logits, labels = measured(network, folder, most=most)

    def entropy(values: np.ndarray) -> float:
        return float(np.logaddexp(0, -(2 * labels - 1) * (logits * values[0] + values[1])).mean())

    if len(logits):
        fit = minimize(entropy, np.array([1.0, 0.0]), method="Nelder-Mead").x
        network.calibration.copy_(torch.from_numpy(fit).float())
    return figures


def measured(
    network: PersonNetwork, folder: Path, least_returns: int = 20, most: int = 256
) -> tuple[dict[str, float], Float32[np.ndarray, " k"], Float32[np.ndarray, " k"]]:
    """AP at 0.5 m and recall at 97 % precision over at most so many scans; logits and hits of all proposals.

    Who has fewer returns counts neither for nor against.
    """
    logits, hits, people = [], [], 0
    for points, everybody in islice(chain.from_iterable(map(scans, sorted(folder.glob("*.npz")))), most):
        seen, truth = lesson(points, everybody)
        found, logit = network(seen)
        counted = truth.returns >= least_returns
        people += int(counted.sum())
        hit, against = _matched(found, logit, truth, counted)
        logits.append(logit[against])
        hits.append(hit[against].astype(np.float32))
    score, right = np.concatenate(logits), np.concatenate(hits)
    found_so_far = right[np.argsort(-score, kind="stable")].cumsum()
    precision, recall = found_so_far / np.arange(1, len(right) + 1), found_so_far / max(1, people)
    ap = (np.diff(recall, prepend=0) * np.maximum.accumulate(precision[::-1])[::-1]).sum()
    sure = recall[precision >= 0.97].max(initial=0)
    figures = {"ap": float(ap), "recall_at_97": float(sure), "proposed": float(recall.max(initial=0))}
    return figures, score, right


def _matched(
    found: Float32[np.ndarray, "k 7"], logit: Float32[np.ndarray, " k"], truth: Truth, counted: Bool[np.ndarray, " p"]
) -> tuple[Bool[np.ndarray, " k"], Bool[np.ndarray, " k"]]:
    """Which boxes hit somebody nobody surer hit, and which of all count for or against."""
    hit, counts = np.zeros(len(found), bool), np.ones(len(found), bool)
    free = np.ones(len(truth.boxes), bool)
    for box in np.argsort(-logit):
        away = np.where(free, np.linalg.norm(truth.boxes[:, :2] - found[box, :2], axis=1), np.inf)
        if away.min(initial=np.inf) < FOUND_M:
            person = away.argmin()
            hit[box], counts[box], free[person] = True, counted[person], False
    return hit, counts
