"""A body in every skeleton: fitted to each cloud from where it was in the last one, its shape learnt over the track."""

from dataclasses import dataclass, fields, replace
from time import perf_counter
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from scipy.stats import chi
from torch import Tensor

from gckpl_ros.body.body import AnnyBody
from gckpl_ros.body.kinematics import JOINT, NUM_JOINTS
from gckpl_ros.body.newton import Evidence, Newton, NewtonConfig, Stances
from gckpl_ros.body.priors import GaussianMixture, PosePrior, load_prior
from gckpl_ros.config import BodyConfig
from gckpl_ros.geometry import facing, transformed
from gckpl_ros.skeleton import INDEX
from gckpl_ros.types import Bodies, Frame, Sample

# Confidence is the probability that a keypoint lies within 10 cm of the truth; which spread of its coordinates (m) has
# it, errors alike in all directions: 0.1 m is so many of them (chi distribution of three degrees of freedom).
_SURE: Final = np.linspace(0.01, 0.99, 99)
_SPREAD_M: Final = 0.1 / chi(3).ppf(_SURE)
# Steps for whom nobody has seen before, the first of them without points.
_FIRST_STEPS: Final = 12
_LOST_M: Final = 0.25
"""Bodies whose keypoints are this far from those seen, in the mean, start anew."""
# Looks at a shape share their errors: each counts this much. The population's spread counts as one more look.
_LOOK: Final = 0.05
_POPULATION: Final = 1.0
# An ankle stands that is seen to be slower than this; one that is seen farther from where it stood has left.
_STANDS_MPS, _LEFT_M = 0.5, 0.08
_ANKLES: Final = [INDEX["left_ankle"], INDEX["right_ankle"]]
_FRAME_S, _LONGEST_S = 0.1, 1.0


@dataclass(frozen=True)
class _Known:
    """What is remembered of b people: in the fixed frame (m), relative to each one's ``origin`` (float64)."""

    ids: Int64[np.ndarray, " b"]
    stamps_ns: Int64[np.ndarray, " b"]
    origin: Float64[np.ndarray, "b 3"]
    velocity: Float[Tensor, "b 3"]
    stances: Stances
    shape_precision: Float[Tensor, "b s s"]
    ankles: Float[Tensor, "b 2 3"]
    standing: Float[Tensor, "b 2 3"]
    stands: Tensor

    def rows(self, index: Int64[np.ndarray, " n"]) -> "_Known":
        """The chosen people."""
        at = torch.as_tensor(index)
        return _Known(
            self.ids[index], self.stamps_ns[index], self.origin[index], self.velocity[at], self.stances.rows(at),
            self.shape_precision[at], self.ankles[at], self.standing[at], self.stands[at],
        )  # fmt: skip


class BodyTracker:
    """Bodies of those whom the tracker sees, one batch for all, warm-started."""

    def __init__(self, config: BodyConfig, prior: PosePrior | None = None, newton: NewtonConfig | None = None) -> None:
        """Load body and prior; raises InputError when the prior cannot be read."""
        self._config = config
        self.body = AnnyBody()
        self.newton = Newton(self.body, prior or load_prior(config.prior), newton)
        self._standing = _hanging_arms(self.newton.prior)
        self.reset()

    def configure(self, config: BodyConfig) -> None:
        """Take over other values; bodies stay."""
        self._config = config

    def reset(self) -> None:
        """Forget everybody."""
        self._known: _Known | None = None

    def __call__(self, sample: Sample, frame: Frame, meshes: bool = False) -> Frame:
        """The frame with bodies of all who were seen; their skeletons moved towards them; ``meshes``: with skins."""
        people = frame.people
        if people is None or not len(people):
            return replace(frame, bodies=Bodies.empty())
        start, T = perf_counter(), sample.pose
        ids, seen_keypoints = frame.tracks.ids[: len(people)], frame.tracks.skeletons.keypoints[: len(people)]
        keypoints = transformed(T, seen_keypoints.astype(np.float64))
        origin = keypoints.mean(1)
        known = self._gone_on(ids, frame.stamp_ns, keypoints, origin)
        evidence = self._evidence(sample, frame, keypoints, known)
        stances, precision = self._fit(known, evidence, start)
        found = self.body.rig(self.newton.betas(stances.shape), stances.rotations(), stances.place)
        self._remember(known, stances, precision, found.positions, frame.stamp_ns)
        bodies = self._bodies(ids, T, origin, stances, found.keypoints, found.positions)
        return _with_bodies(frame, self._skinned(bodies) if meshes else bodies, self._config)

    def _skinned(self, bodies: Bodies) -> Bodies:
        """With their meshes."""
        shape, pose, place = (torch.from_numpy(v) for v in (bodies.betas, bodies.rotations, bodies.places))
        return replace(bodies, vertices=self.body(shape, pose, place).vertices.numpy(), faces=self.body.faces.numpy())

    def _gone_on(
        self, ids: np.ndarray, stamp_ns: int, keypoints: Float64[np.ndarray, "b 14 3"], origin: np.ndarray
    ) -> _Known:
        """What is expected of each person now; whoever is new stands where the keypoints are."""
        before = self._known
        here = torch.from_numpy((keypoints - origin[:, None]).astype(np.float32))
        fresh = self._strangers(ids, stamp_ns, origin, here)
        if before is None:
            return fresh
        place = {person: row for row, person in enumerate(before.ids.tolist())}
        rows = np.array([place.get(person, -1) for person in ids.tolist()])
        old = before.rows(np.maximum(rows, 0))
        since = np.clip((stamp_ns - old.stamps_ns) / 1e9, 0, _LONGEST_S)
        shift = torch.from_numpy((old.origin - origin).astype(np.float32))
        moved = shift + old.velocity * torch.from_numpy(since.astype(np.float32))[:, None]
        stances = replace(old.stances, place=old.stances.place + moved)
        told = self.body.rig(self.newton.betas(stances.shape), stances.rotations(), stances.place).keypoints
        lost = (told - here).norm(dim=-1).mean(1) > _LOST_M
        again = torch.from_numpy(rows >= 0) & ~lost

        def either(one: Tensor, other: Tensor) -> Tensor:
            return torch.where(again.view(-1, *[1] * (one.ndim - 1)), one, other)

        begun = fresh.stances
        stances = Stances(
            either(stances.facing, begun.facing),
            either(stances.pose, begun.pose),
            either(stances.place, begun.place),
            torch.where(torch.from_numpy(rows >= 0)[:, None], stances.shape, begun.shape),  # who is lost keeps it
        )
        ankles, seen = old.ankles + shift[:, None], here[:, _ANKLES]
        slow = (seen - ankles).norm(dim=-1) < _STANDS_MPS * torch.from_numpy(since.astype(np.float32))[:, None]
        stays = old.stands & ((seen - old.standing - shift[:, None]).norm(dim=-1) < _LEFT_M)
        standing = torch.where(stays[..., None], old.standing + shift[:, None], ankles)
        precision = torch.where(torch.from_numpy(rows >= 0)[:, None, None], old.shape_precision, fresh.shape_precision)
        return _Known(
            ids, np.where(again.numpy(), old.stamps_ns, 0), origin, either(old.velocity, fresh.velocity), stances,
            precision, ankles, standing, slow & again[:, None],
        )  # fmt: skip

    def _strangers(self, ids: np.ndarray, stamp_ns: int, origin: np.ndarray, keypoints: Tensor) -> _Known:
        """People of middle shape with hanging arms, where the keypoints are and turned as they are."""
        n, size = len(ids), len(self.newton.mean)
        hips = [INDEX["left_hip"], INDEX["right_hip"]]
        across = sum(keypoints[:, INDEX[f"left_{j}"]] - keypoints[:, INDEX[f"right_{j}"]] for j in ("hip", "shoulder"))
        assert isinstance(across, Tensor)
        yaw = facing(across)
        zero, one = torch.zeros_like(yaw), torch.ones_like(yaw)
        cos, sin = yaw.cos(), yaw.sin()
        # body axes (x left, y up, z forward) in the world: left, up, forward as columns
        columns = torch.stack([-sin, zero, cos, cos, zero, sin, zero, one, zero], 1).view(n, 3, 3)
        stances = Stances(
            columns, self._standing.expand(n, -1, -1).clone(), keypoints[:, hips].mean(1), torch.zeros(n, size)
        )
        nothing = torch.zeros(n, 2, 3)
        return _Known(
            ids, np.zeros(n, np.int64), origin, torch.zeros(n, 3), stances,
            _POPULATION * torch.eye(size).expand(n, size, size), nothing, nothing, torch.zeros(n, 2, dtype=torch.bool),
        )  # fmt: skip

    def _evidence(self, sample: Sample, frame: Frame, keypoints: np.ndarray, known: _Known) -> Evidence:
        """All that is told of this cloud, relative to each person's origin."""
        people, T = frame.people, torch.from_numpy(sample.pose)
        assert people is not None
        sure = frame.tracks.skeletons.confidence[: len(people)]
        spread = torch.from_numpy(np.interp(sure, _SURE, _SPREAD_M).astype(np.float32))
        rows, mask = _some(people.mask, self._config.points)
        origin = torch.from_numpy(known.origin)[:, None]
        points = torch.take_along_dim(people.points, rows[..., None], 1) + people.required("origins")[:, None]
        points = (points.double() @ T[:3, :3].T + T[:3, 3] - origin).float()
        sensor = torch.from_numpy(transformed(sample.pose, np.array(sample.cloud.origin)))
        return Evidence(
            keypoints=torch.from_numpy((keypoints - known.origin[:, None]).astype(np.float32)),
            spread=spread,
            points=points,
            on_person=mask,
            sensor=(sensor - origin[:, 0]).float(),
            expected=known.stances,
            trust=torch.from_numpy(_trust(known.stamps_ns, frame.stamp_ns)),
            shape_precision=known.shape_precision,
            standing=known.standing,
            stands=known.stands,
        )

    def _fit(self, known: _Known, seen: Evidence, start: float) -> tuple[Stances, Tensor]:
        """Strangers first from their keypoints; then everybody, until the steps or the time are spent."""
        here, new = known.stances, seen.trust == 0
        if new.any():
            first, _ = self.newton.fit(here.rows(new), seen.rows(new), _FIRST_STEPS, points=False)
            here = here.put(torch.nonzero(new)[:, 0], first)
        for step in range(self._config.steps):
            here, precision = self.newton.fit(here, seen, 1)
            spent_ms = 1e3 * (perf_counter() - start)
            if spent_ms * (step + 2) / (step + 1) > self._config.budget_ms:
                break
        return here, precision

    def _remember(self, known: _Known, here: Stances, precision: Tensor, positions: Tensor, stamp_ns: int) -> None:
        ankles = positions[:, [JOINT["left_ankle"], JOINT["right_ankle"]]]
        since = torch.from_numpy(((stamp_ns - known.stamps_ns) / 1e9).astype(np.float32)).clamp_min(1e-3)
        again = torch.from_numpy(known.stamps_ns > 0)
        pace = (here.place - known.stances.place) / since[:, None] + known.velocity
        velocity = torch.where(again[:, None], 0.5 * known.velocity + 0.5 * pace, torch.zeros_like(pace))
        # its own information about the shape: what is left of the curvature once all else may give way to it
        cut = here.shape.shape[1]
        rest, shape = precision[:, :-cut, :-cut], precision[:, -cut:, -cut:]
        across = precision[:, :-cut, -cut:]
        eye = 1e-3 * torch.eye(rest.shape[1])
        told = (
            shape - across.mT @ torch.cholesky_solve(across, torch.linalg.cholesky(rest + eye)) - known.shape_precision
        )
        now = _Known(
            known.ids, np.full(len(known.ids), stamp_ns), known.origin, velocity, here,
            known.shape_precision + _LOOK * told, ankles, known.standing, known.stands,
        )  # fmt: skip
        before = self._known
        if before is not None:
            kept = np.flatnonzero(~np.isin(before.ids, now.ids) & (stamp_ns - before.stamps_ns < 3_000_000_000))
            now = _joined(now, before.rows(kept)) if len(kept) else now
        self._known = now

    def _bodies(
        self, ids: np.ndarray, T: np.ndarray, origin: np.ndarray, here: Stances, keypoints: Tensor, joints: Tensor
    ) -> Bodies:
        """In the cloud's frame."""
        back = np.linalg.inv(T)
        rotations = here.rotations().double().numpy()
        rotations[:, 0] = back[:3, :3] @ rotations[:, 0]

        def home(places: Tensor) -> np.ndarray:
            offset = origin.reshape(len(origin), *[1] * (places.ndim - 2), 3)
            there: np.ndarray = transformed(back, places.double().numpy() + offset).astype(np.float32)
            return there

        betas = self.newton.betas(here.shape)
        return Bodies(
            ids, betas.numpy(), rotations.astype(np.float32), home(here.place), home(joints), home(keypoints),
            self.statures(betas),
        )  # fmt: skip

    def statures(self, betas: Float[Tensor, "b s"]) -> np.ndarray:
        """How tall bodies stand upright, from crown to sole, m."""
        upright = torch.eye(3).expand(len(betas), NUM_JOINTS, 3, 3)
        heights = self.body(betas, upright, torch.zeros(len(betas), 3)).vertices[..., 1]
        found: np.ndarray = (heights.amax(1) - heights.amin(1)).numpy()
        return found


def _hanging_arms(prior: PosePrior) -> Float[Tensor, "21 3"]:
    """The pose to begin with: the prior's commonest, or arms down."""
    if isinstance(prior, GaussianMixture):
        return prior.means[prior.weights.argmax()].view(-1, 3)
    pose = torch.zeros(NUM_JOINTS - 1, 3)
    pose[JOINT["left_shoulder"] - 1, 2], pose[JOINT["right_shoulder"] - 1, 2] = -1.3, 1.3
    return pose


def _some(mask: Tensor, most: int) -> tuple[Int64[Tensor, "b n"], Tensor]:
    """Places of at most so many points of each row, evenly over it (points come first), and which are points."""
    counts = mask.sum(1, keepdim=True)
    wanted = torch.arange(min(most, mask.shape[1]))[None]
    rows = torch.where(counts > most, wanted * counts // most, wanted.expand(len(mask), -1))
    return rows.clamp(max=mask.shape[1] - 1), wanted < counts


def _trust(stamps_ns: Int64[np.ndarray, " b"], now_ns: int) -> Float[np.ndarray, " b"]:
    """1 after 0.1 s, less the longer it is, as variances of what changes at random grow; 0 for strangers."""
    frames = np.maximum((now_ns - stamps_ns) / 1e9 / _FRAME_S, 0.2)
    return np.where(stamps_ns > 0, 1 / frames, 0).astype(np.float32)


def _joined(first: _Known, second: _Known) -> _Known:
    """The rows of the first, then of the second."""
    return _Known(*(_together(getattr(first, one.name), getattr(second, one.name)) for one in fields(first)))


def _together(one: Any, other: Any) -> Any:
    if isinstance(one, Stances):
        return Stances(*(_together(getattr(one, each.name), getattr(other, each.name)) for each in fields(one)))
    return np.concatenate([one, other]) if isinstance(one, np.ndarray) else torch.cat([one, other])


def _with_bodies(frame: Frame, bodies: Bodies, config: BodyConfig) -> Frame:
    """Skeletons are moved towards their bodies, as far as the configuration says."""
    skeletons, n = frame.tracks.skeletons, len(bodies)
    share = np.float32(config.fuse)
    keypoints = skeletons.keypoints.copy()
    keypoints[:n] = (1 - share) * keypoints[:n] + share * bodies.keypoints
    tracks = replace(frame.tracks, skeletons=replace(skeletons, keypoints=keypoints))
    return replace(frame, tracks=tracks, bodies=bodies)
