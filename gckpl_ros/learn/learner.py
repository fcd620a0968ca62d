"""One network that learns from lessons: pairs of consecutive crops with what a teacher says, and simulated crops."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from gckpl_ros.estimate.network import KeypointNetwork, Prediction
from gckpl_ros.learn.flow.articulated import articulated
from gckpl_ros.learn.flow.pairs import Flow
from gckpl_ros.learn.losses import confidence_loss, keypoint_loss, segmentation_loss, stage1_loss, teacher_loss
from gckpl_ros.learn.stage2_loss import LossOptions, LossWeights, View, stage2_loss
from gckpl_ros.learn.teachers import Targets
from gckpl_ros.people.batch import CropBatch
from gckpl_ros.people.tracklets import Tracklets
from gckpl_ros.skeleton import NUM_PARTS

# What there is to learn from: tracklets with a teacher's answers and their flow, drawn as pairs of frames.


@dataclass(frozen=True)
class Lesson:
    """b pairs of consecutive frames: tracklets and targets of two frames, flow forward and backward (m)."""

    tracklets: Tracklets
    targets: Targets
    flows: tuple[Flow, Flow]

    def __len__(self) -> int:
        return len(self.tracklets)

    @property
    def shift(self) -> Float[Tensor, "b 3"]:
        """From the first frame's origin to the second's, m."""
        return self.tracklets.origins[:, 1] - self.tracklets.origins[:, 0]


def lesson(
    tracklets: Tracklets,
    targets: Targets,
    person: Int64[Tensor, " b"],
    frame: Int64[Tensor, " b"],
    with_flow: bool = True,
) -> Lesson:
    """The pair (frame, frame + 1) of each chosen person, with the flow that the targets lead to, or none."""
    at, rows = torch.stack([frame, frame + 1], 1), person[:, None]
    mask = tracklets.mask[rows, at]
    longest = max(int(mask.sum(-1).amax()), 1)
    points, parts = tracklets.points[rows, at][:, :, :longest], targets.parts[rows, at][:, :, :longest]
    pair = Tracklets(points, mask[..., :longest], tracklets.views[rows, at], tracklets.origins[rows, at])
    said = Targets(targets.keypoints[rows, at], targets.confidence[rows, at], parts)
    return Lesson(pair, said, _flows(pair, said) if with_flow else (_still(pair, 0), _still(pair, 1)))


def lesson_batches(
    tracklets: Tracklets, targets: Targets, size: int, generator: torch.Generator, with_flow: bool = True
) -> Iterator[Lesson]:
    """Every pair of consecutive frames with points once, in random order, pairs of similar point count together."""
    counts = tracklets.mask.sum(-1)
    person, frame = (tracklets.seen[:, :-1] & tracklets.seen[:, 1:]).nonzero(as_tuple=True)
    largest = torch.maximum(counts[person, frame], counts[person, frame + 1])
    jitter = 1 + 0.2 * torch.rand(len(person), generator=generator, device=person.device)
    chunks = torch.split((largest * jitter).argsort(), size)
    for index in torch.randperm(len(chunks), generator=generator, device=person.device).tolist():
        yield lesson(tracklets, targets, person[chunks[index]], frame[chunks[index]], with_flow)


def _flows(pair: Tracklets, said: Targets) -> tuple[Flow, Flow]:
    later = (pair.origins[:, 1] - pair.origins[:, 0])[:, None]
    parts = torch.nn.functional.one_hot(said.parts, NUM_PARTS).to(pair.points.dtype) * pair.mask[..., None]
    keypoints = said.keypoints
    return articulated(pair.pairs(), keypoints[:, 0], parts[:, 0], keypoints[:, 1] + later, parts[:, 1])


def _still(pair: Tracklets, frame: int) -> Flow:
    points = pair.points[:, frame]
    return Flow(torch.zeros_like(points), torch.zeros_like(points[..., 0]))


@dataclass(frozen=True)
class LearnerConfig:
    """How a network learns."""

    weights: LossWeights = field(default_factory=LossWeights)
    options: LossOptions = field(default_factory=LossOptions)
    replay: float = 1.0
    """Weight of the simulated crops' loss (Stage I's), beside 1 for Stage II's."""
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    ema_decay: float = 0.995


class Learner:
    """A copy of a network, its optimiser, and its moving average; the network that was given is left alone."""

    def __init__(self, network: KeypointNetwork, config: LearnerConfig) -> None:
        self.config, self.step_count = config, 0
        with torch.inference_mode(False):
            self.network = deepcopy(network).requires_grad_(True)
            self.averaged = deepcopy(network).eval().requires_grad_(False)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, betas=(0.9, 0.98)
        )

    def step(self, lesson: Lesson | None, replay: CropBatch | None, rate: float = 1.0) -> dict[str, float]:
        """One optimiser step at ``rate`` times the learning rate; returns the weighted losses by name, and their total.

        A loss that is not finite changes nothing.
        """
        with torch.inference_mode(False), torch.enable_grad():
            losses = {"total": torch.zeros((), device=next(self.network.parameters()).device)}
            if lesson is not None:
                losses = self._learn(lesson)
            if replay is not None:
                losses["replay"] = self.config.replay * self._rehearse(replay)
                losses["total"] = losses["total"] + losses["replay"]
            self._descend(losses["total"], rate)
        return {name: float(value.detach()) for name, value in losses.items()}

    def state_dict(self) -> dict[str, Any]:
        """Everything that a restart needs."""
        parts = {name: getattr(self, name).state_dict() for name in ("network", "averaged", "optimizer")}
        return parts | {"step_count": self.step_count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where ``state_dict`` was taken."""
        for name in ("network", "averaged", "optimizer"):
            getattr(self, name).load_state_dict(state[name])
        self.step_count = state["step_count"]

    def _learn(self, lesson: Lesson) -> dict[str, Tensor]:
        """Stage II's losses on both frames of each pair, in one batch through the network."""
        points, mask, views = lesson.tracklets.crops()
        said = self.network(points, mask, views)
        first, second = (_view(lesson, said, frame) for frame in (0, 1))
        losses = stage2_loss(first, second, self.config.weights, self.config.options)
        if self.config.weights.teacher:
            losses["teacher"] = self.config.weights.teacher * _deep_teacher_loss(lesson, said)
            losses["total"] = torch.stack([value for name, value in losses.items() if name != "total"]).sum()
        return losses

    def _rehearse(self, batch: CropBatch) -> Tensor:
        said = self.network(batch.points, batch.mask, batch.views)
        keypoints = keypoint_loss(said.steps, batch.keypoints)
        parts = segmentation_loss(said.part_logits, batch.labels, batch.mask)
        sure = confidence_loss(said.confidence_logit, said.keypoints, batch.keypoints)
        return stage1_loss(keypoints, parts) + sure

    def _descend(self, loss: Tensor, rate: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * rate
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip_norm)
        if not (torch.isfinite(loss.detach()) and torch.isfinite(norm)):
            return
        self.optimizer.step()
        self.step_count += 1
        average(self.averaged, self.network, self.config.ema_decay, self.step_count)


@torch.no_grad()
def average(averaged: nn.Module, network: nn.Module, decay: float, step: int) -> None:
    """Move an exponential moving average towards the network, faster in the first steps (counted from 1)."""
    decay = min(decay, (1 + step) / (10 + step))
    for mean, value in zip(averaged.parameters(), network.parameters(), strict=True):
        mean.lerp_(value, 1 - decay)


def _view(lesson: Lesson, said: Prediction, frame: int) -> View:
    """One frame of the pairs around the first frame's origin, as the losses take it."""
    shift = lesson.shift if frame else torch.zeros_like(lesson.shift)
    tracklets, targets, flow = lesson.tracklets, lesson.targets, lesson.flows[frame]
    mask = tracklets.mask[:, frame]
    parts = nn.functional.one_hot(targets.parts[:, frame], NUM_PARTS).to(said.keypoints.dtype) * mask[..., None]
    return View(
        points=(tracklets.points[:, frame] + shift[:, None]) * mask[..., None],
        mask=mask,
        parts=parts,
        flow=flow.vectors,
        keypoints=said.keypoints[frame::2] + shift[:, None],
        part_logits=said.part_logits[frame::2],
        flow_confidence=flow.confidence,
        views=tracklets.views[:, frame] - shift,
        teacher=targets.keypoints[:, frame] + shift[:, None],
        teacher_confidence=targets.confidence[:, frame],
    )


def _deep_teacher_loss(lesson: Lesson, said: Prediction) -> Tensor:
    """The teacher's loss, mean over the network's layers (deep supervision, as in Stage I)."""
    keypoints, confidence = lesson.targets.keypoints.flatten(0, 1), lesson.targets.confidence.flatten(0, 1)
    return torch.stack([teacher_loss(layer, keypoints, confidence) for layer in said.steps]).mean()
