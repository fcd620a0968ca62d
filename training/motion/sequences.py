"""Procedural motion over time: people who walk, and people who change from standing to any pose."""

import math
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from gckpl_training.motion.activities import ANGLES
from gckpl_training.motion.library import Poses
from gckpl_training.motion.procedural import pose_from_angles, sample_activity, sample_sequence, turn, walking

# Steps per second; length of a step of a person of middle height at stride 1, m; share of people who walk.
CADENCE_HZ = (1.4, 2.3)
STEP_M = 0.7
STRIDE = (0.4, 1.5)
WALKING = 0.7
# From standing to another pose in this time, s; the way made meanwhile, m/s.
CHANGE_S = 1.5
DRIFT_M_S = 1.0


@runtime_checkable
class Motions(Protocol):
    """Where sequences of poses come from: motion capture (MotionLibrary), or ProceduralMotions.

    ``on_ground``: their heights above the ground are known; otherwise the lowest foot stands on it.
    """

    on_ground: bool

    def sample_sequences(self, n: int, frames: int, dt_s: float, generator: torch.Generator) -> tuple[Poses, ...]:
        """For each frame the poses and pelvis positions (m) of n people, ``dt_s`` seconds apart."""
        ...


class ProceduralMotions:
    """Sequences without any motion data."""

    on_ground = False

    def sample_sequences(self, n: int, frames: int, dt_s: float, generator: torch.Generator) -> tuple[Poses, ...]:
        """``WALKING`` of the people walk straight on, the others change their pose."""
        walkers = round(WALKING * n)
        pose, place = (torch.cat(both) for both in zip(
            _walks(walkers, frames, dt_s, generator), _changes(n - walkers, frames, dt_s, generator), strict=True
        ))  # fmt: skip
        return tuple((pose[:, t], place[:, t]) for t in range(frames))


class SeenMotions:
    """Sequences of people who were seen: drawn from bodies fitted to them, forwards or in a mirror (see passers)."""

    on_ground = False

    def __init__(self, pose: Float[Tensor, "b t 22 3 3"], place: Float[Tensor, "b t 3"]) -> None:
        """Poses and pelvis positions (m) as body_fit finds them, at the frame rate of the recording."""
        self._pose, self._place = pose, place

    def sample_sequences(self, n: int, frames: int, dt_s: float, generator: torch.Generator) -> tuple[Poses, ...]:
        """n random people, from any frame on; ``dt_s`` must be that of the recording."""
        rows = torch.randint(len(self._pose), (n,), generator=generator)
        start = torch.randint(self._pose.shape[1] - frames + 1, (n,), generator=generator)
        return tuple((self._pose[rows, start + t], self._place[rows, start + t]) for t in range(frames))


def _walks(n: int, frames: int, dt_s: float, g: torch.Generator) -> tuple[Tensor, Tensor]:
    """Gait cycles of many cadences and strides, each with its own posture; as fast as the steps are long."""
    low_hz, high_hz = CADENCE_HZ
    cadence = low_hz + (high_hz - low_hz) * torch.rand(n, generator=g)
    stride = STRIDE[0] + (STRIDE[1] - STRIDE[0]) * torch.rand(n, generator=g)
    time = dt_s * torch.arange(frames)
    phase = 2 * math.pi * torch.rand(n, generator=g)[:, None] + math.pi * cadence[:, None] * time
    gait = walking(phase.flatten()).view(n, frames, len(ANGLES))
    angles = sample_activity("standing", n, g)[:, None] + stride[:, None, None] * gait
    heading = 2 * math.pi * torch.rand(n, generator=g)
    pose = turn(pose_from_angles(angles.flatten(0, 1)), heading.repeat_interleave(frames))
    way = (cadence * STEP_M * stride)[:, None] * time
    return pose.view(n, frames, *pose.shape[1:]), _along(way, heading)


def _changes(n: int, frames: int, dt_s: float, g: torch.Generator) -> tuple[Tensor, Tensor]:
    """A piece of the way from standing to another pose, drifting along."""
    whole = max(frames, round(CHANGE_S / dt_s) + 1)
    pose = sample_sequence(n, whole, g)
    start = torch.randint(whole - frames + 1, (n,), generator=g)
    rows = torch.arange(n)[:, None]
    way = DRIFT_M_S * torch.rand(n, generator=g)[:, None] * dt_s * torch.arange(frames)
    return pose[rows, start[:, None] + torch.arange(frames)], _along(way, 2 * math.pi * torch.rand(n, generator=g))


def _along(way: Float[Tensor, "n t"], heading: Float[Tensor, " n"]) -> Float[Tensor, "n t 3"]:
    return torch.stack([way * heading.cos()[:, None], way * heading.sin()[:, None], torch.zeros_like(way)], -1)
