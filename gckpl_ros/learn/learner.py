"""One network that learns from pairs of consecutive crops with what a teacher says of them, and from labelled crops."""

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from jaxtyping import Int64
from torch import Tensor, nn

from gckpl_ros.batch import PersonBatch
from gckpl_ros.estimate.network import KeypointNetwork, Prediction
from gckpl_ros.learn.articulated import articulated
from gckpl_ros.learn.losses import confidence_loss, keypoint_loss, segmentation_loss, stage1_loss, teacher_loss
from gckpl_ros.learn.stage2_loss import LossOptions, LossWeights, stage2_loss

# What there is to learn from: tracklets with pseudo-labels, drawn as pairs of consecutive frames.


def frame_pairs(
    people: PersonBatch, person: Int64[Tensor, " p"], frame: Int64[Tensor, " p"], with_flow: bool = True
) -> PersonBatch:
    """The frames (frame, frame + 1) of each chosen person, as pairs with the flow that their labels lead to, or none.

    Origins stay relative to the person's first frame.
    """
    pairs = people.pick(person, torch.stack([frame, frame + 1], 1))
    return articulated(pairs) if with_flow else pairs


def pair_batches(
    people: PersonBatch, size: int, generator: torch.Generator, with_flow: bool = True
) -> Iterator[PersonBatch]:
    """Every pair of consecutive frames with points once, in random order, pairs of similar point count together."""
    counts = people.mask.sum(-1)
    person, frame = (people.seen[:, :-1] & people.seen[:, 1:]).nonzero(as_tuple=True)
    largest = torch.maximum(counts[person, frame], counts[person, frame + 1])
    jitter = 1 + 0.2 * torch.rand(len(person), generator=generator, device=person.device)
    chunks = torch.split((largest * jitter).argsort(), size)
    for index in torch.randperm(len(chunks), generator=generator, device=person.device).tolist():
        yield frame_pairs(people, person[chunks[index]], frame[chunks[index]], with_flow)


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


Out = TypeVar("Out")


class Alone:
    """One process, to which a step's whole batch belongs; a training may spread the rows over several."""

    def over(self, rows: int, call: Callable[[Tensor | slice], Out]) -> Out:
        """What ``call`` makes of all rows of a batch."""
        return call(slice(None))

    def add(self, gradients: Sequence[Tensor]) -> None:
        """Add up, in place, what the rows of all processes contribute."""


class Learner:
    """A copy of a network, its optimiser, and its moving average; the network that was given is left alone."""

    def __init__(self, network: KeypointNetwork, config: LearnerConfig, processes: Alone | None = None) -> None:
        self.config, self.step_count, self._processes = config, 0, processes or Alone()
        with torch.inference_mode(False):
            self.network = deepcopy(network).requires_grad_(True)
            self.averaged = deepcopy(network).eval().requires_grad_(False)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, betas=(0.9, 0.98)
        )

    def step(self, pairs: PersonBatch | None, replay: PersonBatch | None, rate: float = 1.0) -> dict[str, float]:
        """One optimiser step at ``rate`` times the learning rate; returns the weighted losses by name, and their total.

        ``pairs`` (b, 2) with pseudo-labels, and flow where its loss has weight; ``replay`` with the truth.
        A loss that is not finite changes nothing.
        """
        with torch.inference_mode(False), torch.enable_grad():
            losses = {"total": torch.zeros((), device=next(self.network.parameters()).device)}
            if pairs is not None:
                losses = self._learn(pairs)
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

    def _learn(self, pairs: PersonBatch) -> dict[str, Tensor]:
        """Stage II's losses on both frames of each pair, in one batch through the network."""
        said = self._predict(pairs.flat())
        losses = stage2_loss(pairs, said, self.config.weights, self.config.options)
        if self.config.weights.teacher:
            losses["teacher"] = self.config.weights.teacher * _deep_teacher_loss(pairs, said)
            losses["total"] = torch.stack([value for name, value in losses.items() if name != "total"]).sum()
        return losses

    def _rehearse(self, batch: PersonBatch) -> Tensor:
        """Stage I's losses, of what is known: labels may miss keypoints, or the parts of points."""
        said, truth, known = self._predict(batch), batch.required("keypoints"), batch.keypoint_mask
        keypoints = keypoint_loss(said.steps, truth, known)
        unlabelled = said.part_logits.new_zeros(())
        parts = unlabelled if batch.parts is None else segmentation_loss(said.part_logits, batch.parts, batch.mask)
        sure = confidence_loss(said.confidence_logit, said.keypoints, truth, known)
        return stage1_loss(keypoints, parts) + sure

    def _predict(self, people: PersonBatch) -> Prediction:
        def shown(rows: Tensor | slice) -> Prediction:
            """As wide as the whole batch, so that all shares are alike."""
            own = people if isinstance(rows, slice) else people.rows(rows).padded(people.mask.shape[-1])
            return self.network.predict(own)

        return self._processes.over(len(people), shown)

    def _descend(self, loss: Tensor, rate: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * rate
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self._processes.add([value.grad for value in self.network.parameters() if value.grad is not None])
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


def _deep_teacher_loss(pairs: PersonBatch, said: Prediction) -> Tensor:
    """The teacher's loss, mean over the network's layers (deep supervision, as in Stage I)."""
    frames = pairs.flat()
    keypoints, confidence = frames.required("keypoints"), frames.required("confidence")
    known = frames.keypoint_mask
    return torch.stack([teacher_loss(layer, keypoints, confidence, known) for layer in said.steps]).mean()
