"""Analysis by synthesis: one body per person, its shape constant over the track, fitted to keypoints and points.

What is fitted are joint angles within their limits, heading and place of each frame and one shape (the terms of
SMPLify, ECCV 2016, with the network's keypoints in place of detected ones), smooth over time; then the seen skin to the
points.
"""

from dataclasses import dataclass, fields
from typing import Final

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from gckpl_ros.batch import PersonBatch
from gckpl_ros.body.angles import ACTIVITIES, LIMITS, pose_from_angles, turn
from gckpl_ros.body.body import AnnyBody, Rig
from gckpl_ros.geometry import facing
from gckpl_ros.skeleton import BACKGROUND, INDEX

# People fitted at a time: temporaries stay near the cache.
PEOPLE: Final = 128
# Matches are drawn anew after so many steps. A vertex that faces away or lies on another part is this much farther, m.
REMATCH: Final = 8
FACING_AWAY_M: Final = 0.3
OTHER_PART_M: Final = 0.1
# Frames are never closer in time than this, in frames of 0.1 s.
SHORTEST: Final = 0.1


@dataclass(frozen=True)
class FitConfig:
    """Standard deviations of what is fitted, and steps of Adam; robust where people err (Geman's pseudo-Huber)."""

    keypoint_m: float = 0.08
    point_m: float = 0.03
    point_weight: float = 0.15
    """Beside 1 for a keypoint: neighbouring points err together."""
    limit_rad: float = 0.1
    posture_rad: float = 3.0
    """How far angles stray from standing: hardly a prior at all."""
    bend_rad: float = 0.45
    """Change of an angle's way in 0.1 s within 0.1 s; so for place and heading, and of the heading itself."""
    place_m: float = 0.055
    heading_rad: float = 0.18
    shape: float = 3.2
    """Standard deviations of the sampled population."""
    keypoint_steps: int = 60
    point_steps: int = 24


@dataclass(frozen=True)
class Fitted:
    """Bodies: keypoints relative to each frame's origin (m), pose, place of the pelvis in the fixed frame (m)."""

    keypoints: Float[Tensor, "b t 14 3"]
    pose: Float[Tensor, "b t 22 3 3"]
    place: Float[Tensor, "b t 3"]

    def rows(self, index: Tensor) -> "Fitted":
        """The chosen people."""
        return Fitted(self.keypoints[index], self.pose[index], self.place[index])


@dataclass(frozen=True)
class _Variables:
    shape: Float[Tensor, "b s"]
    angles: Float[Tensor, "b t a"]
    heading: Float[Tensor, "b t"]
    place: Float[Tensor, "b t 3"]

    def all(self) -> list[Tensor]:
        return [self.shape, self.angles, self.heading, self.place]


@dataclass(frozen=True)
class _Evidence:
    """In the fixed frame, metres; crops (b t) are flattened where points are concerned."""

    keypoints: Float[Tensor, "b t 14 3"]
    weight: Float[Tensor, "b t 14"]
    points: Float[Tensor, "c n 3"]
    on_person: Bool[Tensor, "c n"]
    parts: Int64[Tensor, "c n"]
    sensor: Float[Tensor, "c 3"]
    steps: Float[Tensor, "b s"]
    """Time between frames, in frames of 0.1 s."""


class BodyFit:
    """Fits bodies to what a teacher says of people and to their points."""

    def __init__(self, config: FitConfig | None = None) -> None:
        self.config = config or FitConfig()
        self.body = AnnyBody()
        self.mean, self.spread = self.body.population()
        self.limits = LIMITS.deg2rad()
        self.standing = ACTIVITIES["standing"].mean(1).deg2rad()

    def fit(self, people: PersonBatch) -> Fitted:
        """Bodies fitted to the keypoints, as far as they are sure, and to the points of tracklets."""
        parts = [self._fit(people.rows(rows)) for rows in torch.split(torch.arange(len(people)), PEOPLE)]
        return Fitted(*(torch.cat([getattr(part, one.name) for part in parts]) for one in fields(Fitted)))

    def _fit(self, people: PersonBatch) -> Fitted:
        seen = _evidence(people)
        with torch.inference_mode(False), torch.enable_grad():
            values = self._start(seen.keypoints.clone())
            values = self._descend(values, seen, self.config.keypoint_steps, 0.06, points=False)
            if self.config.point_steps:
                values = self._descend(values, seen, self.config.point_steps, 0.03, points=True)
        pose = self._pose(values).view(*values.heading.shape, -1, 3, 3)
        keypoints = self._rig(values)[0].keypoints.view_as(seen.keypoints) - people.required("origins")[:, :, None]
        return Fitted(keypoints.detach(), pose, values.place)

    def _start(self, keypoints: Float[Tensor, "b t 14 3"]) -> _Variables:
        """Standing people of middle shape, where the keypoints are and turned as they are."""
        across = sum(
            keypoints[:, :, INDEX[f"left_{j}"]] - keypoints[:, :, INDEX[f"right_{j}"]] for j in ("hip", "shoulder")
        )
        assert isinstance(across, Tensor)
        heading = facing(across)
        middle = torch.atan2(heading.sin().mean(1), heading.cos().mean(1))[:, None]
        heading = middle + (heading - middle + torch.pi) % (2 * torch.pi) - torch.pi
        place = (keypoints[:, :, INDEX["left_hip"]] + keypoints[:, :, INDEX["right_hip"]]) / 2
        angles = self.standing.expand(*heading.shape, -1).clone()
        return _Variables(torch.zeros(len(keypoints), len(self.mean)), angles, heading, place)

    def _descend(self, values: _Variables, seen: _Evidence, steps: int, rate: float, points: bool) -> _Variables:
        """Adam on all people at once, the rate falling to zero over the second half."""
        free = _Variables(*(value.detach().requires_grad_() for value in values.all()))
        adam = torch.optim.Adam(free.all(), lr=rate, betas=(0.8, 0.95))
        matches: Tensor | None = None
        for step in range(steps):
            adam.param_groups[0]["lr"] = rate * min(1.0, 2 * (1 - step / steps))
            rig, betas = self._rig(free)
            loss = self._keypoint_cost(rig, seen) + self._prior(free, seen.steps)
            if points:
                matches = self._match(rig, betas, seen) if matches is None or step % REMATCH == 0 else matches
                loss = loss + self._point_cost(rig, betas, seen, matches)
            adam.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            adam.step()
        return _Variables(*(value.detach() for value in free.all()))

    def _rig(self, values: _Variables) -> tuple[Rig, Float[Tensor, "c s"]]:
        frames = values.angles.shape[1]
        pose = self._pose(values)
        betas = (self.mean + values.shape @ self.spread.T).repeat_interleave(frames, 0)
        return self.body.rig(betas, pose, values.place.flatten(0, 1)), betas

    def _pose(self, values: _Variables) -> Float[Tensor, "c 22 3 3"]:
        return turn(pose_from_angles(values.angles.flatten(0, 1).rad2deg()), values.heading.flatten())

    def _keypoint_cost(self, rig: Rig, seen: _Evidence) -> Tensor:
        error = (rig.keypoints.view_as(seen.keypoints) - seen.keypoints).square().sum(-1)
        return (seen.weight * _robust(error / self.config.keypoint_m**2)).sum()

    def _point_cost(self, rig: Rig, betas: Tensor, seen: _Evidence, matches: Tensor) -> Tensor:
        error = (self.body.surface(betas, rig, matches) - seen.points).square().sum(-1)
        robust = _robust(error / self.config.point_m**2)
        return self.config.point_weight / 2 * (seen.on_person * robust).sum()

    def _prior(self, values: _Variables, steps: Float[Tensor, "b s"]) -> Tensor:
        config, (low, high) = self.config, self.limits.unbind(1)
        beyond = torch.relu(low - values.angles) + torch.relu(values.angles - high)
        terms = (
            beyond / config.limit_rad,
            (values.angles - self.standing) / config.posture_rad,
            values.shape / config.shape,
            bending(values.angles, steps) / config.bend_rad,
            bending(values.place, steps) / config.place_m,
            bending(values.heading[..., None], steps) / config.heading_rad,
            values.heading.diff(dim=1) / steps.sqrt() / config.heading_rad,
        )
        return torch.stack([term.square().sum() for term in terms]).sum()

    @torch.no_grad()
    def _match(self, rig: Rig, betas: Tensor, seen: _Evidence) -> Int64[Tensor, "c n"]:
        """The nearest vertex of each point, those that face the sensor and lie on its part preferred."""
        every = torch.arange(len(self.body.parts))
        matched = []
        for rows in torch.split(torch.arange(len(betas)), 64):
            some = Rig(rig.keypoints[rows], rig.positions[rows], rig.rotations[rows], rig.shifts[rows])
            vertices = self.body.surface(betas[rows], some, every.expand(len(rows), -1))
            away = ((vertices - seen.sensor[rows][:, None]) * _normals(vertices, self.body.faces)).sum(-1) > 0
            distance = torch.cdist(seen.points[rows], vertices) + FACING_AWAY_M * away[:, None]
            matched.append((distance + OTHER_PART_M * (seen.parts[rows][..., None] != self.body.parts)).argmin(2))
        return torch.cat(matched)


def _evidence(people: PersonBatch) -> _Evidence:
    origins, parts = people.required("origins")[:, :, None], people.required("parts")
    on_person = people.mask & (parts != BACKGROUND)
    return _Evidence(
        keypoints=people.required("keypoints") + origins,
        weight=people.required("confidence") * 2,
        points=(people.points + origins).flatten(0, 1),
        on_person=on_person.flatten(0, 1),
        parts=parts.flatten(0, 1),
        sensor=(origins[:, :, 0] - people.views).flatten(0, 1),
        steps=people.times.diff(dim=1).clamp_min(SHORTEST),
    )


def bending(values: Float[Tensor, "b t a"], steps: Float[Tensor, "b s"]) -> Float[Tensor, "b u a"]:
    """Change of speed at each inner frame, by what a random walk of the speed makes of the time that it takes.

    The sum of its squares tends to the integral of the squared acceleration: the same at any frame rate. ``steps``:
    the time between frames.
    """
    speed = values.diff(dim=1) / steps[..., None]
    took = (steps[:, 1:] + steps[:, :-1]) / 2
    return speed.diff(dim=1) / took.sqrt()[..., None]


def _robust(square: Tensor) -> Tensor:
    """Quadratic near zero, linear far away: sqrt(1 + x^2) - 1."""
    return torch.sqrt(1 + square) - 1


def _normals(vertices: Float[Tensor, "b v 3"], faces: Int64[Tensor, "f 3"]) -> Float[Tensor, "b v 3"]:
    """Of each vertex, outwards, not of unit length."""
    a, b, c = (vertices[:, faces[:, corner]] for corner in range(3))
    normal, sums = torch.linalg.cross(b - a, c - a), torch.zeros_like(vertices)
    for corner in range(3):
        sums.index_add_(1, faces[:, corner], normal)
    return sums
