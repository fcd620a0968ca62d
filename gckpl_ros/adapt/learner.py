"""One network that learns from lessons: pairs of consecutive crops with what a teacher says, and simulated crops."""

from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from gckpl_ros.adapt.batch import CropBatch
from gckpl_ros.adapt.consistency import teacher_loss
from gckpl_ros.adapt.lessons import Lesson
from gckpl_ros.adapt.supervised import confidence_loss, keypoint_loss, segmentation_loss, stage1_loss
from gckpl_ros.adapt.total import LossOptions, LossWeights, View, stage2_loss
from gckpl_ros.estimate.network import KeypointNetwork, Prediction
from gckpl_ros.skeleton import NUM_PARTS


@dataclass(frozen=True)
class LearnerConfig:
    """How a network learns. The loss weights default to the paper's."""

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
        decay = min(self.config.ema_decay, (1 + self.step_count) / (10 + self.step_count))
        with torch.no_grad():
            for mean, value in zip(self.averaged.parameters(), self.network.parameters(), strict=True):
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
