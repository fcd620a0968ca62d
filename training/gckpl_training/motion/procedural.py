"""Poses and short motions made from joint limits alone: no motion data is needed.

A pose is a row of joint angles in degrees, one column per anatomical movement (ANGLES); an activity is a table of the
ranges its angles are drawn from. All rotations are made for the left side and mirrored to the right.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from gckpl_ros.body.angles import ACTIVITIES, ANGLES, COLUMN, WEIGHTS, mirror_angles, pose_from_angles, turn


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
