"""Human motion to draw from: recorded clips as one set, and poses and ways made without any data, on any device."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import roma
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from gckpl_ros.body.angles import ACTIVITIES, ANGLES, COLUMN, WEIGHTS, mirror_angles, pose_from_angles, turn
from gckpl_ros.errors import InputError


def sample_poses(n: int, generator: torch.Generator, device: torch.device | str = "cpu") -> Float[Tensor, "n 22 3 3"]:
    """n poses of all kinds, each with a random heading about z; body's feet are not placed (see body.ground)."""
    angles = sample_angles(n, generator, device)
    return turn(pose_from_angles(angles), _uniform(n, generator, device) * 2 * math.pi)


def sample_sequence(
    n: int, frames: int, generator: torch.Generator, device: torch.device | str = "cpu"
) -> Float[Tensor, "n t 22 3 3"]:
    """n motions of `frames` frames from a standing pose to a random one, turning up to 90 degrees on the way."""
    start = sample_activity("standing", n, generator, device)
    end = sample_angles(n, generator, device)
    heading = _uniform(n, generator, device) * 2 * math.pi
    turning = (_uniform(n, generator, device) - 0.5) * math.pi
    time = torch.linspace(0, 1, frames, device=device)
    progress = (time * time * (3 - 2 * time))[:, None, None]  # at rest at both ends
    angles = torch.lerp(start, end, progress)  # in joint angles, so that every frame keeps the joint limits
    pose = pose_from_angles(angles.flatten(0, 1))
    headings = heading + turning * progress[..., 0]
    return turn(pose, headings.flatten()).unflatten(0, (frames, n)).transpose(0, 1)


def sample_activity(
    name: str, n: int, generator: torch.Generator, device: torch.device | str = "cpu"
) -> Float[Tensor, "n a"]:
    """Joint angles (deg) of n people doing one of ACTIVITIES; half of them with left and right exchanged."""
    low, high = ACTIVITIES[name].to(device).unbind(1)
    angles = low + (high - low) * torch.rand(n, len(ANGLES), generator=generator, device=generator.device).to(device)
    if name == "walking":
        angles = angles + walking(_uniform(n, generator, device) * 2 * math.pi)
    return torch.where(_uniform(n, generator, device)[:, None] < 0.5, mirror_angles(angles), angles)


def sample_angles(n: int, generator: torch.Generator, device: torch.device | str = "cpu") -> Float[Tensor, "n a"]:
    """Joint angles (deg) of n people: activities by WEIGHTS; "free" poses go part of the way to the joint limits."""
    weights = torch.tensor(list(WEIGHTS.values()), device=generator.device)
    kind = torch.multinomial(weights, n, replacement=True, generator=generator).to(device)
    angles = torch.stack([sample_activity(name, n, generator, device) for name in WEIGHTS])
    chosen = angles[kind, torch.arange(n, device=device)]
    standing = sample_activity("standing", n, generator, device)
    share = _uniform(n, generator, device)[:, None]
    free = (kind == list(WEIGHTS).index("free"))[:, None]
    return torch.where(free, torch.lerp(standing, chosen, share), chosen)


def walking(phase: Float[Tensor, " n"], stride: float = 1.0) -> Float[Tensor, "n a"]:
    """Joint angles (deg) of a gait cycle at `phase` (rad, 2 pi is two steps), added to a standing person's."""
    angles = torch.zeros(len(phase), len(ANGLES), device=phase.device)
    for side, at in (("left", phase), ("right", phase + math.pi)):
        swing = torch.relu(torch.sin(at + 0.35)) ** 2
        angles[:, COLUMN[f"{side}_hip_flex"]] = stride * (6 - 25 * torch.cos(at))
        angles[:, COLUMN[f"{side}_knee"]] = stride * (8 + 52 * swing)
        angles[:, COLUMN[f"{side}_ankle"]] = stride * (2 - 12 * torch.relu(torch.sin(at - 0.2)))
        angles[:, COLUMN[f"{side}_arm_swing"]] = stride * 20 * torch.cos(at)
        angles[:, COLUMN[f"{side}_elbow"]] = stride * (10 + 10 * torch.cos(at))
    angles[:, COLUMN["spine_twist"]] = stride * 6 * torch.cos(phase)
    return angles


def _uniform(n: int, generator: torch.Generator, device: torch.device | str) -> Float[Tensor, " n"]:
    return torch.rand(n, generator=generator, device=generator.device).to(device)


@dataclass(frozen=True)
class Clip:
    """A motion in a z-up world: local rotations relative to the T-pose (joint 0 is global), pelvis position in m."""

    pose: Float[Tensor, "t 22 3 3"]
    translation: Float[Tensor, "t 3"]
    fps: float
    name: str
    subject: str = ""
    split: str = "train"

    def __len__(self) -> int:
        return len(self.pose)

    def at(self, times_s: Float[Tensor, " n"]) -> tuple[Float[Tensor, "n 22 3 3"], Float[Tensor, "n 3"]]:
        """Pose and pelvis position at any times from the start; beyond either end the clip stands still."""
        frames = (times_s * self.fps).clamp(0, len(self) - 1)
        low = frames.floor().long().clamp(max=max(len(self) - 2, 0))
        high = (low + 1).clamp(max=len(self) - 1)
        fraction = frames - low
        pose = slerp(self.pose[low], self.pose[high], fraction[:, None])
        return pose, torch.lerp(self.translation[low], self.translation[high], fraction[:, None])

    def resample(self, fps: float) -> "Clip":
        """The same motion at another frame rate."""
        count = int((len(self) - 1) / self.fps * fps + 1e-4) + 1
        pose, translation = self.at(torch.arange(count, device=self.pose.device) / fps)
        return replace(self, pose=pose, translation=translation, fps=fps)


def slerp(
    start: Float[Tensor, "... 3 3"], end: Float[Tensor, "... 3 3"], fraction: Float[Tensor, "..."]
) -> Float[Tensor, "... 3 3"]:
    """Rotations on the shortest way from `start` to `end`."""
    way = roma.rotmat_to_rotvec(start.mT @ end)
    return start @ roma.rotvec_to_rotmat(way * fraction[..., None])


Poses = tuple[Float[Tensor, "n 22 3 3"], Float[Tensor, "n 3"]]


class MotionLibrary:
    """Poses (n,22,3,3) and pelvis positions (n,3), drawn from clips; z-up world, metres, float32."""

    on_ground = True

    def __init__(self, clips: Sequence[Clip], device: torch.device | str = "cpu") -> None:
        """Join the clips; raises InputError when there is none."""
        if not clips:
            raise InputError("no motion clips: name a motion file, or use the procedural poses, which need none")
        lengths = torch.tensor([len(clip) for clip in clips])
        self.clips = tuple(clips)
        self._pose = torch.cat([clip.pose for clip in clips]).float().to(device)
        self._translation = torch.cat([clip.translation for clip in clips]).float().to(device)
        self._last = (lengths.cumsum(0) - 1).repeat_interleave(lengths).to(device)
        self._fps = torch.tensor([clip.fps for clip in clips]).repeat_interleave(lengths).to(device)

    def __len__(self) -> int:
        return len(self._pose)

    @property
    def poses(self) -> Float[Tensor, "n 22 3 3"]:
        """Every frame's local rotations."""
        return self._pose

    def sample(self, n: int, generator: torch.Generator) -> Poses:
        """n random frames."""
        rows = _draw(n, torch.arange(len(self), device=self._pose.device), generator)
        return self._pose[rows], self._translation[rows]

    def sample_pairs(self, n: int, dt_s: float, generator: torch.Generator) -> tuple[Poses, Poses]:
        """n pairs of moments of one clip, `dt_s` seconds apart; raises InputError when every clip is shorter."""
        first, second = self.sample_sequences(n, 2, dt_s, generator)
        return first, second

    def sample_sequences(self, n: int, frames: int, dt_s: float, generator: torch.Generator) -> tuple[Poses, ...]:
        """n runs of `frames` moments of one clip, `dt_s` seconds apart (interpolated between recorded frames)."""
        rows = torch.arange(len(self), device=self._pose.device)
        fits = rows + ((frames - 1) * dt_s * self._fps - 1e-3).ceil() <= self._last
        if not fits.any():
            raise InputError(f"no motion clip is {(frames - 1) * dt_s:g} s long")
        starts = _draw(n, rows[fits], generator)
        return tuple(self._at(starts, step * dt_s) for step in range(frames))

    def _at(self, starts: Int64[Tensor, " n"], after_s: float) -> Poses:
        frame = after_s * self._fps[starts]
        whole = (frame + 1e-3).floor()
        low = starts + whole.long()
        high = torch.minimum(low + 1, self._last[starts])
        fraction = (frame - whole).clamp(0, 1)[:, None]
        if after_s == 0:  # a recorded frame: nothing to interpolate
            return self._pose[low], self._translation[low]
        pose = slerp(self._pose[low], self._pose[high], fraction)
        return pose, torch.lerp(self._translation[low], self._translation[high], fraction)


def _draw(n: int, rows: Int64[Tensor, " m"], generator: torch.Generator) -> Int64[Tensor, " n"]:
    return rows[torch.randint(len(rows), (n,), generator=generator, device=generator.device).to(rows.device)]


# Procedural motion over time: people who walk, and people who change from standing to any pose.

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


class FittedMotions:
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
