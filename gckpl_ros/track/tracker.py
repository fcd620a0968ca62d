"""Follow people through time: associate, filter, keep those out of sight for a while."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from gckpl_ros.config import TrackConfig
from gckpl_ros.geometry import heading, transformed
from gckpl_ros.skeleton import MIRROR
from gckpl_ros.track.joints import Joints, bone_lengths, bone_weights, trunks
from gckpl_ros.types import Boxes, Skeletons, Tracks, TrackState

# What the tracker remembers of everybody: one array per quantity, one row per person, in the fixed frame.


@dataclass(frozen=True)
class History:
    """What goes on from one cloud to the next; ``hits``: in how many somebody was seen."""

    ids: Int64[np.ndarray, " n"]
    hits: Int64[np.ndarray, " n"]
    joints: Joints


@dataclass(frozen=True)
class People:
    """Positions in the fixed frame, in float64 because it may be a map; ``boxes`` and ``skeletons`` as last reported.

    ``centers`` are of the boxes, ``keypoints`` those reported; of people out of sight both go on as their place does.
    """

    history: History
    seen_ns: Int64[np.ndarray, " n"]
    centers: Float64[np.ndarray, "n 3"]
    keypoints: Float64[np.ndarray, "n 14 3"]
    yaws: Float64[np.ndarray, " n"]
    boxes: Boxes
    skeletons: Skeletons

    def __len__(self) -> int:
        return len(self.seen_ns)

    @staticmethod
    def nobody() -> "People":
        """No rows."""
        return _strangers(Boxes.empty(), Skeletons.empty(), 0, np.eye(4))


Rows = TypeVar("Rows", People, History)


def _chosen(values: Rows, index: np.ndarray) -> Rows:
    """People chosen by an index array or a mask."""
    chosen: Rows = _each(lambda column: column[index], values)
    return chosen


def _joined(first: Rows, second: Rows) -> Rows:
    """The rows of the first, then of the second."""
    joined: Rows = _each(lambda *columns: np.concatenate(columns), first, second)
    return joined


def _each(make: Callable[..., np.ndarray], *values: Any) -> Any:
    if isinstance(values[0], np.ndarray):
        return make(*values)
    columns = zip(*(vars(value).values() for value in values), strict=True)
    return type(values[0])(*(_each(make, *parts) for parts in columns))


# Which detection belongs to which track: the one-to-one assignment that is likeliest, strangers among it.

_STRANGERS_PER_M2: Final = 0.005  # who is found and belongs to nobody: so many on each square metre of a cloud
_LOOSE_STD_M: Final = 0.1  # of a detection's place, where it is not the filter that asks
_TAILS: Final = 4.0  # degrees of freedom of Student's distribution: people start, stop and are half hidden
_IN_SIGHT_S: Final = 0.2  # a gap between two clouds, as far as that hides nobody
_REACH_MPS: Final = 1.0  # who is out of sight may go so much further than is thought
_SAME_BUILD, _OTHER_BUILD = 0.06, 0.16  # spread of the logarithm of two looks' size: of one person, of two
_LEAST_BUILD_ODDS, _OUT_OF_SIGHT_S = (
    3.0,
    1.0,
)  # few points make anybody look small: who was just there is still that one


def associate(odds: Float64[np.ndarray, "t d"]) -> tuple[Int64[np.ndarray, " m"], Int64[np.ndarray, " m"]]:
    """Rows (of tracks, of detections) that belong together: the assignment with most log odds, none of them below 0."""
    of_track, of_detection = linear_sum_assignment(np.where(odds > 0, -odds, 0))  # nothing for what is no number
    likely = odds[of_track, of_detection] > 0
    return of_track[likely], of_detection[likely]


def odds_of_being_one(
    tracks: People, found: People, unseen_s: Float64[np.ndarray, " t"], gate_m: float
) -> Float64[np.ndarray, "t d"]:
    """Log odds that a detection is somebody known, and no stranger: by place, speed and build."""
    here, there = tracks.history.joints.places, trunks(found.keypoints)
    variances = (tracks.history.joints.motion.variances[:, 0] + _LOOSE_STD_M**2)[:, None]
    squares = cdist(here[:, :2], there[:, :2], "sqeuclidean") / variances
    density = -np.log(2 * np.pi * variances) - (_TAILS / 2 + 1) * np.log1p(squares / _TAILS)
    odds = density - np.log(_STRANGERS_PER_M2) + _build_odds(tracks, found, unseen_s)
    beyond = cdist(here, there) > gate_m + _REACH_MPS * unseen_s[:, None]
    within: np.ndarray = np.where(beyond, -np.inf, odds)
    return within


def _build_odds(tracks: People, found: People, unseen_s: Float64[np.ndarray, " t"]) -> Float64[np.ndarray, "t d"]:
    """Log odds of one body by the lengths of its bones, where both were seen."""
    weights = bone_weights(found.skeletons.confidence.astype(np.float64))
    lengths = np.log(np.maximum(bone_lengths(found.keypoints), 1e-2))
    known = np.log(np.maximum(tracks.history.joints.bones, 1e-2))
    ratio = ((lengths * weights).sum(axis=1) - known @ weights.T) / np.maximum(weights.sum(axis=1), 1e-9)
    evidence = ratio**2 / 2 * (_SAME_BUILD**-2 - _OTHER_BUILD**-2)
    least = -_LEAST_BUILD_ODDS * (1 + np.minimum(unseen_s / _OUT_OF_SIGHT_S, 1))
    odds: np.ndarray = np.maximum(np.log(_OTHER_BUILD / _SAME_BUILD) - evidence, least[:, None])
    return odds


Transform = Float64[np.ndarray, "4 4"]


class Tracker:
    """Multi-person tracker in a fixed frame: filters and assignment as SORT (ICIP 2016), on trunks and their joints.

    Ids count up and are never reused. Whoever is out of sight is reported as lost for ``max_age_s`` and remembered for
    ``memory_s``.
    """

    def __init__(self, config: TrackConfig) -> None:
        self._config = config
        self._next_id = 0
        self.reset()

    def configure(self, config: TrackConfig) -> None:
        """Take over other values; everybody stays."""
        self._config = config

    def reset(self) -> None:
        """Forget everybody."""
        self._people = People.nobody()
        self._stamp_ns = 0
        self._exchanged = np.zeros(0, bool)

    @property
    def exchanged(self) -> Bool[np.ndarray, " b"]:
        """Of those given last: whose left and right were exchanged."""
        return self._exchanged

    def __call__(self, boxes: Boxes, skeletons: Skeletons, stamp_ns: int, T_fixed_cloud: Transform) -> Tracks:
        """Tracks in the cloud's frame: the given people in the given order, then those lost from sight.

        Everybody is forgotten when time runs backwards, or jumps by more than ``memory_s``.
        """
        expected = self._expected(stamp_ns)
        found = _strangers(boxes, skeletons, stamp_ns, T_fixed_cloud)
        unseen_s = np.maximum((stamp_ns - expected.seen_ns) * 1e-9 - _IN_SIGHT_S, 0)
        old, new = associate(odds_of_being_one(expected, found, unseen_s, self._config.gate_m))
        rows = np.arange(len(found))
        rows[new] = len(found) + old
        past = self._named(_chosen(_joined(found.history, expected.history), rows))
        seen = self._seen(found, past, T_fixed_cloud)
        hidden = self._hidden(expected, old)
        self._stamp_ns, self._people = stamp_ns, _joined(seen, hidden) if len(hidden) else seen
        return self._report(seen, hidden, T_fixed_cloud)

    def _expected(self, stamp_ns: int) -> People:
        """Everybody moved on to this stamp, without those unseen for too long."""
        dt_s = (stamp_ns - self._stamp_ns) * 1e-9
        if dt_s < 0:
            return People.nobody()
        memory_s = max(self._config.memory_s, self._config.max_age_s)
        kept = stamp_ns - self._people.seen_ns <= memory_s * 1e9
        people = self._people if kept.all() else _chosen(self._people, kept)
        joints = people.history.joints.predict(dt_s)
        way = joints.places - people.history.joints.places
        centers, keypoints = people.centers + way, people.keypoints + way[:, None]
        return replace(people, history=replace(people.history, joints=joints), centers=centers, keypoints=keypoints)

    def _named(self, past: History) -> History:
        ids = past.ids.copy()
        nameless = np.flatnonzero(ids < 0)
        ids[nameless] = self._next_id + np.arange(len(nameless))
        self._next_id += len(nameless)
        return replace(past, ids=ids)

    def _seen(self, found: People, past: History, T_fixed_cloud: Transform) -> People:
        """What is found now with its past, row by row; as it is without smoothing."""
        smoothing, confidence = self._config.smoothing, found.skeletons.confidence.astype(np.float64)
        joints, keypoints, exchanged = past.joints.update(found.keypoints, confidence, smoothing / (1 - smoothing))
        self._exchanged = exchanged & (smoothing > 0)
        seen = replace(found, history=History(past.ids, past.hits + 1, joints))
        if not smoothing:
            return seen
        told = transformed(np.linalg.inv(T_fixed_cloud), keypoints).astype(np.float32)
        return replace(seen, keypoints=keypoints, skeletons=_exchanged(found.skeletons, exchanged, told))

    def _hidden(self, expected: People, old: Int64[np.ndarray, " m"]) -> People:
        """Those to remember who are not seen; whoever was never confirmed is forgotten."""
        hidden = expected.history.hits >= self._config.confirm_hits
        hidden[old] = False
        return _chosen(expected, hidden)

    def _report(self, seen: People, hidden: People, T_fixed_cloud: Transform) -> Tracks:
        """Everybody but those who were lost too long ago to tell where they are."""
        lost = self._stamp_ns - hidden.seen_ns <= self._config.max_age_s * 1e9
        people = _joined(seen, _lost(_chosen(hidden, lost), T_fixed_cloud)) if lost.any() else seen
        confirmed = people.history.hits >= self._config.confirm_hits
        states = np.where(confirmed, TrackState.TRACKED, TrackState.NEW).astype(np.int64)
        states[len(seen) :] = TrackState.LOST
        velocities = (people.history.joints.velocities @ T_fixed_cloud[:3, :3]).astype(np.float32)
        return Tracks(people.history.ids, states, people.boxes, people.skeletons, velocities)


class NoTracker:
    """Stands in for the tracker when it is off: everybody is new in every frame and stands still."""

    def __init__(self) -> None:
        self._next_id = 0
        self.exchanged = np.zeros(0, bool)

    def configure(self, config: TrackConfig) -> None:
        """Nothing to take over."""

    def reset(self) -> None:
        """Nothing to forget."""

    def __call__(self, boxes: Boxes, skeletons: Skeletons, stamp_ns: int, T_fixed_cloud: Transform) -> Tracks:
        """The given people with fresh ids."""
        ids = self._next_id + np.arange(len(boxes))
        self._next_id += len(boxes)
        self.exchanged = np.zeros(len(boxes), bool)
        return Tracks(
            ids, np.full(len(boxes), TrackState.NEW, np.int64), boxes, skeletons, np.zeros_like(boxes.centers)
        )


def _strangers(boxes: Boxes, skeletons: Skeletons, stamp_ns: int, T_fixed_cloud: Transform) -> People:
    count = len(boxes)
    keypoints = transformed(T_fixed_cloud, skeletons.keypoints)
    return People(
        history=History(np.full(count, -1), np.zeros(count, np.int64), Joints.unknown(count)),
        seen_ns=np.full(count, stamp_ns),
        centers=transformed(T_fixed_cloud, boxes.centers),
        keypoints=keypoints,
        yaws=boxes.yaws.astype(np.float64) + heading(T_fixed_cloud),
        boxes=boxes,
        skeletons=skeletons,
    )


def _exchanged(
    skeletons: Skeletons, exchanged: Bool[np.ndarray, " n"], keypoints: Float32[np.ndarray, "n 14 3"]
) -> Skeletons:
    """These keypoints, with what is said of each exchanged where left and right were."""
    confidence, visibility = (
        np.where(exchanged[:, None], values[:, MIRROR], values)
        for values in (skeletons.confidence, skeletons.visibility)
    )
    return Skeletons(keypoints, confidence, visibility)


def _lost(people: People, T_fixed_cloud: Transform) -> People:
    """Boxes and skeletons of people out of sight, where their motion has carried them."""
    T_cloud_fixed = np.linalg.inv(T_fixed_cloud)
    centers = transformed(T_cloud_fixed, people.centers).astype(np.float32)
    yaws = (people.yaws - heading(T_fixed_cloud)).astype(np.float32)
    keypoints = transformed(T_cloud_fixed, people.keypoints).astype(np.float32)
    boxes = replace(people.boxes, centers=centers, yaws=yaws)
    return replace(people, boxes=boxes, skeletons=replace(people.skeletons, keypoints=keypoints))
