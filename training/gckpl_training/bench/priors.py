"""What `gckpl benchmark priors` measures: pose priors on motions of people who were not trained on.

The tasks of the field's tables (Pose-NDF, DPoser): motion denoising, partial observation, completion, generation, poses
from 2D keypoints. All priors see the same bodies, errors and steps; how much a prior counts is chosen on split train.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import process_time
from typing import Any, Final

import roma
import torch
from jaxtyping import Float
from torch import Tensor

from gckpl_ros.body.body import AnnyBody
from gckpl_ros.body.kinematics import JOINT, JOINTS, PARENTS, forward_kinematics
from gckpl_ros.body.priors import KINDS, PosePrior, load_prior
from gckpl_ros.body.priors.prior import BODY_JOINTS, vectors
from gckpl_training.motion.files import read_mocap
from gckpl_training.motion.library import Clip

# What is observed errs so much; joints' speed changes so much from frame to frame (30 Hz), m.
NOISE_M: Final = 0.05
BENDING_M: Final = 0.02
STEPS: Final = 120
# True poses that drawn ones are compared with: every so many frames of the held-out clips (1 s).
KNOWN_EVERY: Final = 30
WEIGHTS: Final = (0.1, 0.5, 2.5)
HYPOTHESES: Final = 10
_HIDDEN: Final = {
    "leg": ("left_knee", "left_ankle", "left_foot"),
    "arm and hand": ("right_elbow", "right_wrist"),
    "shoulder and upper arm": ("left_shoulder", "left_elbow"),
}
_ENDS: Final = [
    JOINT[f"{side}_{name}"] for side in ("left", "right") for name in ("wrist", "ankle", "foot", "elbow", "knee")
]
_TRUNK: Final = [
    JOINT[name] for name in ("pelvis", "left_hip", "right_hip", "spine3", "left_shoulder", "right_shoulder")
]
# Focal length (px), distance (m) and error (px) of the simulated camera.
_FOCAL_PX, _DISTANCE_M, _ERROR_PX = 1000.0, 4.0, 5.0


@dataclass(frozen=True)
class Motion:
    """b sequences of t poses with a body of middle shape: rotations, and places of SMPL's joints (m, z up)."""

    pose: Float[Tensor, "b t 21 3"]
    joints: Float[Tensor, "b t 22 3"]


@dataclass(frozen=True)
class Task:
    """What is known of sequences, and which joints are counted."""

    name: str
    truth: Motion
    observed: Float[Tensor, "b t 22 3"]
    weight: Float[Tensor, "b t 22"]
    counted: list[int]
    flat: bool = False
    """Only what a camera sees of it: across and up, as angles."""


class Skeleton:
    """The mean body's joints."""

    def __init__(self) -> None:
        body = AnnyBody()
        mean, _ = body.population()
        upright = torch.eye(3).expand(1, len(JOINTS), 3, 3)
        joints = body.rig(mean[None], upright, torch.zeros(1, 3)).positions[0]
        self.offsets = joints - joints[[max(parent, 0) for parent in PARENTS]]

    def __call__(
        self, root: Float[Tensor, "n 3 3"], pose: Float[Tensor, "n 21 3"], place: Float[Tensor, "n 3"]
    ) -> Float[Tensor, "n 22 3"]:
        """Places of all joints."""
        rotations = torch.cat([root[:, None], roma.rotvec_to_rotmat(pose)], 1)
        return forward_kinematics(rotations, self.offsets.expand(len(pose), -1, -1), place)[1]


def prior_result(mocap: Path, small: bool = False) -> dict[str, Any]:
    """Rows of each table, and which prior gains most over joint limits with smoothness."""
    skeleton, frames = Skeleton(), 20 if small else 60
    steps = 10 if small else STEPS
    held = {
        split: _motions(read_mocap(mocap, split), skeleton, frames, 2 if small else n)
        for split, n in (("train", 3), ("val", 6))
    }
    generator = torch.Generator().manual_seed(0)
    clips = read_mocap(mocap, "val")
    known = vectors(torch.cat([clip.pose[::KNOWN_EVERY] for clip in clips])[:, 1:])
    tasks = _tasks(held["val"], generator)
    chosen = _tasks(held["train"], generator)[:3]
    rows: list[dict[str, Any]] = []
    gains: dict[str, dict[str, float]] = {}
    for kind in KINDS:
        prior = load_prior(kind)
        weights = (1.0,) if kind in ("none", "limits") else WEIGHTS
        tried = {weight: _mean(_solved(chosen, prior, weight, skeleton, steps)) for weight in weights}
        weight = min(tried, key=lambda each: tried[each])
        start = process_time()
        errors = _solved(tasks, prior, weight, skeleton, steps)
        spent = process_time() - start
        poses = steps * sum(task.observed.shape[0] * task.observed.shape[1] for task in tasks)
        gains[kind] = errors
        row = {name.replace(" ", "_") + "_cm": round(100 * error, 2) for name, error in errors.items()}
        rows.append(
            {
                "table": "motion",
                "prior": kind,
                "weight": weight,
                **row,
                "us_a_pose_and_step": round(1e6 * spent / poses, 1),
            }
        )
        flat = _solved(_cameras(held["val"], generator), prior, weight, skeleton, steps)
        hypotheses = _hypotheses(held["val"], prior, weight, skeleton, steps, kind)
        generated = {} if kind == "none" else _generated(prior, known, skeleton)
        rows.append(
            {"table": "poses", "prior": kind, "camera_PA_cm": round(100 * flat["camera"], 2), **hypotheses, **generated}
        )
    limits = _mean(gains["limits"])
    best = min((kind for kind in KINDS if kind not in ("none", "limits")), key=lambda kind: _mean(gains[kind]))
    return {
        "rows": rows,
        "best": best,
        "gain_over_limits_%": {kind: round(100 * (1 - _mean(errors) / limits), 1) for kind, errors in gains.items()},
    }


def _mean(errors: dict[str, float]) -> float:
    return sum(errors.values()) / len(errors)


def _motions(clips: Sequence[Clip], skeleton: Skeleton, frames: int, count: int) -> Motion:
    """The middles of clips, evenly over all that are long enough."""
    long = [clip for clip in clips if len(clip) >= frames]
    some = [long[round(i * (len(long) - 1) / max(1, count - 1))] for i in range(count)]
    poses, joints = [], []
    for clip in some:
        first = (len(clip) - frames) // 2
        pose = clip.pose[first : first + frames]
        theta = vectors(pose[:, 1:])
        poses.append(theta)
        joints.append(skeleton(pose[:, 0], theta, clip.translation[first : first + frames]))
    return Motion(torch.stack(poses), torch.stack(joints))


def _tasks(truth: Motion, generator: torch.Generator) -> list[Task]:
    """Gaussian errors, a pose estimator's (they last, ends err more, limbs go astray), and hidden joints."""
    shape = truth.joints.shape
    all_joints, one = list(range(1, len(JOINTS))), torch.ones(shape[:3])
    gaussian = truth.joints + NOISE_M * torch.randn(shape, generator=generator)
    size = torch.full((22, 1), 0.04)
    size[_ENDS] = 0.08
    lasting = torch.randn(shape, generator=generator)
    for t in range(1, shape[1]):
        lasting[:, t] = 0.9 * lasting[:, t - 1] + math.sqrt(1 - 0.81) * lasting[:, t]
    found = [
        Task("noise", truth, gaussian, one, all_joints),
        Task("estimator", truth, truth.joints + size * lasting, one, all_joints),
    ]
    for name, joints in _HIDDEN.items():
        hidden = [JOINT[joint] for joint in joints]
        weight = one.clone()
        weight[:, :, hidden] = 0
        seen = truth.joints + 0.01 * torch.randn(shape, generator=generator)
        found.append(Task(f"{name} hidden", truth, seen, weight, hidden))
    return found


def _cameras(truth: Motion, generator: torch.Generator) -> list[Task]:
    """Every tenth pose, seen by a camera that looks along y."""
    some = Motion(truth.pose[:, ::10], truth.joints[:, ::10])
    middle = some.joints[:, :, :1]
    at = some.joints - middle
    error = _ERROR_PX / _FOCAL_PX * _DISTANCE_M * torch.randn(at.shape, generator=generator)
    return [Task("camera", Motion(some.pose, at), at + error, torch.ones(at.shape[:3]), list(range(22)), flat=True)]


def _solved(
    tasks: list[Task], prior: PosePrior, weight: float, skeleton: Skeleton, steps: int, start: Tensor | None = None
) -> dict[str, float]:
    """Mean error (m) of each task's counted joints; all tasks in one batch."""
    joints = _fitted(tasks, prior, weight, skeleton, steps, start)
    found = {}
    for task, own in zip(tasks, joints.split([len(task.observed) for task in tasks]), strict=True):
        truth = task.truth.joints
        if task.flat:
            own = _aligned(own.flatten(0, 1), truth.flatten(0, 1)).view_as(truth)
        found[task.name] = float((own - truth)[:, :, task.counted].norm(dim=-1).mean())
    return found


def _fitted(
    tasks: list[Task], prior: PosePrior, weight: float, skeleton: Skeleton, steps: int, start: Tensor | None = None
) -> Float[Tensor, "b t 22 3"]:
    """Joints of the poses that explain what is observed, by Adam from a person with hanging arms."""
    observed, known = (torch.cat([getattr(task, name) for task in tasks]) for name in ("observed", "weight"))
    flat, (b, t) = tasks[0].flat, observed.shape[:2]
    pose = torch.zeros(b * t, BODY_JOINTS, 3)
    pose[:, JOINT["left_shoulder"] - 1, 2], pose[:, JOINT["right_shoulder"] - 1, 2] = -1.2, 1.2
    pose = pose if start is None else start.clone()
    rest = skeleton(torch.eye(3).expand(1, 3, 3), pose[:1] * 0, torch.zeros(1, 3))
    aims = observed.flatten(0, 1)[:, _TRUNK]
    root = roma.rigid_points_registration(rest[:, _TRUNK].expand(b * t, -1, -1), aims)[0]
    free = [pose.requires_grad_(), torch.zeros(b * t, 3, requires_grad=True)]
    free.append(observed[:, :, 0].flatten(0, 1).clone().requires_grad_())
    adam = torch.optim.Adam(free, lr=0.06, betas=(0.9, 0.95))
    mask = torch.tensor([1.0, 0.0, 1.0]) if flat else torch.ones(3)
    for step in range(steps):
        adam.param_groups[0]["lr"] = 0.06 * min(1.0, 2 * (1 - step / steps))
        joints = skeleton(root @ roma.rotvec_to_rotmat(free[1]), free[0], free[2]).view(b, t, 22, 3)
        error = ((joints - observed) * mask).square().sum(-1) / NOISE_M**2
        loss = (known * error).sum() / 2 + weight * prior.energy(free[0], step / steps).sum()
        if not flat:
            smooth = joints.diff(n=2, dim=1).square().sum() / (2 * BENDING_M**2)
            loss = loss + (step / steps) ** 2 * smooth  # first where they are, then how they go on
        adam.zero_grad()
        loss.backward()
        adam.step()
    with torch.no_grad():
        return skeleton(root @ roma.rotvec_to_rotmat(free[1]), free[0], free[2]).view(b, t, 22, 3)


def _aligned(found: Float[Tensor, "n 22 3"], truth: Float[Tensor, "n 22 3"]) -> Float[Tensor, "n 22 3"]:
    """Procrustes: turned, moved and scaled onto the truth."""
    turn, shift, scale = roma.rigid_points_registration(found, truth, compute_scaling=True)
    moved: Tensor = scale[:, None, None] * (found @ turn.mT) + shift[:, None]
    return moved


def _hypotheses(
    truth: Motion, prior: PosePrior, weight: float, skeleton: Skeleton, steps: int, kind: str
) -> dict[str, float]:
    """A hidden leg in single poses, from starts at random: the best of ten, and how far they are from each other."""
    some = Motion(truth.pose[:, ::30].flatten(0, 1)[:, None], truth.joints[:, ::30].flatten(0, 1)[:, None])
    generator = torch.Generator().manual_seed(1)
    task = next(one for one in _tasks(some, generator) if one.name == "leg hidden")
    many = {
        name: getattr(task, name).repeat(HYPOTHESES, 1, 1, *[1] * (getattr(task, name).ndim - 3))
        for name in ("observed", "weight")
    }
    n = len(some.pose) * HYPOTHESES
    start = load_prior("limits").sample(n, generator) if kind in ("none", "limits") else prior.sample(n, generator)
    found = _fitted([replace(task, **many)], prior, weight, skeleton, steps, 0.5 * start.detach())
    found = found[:, 0, task.counted].unflatten(0, (HYPOTHESES, -1))
    errors = (found - some.joints[:, 0, task.counted]).norm(dim=-1).mean(-1)
    spread = (found - found.mean(0)).norm(dim=-1).mean()
    return {
        "leg_best_of_10_cm": round(100 * float(errors.amin(0).mean()), 2),
        "leg_mean_cm": round(100 * float(errors.mean()), 2),
        "leg_spread_cm": round(100 * float(spread), 2),
    }


def _generated(prior: PosePrior, known: Float[Tensor, "n 21 3"], skeleton: Skeleton) -> dict[str, float]:
    """Mean distance of drawn poses from each other; how many are like true ones; how many true ones are like these.

    Like: nearer than that one's third neighbour among its own (Kynkäänniemi et al., NeurIPS 2019).
    """
    count = len(known)
    drawn = prior.sample(count, torch.Generator().manual_seed(2)).detach()

    def places(pose: Tensor) -> Tensor:
        return skeleton(torch.eye(3).expand(len(pose), 3, 3), pose, torch.zeros(len(pose), 3)).flatten(1)

    a, b = places(known), places(drawn)
    within_a, within_b, between = torch.cdist(a, a), torch.cdist(b, b), torch.cdist(a, b)
    reach_a, reach_b = (each.sort(1).values[:, 3] for each in (within_a, within_b))
    apart = (b[:, None].view(count, 1, 22, 3) - b.view(1, count, 22, 3)).norm(dim=-1).mean()
    return {
        "APD_cm": round(100 * float(apart), 1),
        "precision": round(float((between < reach_a[:, None]).any(0).float().mean()), 2),
        "recall": round(float((between < reach_b).any(1).float().mean()), 2),
    }
