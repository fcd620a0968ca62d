"""One step of learning after the other: label, learn, have the guard judge, take over or go back. No threads here."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any, Final

import numpy as np
import torch

from gckpl_ros.adapt.buffer import Buffer
from gckpl_ros.adapt.guard import Anchors, Guard, Verdict, finite
from gckpl_ros.adapt.storage import Progress
from gckpl_ros.batch import FRAME_S, PersonBatch
from gckpl_ros.config import AdaptConfig, Config
from gckpl_ros.errors import InputError
from gckpl_ros.estimate.network import KeypointNetwork
from gckpl_ros.learn.learner import Learner, LearnerConfig, frame_pairs
from gckpl_ros.learn.stage2_loss import LossWeights
from gckpl_ros.learn.teachers import SmoothingTeacher, Teacher, TemporalTeacher, load_temporal
from gckpl_ros.people.tracklets import Tracklet, labelled, unpack

# How the adapter learns, in one place: losses and their weights, and who teaches.

LOSSES: Final = LossWeights(
    flow=0.0, points_to_limb=0.0, symmetry=0.0, joint_to_part=0.0, segmentation=0.5, teacher=7.0
)
REPLAY: Final = 1.0
"""Weight of simulated crops, beside 1 for those losses."""


def learner_config(config: AdaptConfig) -> LearnerConfig:
    """What the learner needs to know."""
    return LearnerConfig(weights=LOSSES, replay=REPLAY, learning_rate=config.learning_rate)


def default_teacher(config: Config, network: KeypointNetwork) -> Teacher:
    """Who says what unlabelled people look like: a temporal network, which reads the tokens of one network only.

    Unless named it is the one that ships, and plain smoothing for a network whose tokens that one does not read.
    Raises InputError where the named one cannot be read, reads other tokens, or looks at people for less time than
    tracklets take.
    """
    temporal = load_temporal(config.adapt.teacher)
    if not config.adapt.teacher and not temporal.understands(network):
        return SmoothingTeacher()
    teacher = TemporalTeacher(temporal, network)
    if config.adapt.tracklet_s > (longest_s := temporal.config.frames * FRAME_S):
        given_s = config.adapt.tracklet_s
        raise InputError(f"adapt.tracklet_s is {given_s:g}, but the temporal network looks at {longest_s:g} s at most")
    return teacher


# Tracklets labelled at once: while there is nothing to learn from, and beside a step.
LABELLED_FIRST: Final = 16
LABELLED_BESIDE: Final = 4


class Trainer:
    """Learns from what it is shown. ``network`` is the one to estimate with: as loaded, or the last one accepted.

    The teacher always asks the loaded network: what is learnt is never learnt from itself.
    """

    def __init__(
        self, config: AdaptConfig, loaded: KeypointNetwork, device: torch.device, teacher: Teacher, anchors: Anchors
    ) -> None:
        self._config, self._device, self._teacher = config, device, teacher
        self._loaded = deepcopy(loaded).to(device).eval().requires_grad_(False)
        self._replay = anchors.replay.to(device)
        self.guard = Guard(self._loaded, anchors.guard.to(device), config)
        self._buffer = Buffer(config.buffer_mb)
        self.reset()

    def reset(self) -> None:
        """Back to the loaded network; nothing was ever seen."""
        self._rng = np.random.default_rng(self._config.seed)
        self._buffer.clear()
        self._judged_by = -1
        self.continue_from(self._loaded, Progress())

    def continue_from(
        self, network: KeypointNetwork, progress: Progress, learner: dict[str, Any] | None = None
    ) -> None:
        """Take over accepted weights, and the learner's state where there is one; raises InputError if it is none."""
        fresh = Learner(network, learner_config(self._config))
        try:
            if learner is not None:
                fresh.load_state_dict(learner)
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise InputError(f"the learner's state does not fit: {error}") from error
        self.network, self.progress, self._learner = network, progress, fresh

    def configure(self, config: AdaptConfig) -> None:
        """Take over other values; what is in work goes on with the old or the new ones."""
        self._config = self.guard.config = config
        self._buffer.most_mb = config.buffer_mb
        self._learner.config = learner_config(config)

    @property
    def ready(self) -> bool:
        """Whether there is enough to learn from."""
        return self._buffer.ready(self._config.min_tracklets)

    def wants(self) -> int:
        """How many tracklets to show now."""
        return LABELLED_BESIDE if self.ready else LABELLED_FIRST

    def show(self, seen: Sequence[Tracklet]) -> None:
        """Ask the teacher about people, and keep those of whom it is sure."""
        if not seen:
            return
        for example in labelled(seen, self._teacher(self._loaded, unpack(seen).to(self._device))):
            self._buffer.add(example)

    def learn(self) -> None:
        """One step; now and then a check, after which ``network`` is another one or the learner has gone back."""
        self.progress.losses = self._learner.step(self._pairs(), self._rehearsal())
        self.progress.step += 1
        if self.progress.step % self._config.check_steps == 0:
            self._check()

    def learner_state(self) -> dict[str, Any]:
        """What ``continue_from`` takes as ``learner``."""
        return self._learner.state_dict()

    def _pairs(self) -> PersonBatch:
        examples, frames = self._buffer.draw(self._config.batch_pairs, self._rng)
        people, rows = unpack(examples).to(self._device), torch.arange(len(examples), device=self._device)
        with torch.no_grad():
            with_flow = self._learner.config.weights.flow > 0
            return frame_pairs(people, rows, torch.from_numpy(frames).to(self._device), with_flow)

    def _rehearsal(self) -> PersonBatch:
        rows = self._rng.choice(len(self._replay), min(self._config.batch_pairs, len(self._replay)), replace=False)
        return self._replay.rows(torch.from_numpy(rows).to(self._device))

    def _check(self) -> None:
        if self._judged_by != self._buffer.renewed:
            self.guard.renew(self._buffer.held_out)
            self._judged_by = self._buffer.renewed
        candidate = deepcopy(self._learner.averaged)
        verdict = self.guard.judge(candidate, self.network) if finite(self._learner.network) else _BROKEN
        self.progress.reason = verdict.reason
        if verdict.accepted:
            self.network, self.progress.drift_m = candidate, verdict.drift_m
            self.progress.accepted += 1
        else:
            self._learner = Learner(self.network, learner_config(self._config))
            self.progress.rolled_back += 1


_BROKEN: Final = Verdict(False, "weights that are not finite", 0.0)
