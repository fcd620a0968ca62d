"""Bodies by Gauss-Newton: where keypoints and points say, plausible by a prior, all people in one batch.

SMPLify's energy (ECCV 2016) with the network's keypoints in place of detected ones and points on the skin. Its
derivatives are written out: a rotation vector of a joint turns all that hangs on it about that joint.
"""

from dataclasses import dataclass, fields
from typing import Any, Final

import roma
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gckpl_ros.body.body import LIMB_JOINTS, AnnyBody
from gckpl_ros.body.kinematics import JOINT, NUM_JOINTS, PARENTS, forward_kinematics, levels
from gckpl_ros.body.priors import JointLimits, PosePrior
from gckpl_ros.body.priors.prior import joints_of
from gckpl_ros.skeleton import NUM_KEYPOINTS

_ANKLES: Final = [JOINT["left_ankle"], JOINT["right_ankle"]]
_HEAD: Final = JOINT["head"]
_ABOVE: Final = [max(parent, 0) for parent in PARENTS]
_POSE: Final = slice(3, 66)
_PLACE: Final = slice(66, 69)
_SHAPE: Final = slice(69, None)


def _carried() -> Float[Tensor, "22 22"]:
    """1 where the second joint hangs on the first, or is it."""
    found = torch.eye(NUM_JOINTS)
    for joint in range(1, NUM_JOINTS):
        found[:, joint] += found[:, PARENTS[joint]]
    return found


@dataclass(frozen=True)
class Stances:
    """Where b bodies are: turned and placed in a z-up frame (m), posed (rad), shaped (standard deviations)."""

    facing: Float[Tensor, "b 3 3"]
    pose: Float[Tensor, "b 21 3"]
    place: Float[Tensor, "b 3"]
    shape: Float[Tensor, "b s"]

    def rotations(self) -> Float[Tensor, "b 22 3 3"]:
        """Local rotations, the first of the whole body."""
        return torch.cat([self.facing[:, None], roma.rotvec_to_rotmat(self.pose)], 1)

    def rows(self, index: Tensor) -> "Stances":
        """The chosen bodies."""
        return Stances(self.facing[index], self.pose[index], self.place[index], self.shape[index])

    def put(self, index: Tensor, others: "Stances") -> "Stances":
        """Some bodies replaced by others."""
        pairs = ((getattr(self, one.name), getattr(others, one.name)) for one in fields(self))
        return Stances(*(mine.index_put((index,), theirs) for mine, theirs in pairs))


@dataclass(frozen=True)
class Evidence:
    """What is known of b people in the same frame; ``points`` that are none are masked out."""

    keypoints: Float[Tensor, "b 14 3"]
    spread: Float[Tensor, "b 14"]
    """Standard deviation of each keypoint's coordinates, m."""
    points: Float[Tensor, "b n 3"]
    on_person: Bool[Tensor, "b n"]
    sensor: Float[Tensor, "b 3"]
    expected: Stances
    """Of the frame before, gone on; the shape as remembered."""
    trust: Float[Tensor, " b"]
    """In what is expected of pose and place: 1; 0 for whom nobody has seen before."""
    shape_precision: Float[Tensor, "b s s"]
    standing: Float[Tensor, "b 2 3"]
    """Where the left and right ankle stand, m."""
    stands: Bool[Tensor, "b 2"]

    def rows(self, index: Tensor) -> "Evidence":
        """Of the chosen people."""
        values: list[Any] = [getattr(self, one.name) for one in fields(self)]
        chosen: list[Any] = [each.rows(index) if isinstance(each, Stances) else each[index] for each in values]
        return Evidence(*chosen)


@dataclass(frozen=True)
class NewtonConfig:
    """Standard deviations (m, rad), and weights."""

    robust_m: float = 0.3
    """A keypoint this far away counts a quarter (Geman-McClure): narrower, a limb never reaches it from afar."""
    inside_m: float = 0.02
    outside_m: float = 0.05
    """Points lie on clothes: seldom within the skin."""
    cloth_m: float = 0.015
    point_weight: float = 1.0
    """Beside 1 for a keypoint."""
    reach_m: float = 0.15
    """Points farther from the skin are something else."""
    prior: float = 0.1
    limit_rad: float = 0.1
    facing_rad: float = 0.5
    pose_rad: float = 0.5
    place_m: float = 0.2
    """How far bodies stray in 0.1 s from what is expected."""
    standing_m: float = 0.04
    damping: float = 1.0


# A vertex that faces away is this much farther, m.
_AWAY_M: Final = 0.3
_LONGEST_STEP_RAD: Final = 0.6


class Newton:
    """Gauss-Newton on bodies; holds the body's linear parts, shapes whitened by the sampled population."""

    def __init__(self, body: AnnyBody, prior: PosePrior, config: NewtonConfig | None = None) -> None:
        self.config, self.prior, self.limits = config or NewtonConfig(), prior, JointLimits()
        rest, shape = body.linear()
        mean, spread = body.population()
        self.mean, self.spread = mean, spread
        joint, head = len(body.parts), len(body.parts) + NUM_JOINTS
        rest, shape = rest + torch.einsum("pcs,s->pc", shape, mean), shape @ spread
        joints, joint_shape = rest[joint:head], shape[joint:head]
        self._joints, self._joint_shape = joints, joint_shape
        turn = body.rest_to_tpose[_ABOVE]
        self._offsets = (turn @ (joints - joints[_ABOVE])[..., None])[..., 0]
        self._offset_shape = turn @ (joint_shape - joint_shape[_ABOVE])
        self._turn = body.rest_to_tpose
        self._head, self._head_shape = rest[head:] - joints[_HEAD], shape[head:] - joint_shape[_HEAD]
        self._skin, self._skin_shape = rest[:joint], shape[:joint]
        self.weights = body.weights
        self._normals = _normals(self._skin, body.faces)
        carried = _carried()
        self._moves_vertex = self.weights @ carried.T
        beyond = carried - torch.eye(NUM_JOINTS)  # a joint's own rotation does not move it
        self._moves = torch.cat([carried.T[[_HEAD]], beyond.T[list(LIMB_JOINTS)], carried.T[[_HEAD]]])
        self._moves_ankle = beyond.T[_ANKLES]

    def betas(self, shape: Float[Tensor, "b s"]) -> Float[Tensor, "b s"]:
        """Whitened shapes as the body takes them."""
        return self.mean + shape @ self.spread.T

    def fit(self, start: Stances, seen: Evidence, steps: int, points: bool = True) -> tuple[Stances, Tensor]:
        """Bodies after so many steps, and the precision of all their unknowns (b, 69 + s, 69 + s) at the last."""
        here = start
        for step in range(steps):
            change, precision = self.step(here, seen, points, (step + 1) / steps)
            here = moved(here, change)
        return here, precision

    def step(
        self, here: Stances, seen: Evidence, points: bool = True, progress: float = 1.0
    ) -> tuple[Float[Tensor, "b u"], Float[Tensor, "b u u"]]:
        """Change of facing (3), pose (63), place (3) and shape, and the energy's curvature."""
        config, posed = self.config, _Posed.of(self, here)
        found, slopes = self.landmarks(posed)
        error = found - seen.keypoints
        weight = (1 + error.square().sum(-1) / config.robust_m**2).pow(-2) / seen.spread.square()
        rows, errors, weights = [slopes.flatten(1, 2)], [error.flatten(1)], [weight.repeat_interleave(3, 1)]
        ankles = posed.positions[:, _ANKLES]
        rows.append(self._slopes(posed, ankles, self._moves_ankle, posed.grown[:, _ANKLES]).flatten(1, 2))
        errors.append((ankles - seen.standing).flatten(1))
        weights.append(seen.stands.repeat_interleave(3, 1) / config.standing_m**2)
        if points and seen.points.shape[1]:
            row, off, sure = self._on_skin(here, posed, seen)
            rows, errors, weights = [*rows, row], [*errors, off], [*weights, sure]
        J, r, w = torch.cat(rows, 1), torch.cat(errors, 1), torch.cat(weights, 1)
        weighted = J.mT * w[:, None]
        slope, curvature = (weighted @ r[..., None])[..., 0], weighted @ J
        self._add_priors(here, seen, slope, curvature, progress)
        damped = curvature + config.damping * torch.eye(curvature.shape[1])
        change: Tensor = -torch.cholesky_solve(slope[..., None], torch.linalg.cholesky(damped))[..., 0]
        longest = change[:, : _PLACE.start].abs().amax(1, keepdim=True)
        return change * (_LONGEST_STEP_RAD / longest.clamp_min(_LONGEST_STEP_RAD)), curvature

    def landmarks(self, posed: "_Posed") -> tuple[Float[Tensor, "b 14 3"], Float[Tensor, "b 14 3 u"]]:
        """Keypoints, and their derivatives by all unknowns."""
        R = posed.rotations[:, _HEAD] @ self._turn[_HEAD]
        head = posed.positions[:, _HEAD, None] + (R[:, None] @ posed.head[..., None])[..., 0]
        grown_head = posed.grown[:, _HEAD, None] + R[:, None] @ self._head_shape
        limbs, limbs_grown = posed.positions[:, LIMB_JOINTS], posed.grown[:, LIMB_JOINTS]
        found = torch.cat([head[:, :1], limbs, head[:, 1:]], 1)
        grown = torch.cat([grown_head[:, :1], limbs_grown, grown_head[:, 1:]], 1)
        assert found.shape[1] == NUM_KEYPOINTS
        return found, self._slopes(posed, found, self._moves, grown)

    def skin(self, here: Stances, posed: "_Posed") -> tuple[Float[Tensor, "b v 3"], Float[Tensor, "b v 3"], Tensor]:
        """Vertices, their outward normals (of unit length but for blending), and the blended motions (b, v, 3, 4)."""
        shifts = posed.positions - (posed.carry @ posed.rest[..., None])[..., 0]
        motion = torch.cat([posed.carry, shifts[..., None]], -1).flatten(2)
        motion = (self.weights @ motion).view(len(motion), -1, 3, 4)
        rest = self._skin + torch.einsum("vcs,bs->bvc", self._skin_shape, here.shape)
        vertices = (motion[..., :3] * rest[:, :, None]).sum(-1) + motion[..., 3]
        return vertices, (motion[..., :3] * self._normals[:, None]).sum(-1), motion

    def _on_skin(self, here: Stances, posed: "_Posed", seen: Evidence) -> tuple[Tensor, Tensor, Tensor]:
        """Points against the planes of the nearest visible vertices: derivatives, distances (m), weights."""
        config = self.config
        with torch.no_grad():
            vertices, normals, motion = self.skin(here, posed)
            away = ((vertices - seen.sensor[:, None]) * normals).sum(-1) > 0
            squares, nearest = (torch.cdist(seen.points, vertices) + _AWAY_M * away[:, None]).min(2)
        row = torch.arange(len(vertices))[:, None]
        at, normal = vertices[row, nearest], normals[row, nearest]
        off = (normal * (at - seen.points)).sum(-1) + config.cloth_m  # above 0: the point is within
        spread = torch.where(off > 0, config.inside_m, config.outside_m)
        sure = seen.on_person & (squares < config.reach_m)
        weight = config.point_weight * sure / spread.square() * (1 + (off / (2 * spread)).square()).pow(-2)
        arm = torch.linalg.cross((at[:, :, None] - posed.positions[:, None]), normal[:, :, None].expand(-1, -1, 22, -1))
        turned = torch.einsum("bnjx,bjxc->bnjc", arm * self._moves_vertex[nearest][..., None], posed.axes)
        shift = posed.grown - posed.carry @ self._joint_shape
        grown = (normal[:, :, None] @ motion[row, nearest][..., :3]).squeeze(2)
        along = torch.einsum("bnx,bnxs->bns", grown, self._skin_shape[nearest])
        carried = torch.einsum("bnx,bnj,bjxs->bns", normal, self.weights[nearest], shift)
        return torch.cat([turned.flatten(2), normal, along + carried], 2), off, weight

    def _slopes(self, posed: "_Posed", places: Tensor, moves: Tensor, grown: Tensor) -> Float[Tensor, "b k 3 u"]:
        """Derivatives of places that hang on joints as ``moves`` (k, 22) says."""
        arm = (places[:, :, None] - posed.positions[:, None]) * moves[..., None]
        axes = posed.axes.mT[:, None].expand(-1, places.shape[1], -1, -1, -1)
        turned = torch.linalg.cross(axes, arm[..., None, :].expand_as(axes)).flatten(2, 3).mT
        straight = torch.eye(3).expand(*places.shape, 3)
        return torch.cat([turned, straight, grown], -1)

    def _add_priors(self, here: Stances, seen: Evidence, slope: Tensor, curvature: Tensor, progress: float) -> None:
        """What is plausible, and what was expected, added in place."""
        config, expected, trust = self.config, seen.expected, seen.trust[:, None]
        prior_slope, prior_curvature = self.prior.quadratic(here.pose, progress)
        slope[:, _POSE] += config.prior * prior_slope
        curvature[:, _POSE, _POSE] += config.prior * prior_curvature
        beyond = here.pose - here.pose.clamp(self.limits.low, self.limits.high)
        ahead: Tensor = roma.rotmat_to_rotvec(here.facing @ expected.facing.mT)
        diagonal = curvature.diagonal(dim1=1, dim2=2)
        for part, error, weight in (
            (_POSE, beyond.flatten(1), (beyond.flatten(1) != 0) / config.limit_rad**2),
            (slice(0, 3), ahead, trust / config.facing_rad**2),
            (_POSE, (here.pose - expected.pose).flatten(1), trust / config.pose_rad**2),
            (_PLACE, here.place - expected.place, trust / config.place_m**2),
        ):
            slope[:, part] += weight * error
            diagonal[:, part] += weight
        slope[:, _SHAPE] += (seen.shape_precision @ (here.shape - expected.shape)[..., None])[..., 0]
        curvature[:, _SHAPE, _SHAPE] += seen.shape_precision


@dataclass(frozen=True)
class _Posed:
    """The skeleton of bodies and how it changes."""

    rotations: Float[Tensor, "b 22 3 3"]
    positions: Float[Tensor, "b 22 3"]
    carry: Float[Tensor, "b 22 3 3"]
    """From the rest pose to the posed body."""
    rest: Float[Tensor, "b 22 3"]
    head: Float[Tensor, "b 2 3"]
    axes: Float[Tensor, "b 22 3 3"]
    """Columns: about what a joint turns as each of its unknowns grows; the first joint about the world's axes."""
    grown: Float[Tensor, "b 22 3 s"]
    """Positions by shape."""

    @staticmethod
    def of(newton: "Newton", here: Stances) -> "_Posed":
        offsets = newton._offsets + torch.einsum("jcs,bs->bjc", newton._offset_shape, here.shape)
        local = here.rotations()
        rotations, positions = forward_kinematics(local, offsets, here.place)
        grown: list[Tensor] = [torch.zeros(len(local), 3, here.shape.shape[1])] * NUM_JOINTS
        steps = rotations[:, _ABOVE] @ newton._offset_shape
        for level in levels(PARENTS):
            for joint in level:
                grown[joint] = grown[PARENTS[joint]] + steps[:, joint]
        turning = rotations[:, _ABOVE[1:]] @ left_jacobian(here.pose)
        axes = torch.cat([torch.eye(3).expand(len(local), 1, 3, 3), turning], 1)
        rest = newton._joints + torch.einsum("jcs,bs->bjc", newton._joint_shape, here.shape)
        head = newton._head + torch.einsum("jcs,bs->bjc", newton._head_shape, here.shape)
        return _Posed(rotations, positions, rotations @ newton._turn, rest, head, axes, torch.stack(grown, 1))


def moved(here: Stances, change: Float[Tensor, "b u"]) -> Stances:
    """Bodies after a step; rotation vectors kept shorter than a half turn."""
    turn: Tensor = roma.rotvec_to_rotmat(change[:, :3])
    pose = here.pose + joints_of(change[:, _POSE])
    angle = pose.norm(dim=-1, keepdim=True)
    pose = torch.where(angle > torch.pi, pose * (1 - 2 * torch.pi / angle), pose)
    return Stances(turn @ here.facing, pose, here.place + change[:, _PLACE], here.shape + change[:, _SHAPE])


def left_jacobian(vector: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b 3 3"]:
    """J with exp(v + d) = exp(J d) exp(v) for small d."""
    angle = vector.norm(dim=-1).clamp_min(1e-3)[..., None, None]
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).view(*vector.shape, 3)
    first, second = (1 - angle.cos()) / angle**2, (angle - angle.sin()) / angle**3
    found: Tensor = torch.eye(3).to(vector) + first * cross + second * (cross @ cross)
    return found


def _normals(vertices: Float[Tensor, "v 3"], faces: Tensor) -> Float[Tensor, "v 3"]:
    """Of each vertex at rest, outwards, of unit length."""
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    normal, sums = torch.linalg.cross(b - a, c - a), torch.zeros_like(vertices)
    for corner in range(3):
        sums.index_add_(0, faces[:, corner], normal)
    return torch.nn.functional.normalize(sums, dim=-1)
