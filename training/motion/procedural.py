"""Poses and short motions made from joint limits alone: no motion data is needed.

A pose is a row of joint angles in degrees, one column per anatomical movement (ANGLES); an activity is a table of the
ranges its angles are drawn from. All rotations are made for the left side and mirrored to the right.
"""

import math

import roma
import torch
from jaxtyping import Float
from torch import Tensor

from gckpl_training.kinematics import JOINT, NUM_JOINTS, mirror_pose, upright
from gckpl_training.motion.activities import ACTIVITIES, ANGLES, COLUMN, WEIGHTS

_MIRRORED = [COLUMN[name.replace("left", "#").replace("right", "left").replace("#", "right")] for name in ANGLES]
_SIGNS = [-1.0 if name in ("lean", "spine_lean", "spine_twist", "head_tilt", "head_turn") else 1.0 for name in ANGLES]


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


def mirror_angles(angles: Float[Tensor, "n a"]) -> Float[Tensor, "n a"]:
    """The same pose with left and right exchanged."""
    return angles[:, _MIRRORED] * torch.tensor(_SIGNS, device=angles.device)


def turn(pose: Float[Tensor, "n 22 3 3"], heading: Float[Tensor, " n"]) -> Float[Tensor, "n 22 3 3"]:
    """Turn whole bodies by `heading` (rad) about the world's z."""
    return torch.cat([_rotation("z", heading.rad2deg())[:, None] @ pose[:, :1], pose[:, 1:]], 1)


def pose_from_angles(angles: Float[Tensor, "n a"]) -> Float[Tensor, "n 22 3 3"]:
    """Local rotations of a person facing x (body axes: x left, y up, z forward), from joint angles in degrees."""
    pose = torch.eye(3, device=angles.device).expand(len(angles), NUM_JOINTS, 3, 3).clone()
    column = {name: angles[:, index] for name, index in COLUMN.items()}
    _left_limbs(pose, column, "right")
    pose = mirror_pose(pose)  # the right limbs were made as left ones
    _trunk(pose, column)
    _left_limbs(pose, column, "left")
    return pose


def _trunk(pose: Float[Tensor, "n 22 3 3"], column: dict[str, Tensor]) -> None:
    pose[:, JOINT["pelvis"]] = upright(pose) @ _rotation("z", column["lean"]) @ _rotation("x", column["pitch"])
    third = [column[name] / 3 for name in ("spine_twist", "spine_lean", "spine_bend")]
    half = [column[name] / 2 for name in ("head_turn", "head_tilt", "head_nod")]
    for joint in ("spine1", "spine2", "spine3"):
        pose[:, JOINT[joint]] = _rotation("y", third[0]) @ _rotation("z", third[1]) @ _rotation("x", third[2])
    for joint in ("neck", "head"):
        pose[:, JOINT[joint]] = _rotation("y", half[0]) @ _rotation("z", half[1]) @ _rotation("x", half[2])


def _left_limbs(pose: Float[Tensor, "n 22 3 3"], column: dict[str, Tensor], side: str) -> None:
    angle = {name.removeprefix(f"{side}_"): value for name, value in column.items() if name.startswith(side)}
    hip = _rotation("x", -column["pitch"] - angle["hip_flex"]) @ _rotation("z", angle["hip_abduct"])
    plane = _rotation("y", -angle["arm_plane"])
    raised = _rotation("x", -angle["arm_swing"]) @ plane @ _rotation("z", angle["arm_raise"]) @ plane.mT
    shoulder = raised @ _rotation("z", torch.full_like(angle["elbow"], -90))  # the T-pose's arm hangs down
    pose[:, JOINT["left_hip"]] = hip @ _rotation("y", angle["hip_twist"])
    pose[:, JOINT["left_knee"]] = _rotation("x", angle["knee"])
    pose[:, JOINT["left_ankle"]] = _rotation("x", -angle["ankle"])
    pose[:, JOINT["left_shoulder"]] = shoulder @ _rotation("x", angle["arm_twist"])
    pose[:, JOINT["left_elbow"]] = _rotation("y", -angle["elbow"]) @ _rotation("x", angle["forearm_twist"])


def _rotation(axis: str, degrees: Float[Tensor, " n"]) -> Float[Tensor, "n 3 3"]:
    vector = torch.zeros(len(degrees), 3, device=degrees.device)
    vector[:, "xyz".index(axis)] = degrees.deg2rad()
    return roma.rotvec_to_rotmat(vector)


def _uniform(n: int, generator: torch.Generator, device: torch.device | str) -> Float[Tensor, " n"]:
    return torch.rand(n, generator=generator, device=generator.device).to(device)
