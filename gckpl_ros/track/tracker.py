"""Follow people through time: associate, filter, keep those out of sight for a while."""

from dataclasses import dataclass, fields, replace
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from gckpl_ros.batch import in_frames
from gckpl_ros.config import TrackConfig
from gckpl_ros.geometry import heading, transformed
from gckpl_ros.skeleton import NUM_KEYPOINTS
from gckpl_ros.track.motion import Motion, smooth
from gckpl_ros.types import Boxes, Skeletons, Tracks, TrackState

# Which detection belongs to which track: the cheapest one-to-one assignment within a gate.


def associate(
    tracks: Float64[np.ndarray, "t 3"], detections: Float64[np.ndarray, "d 3"], gate_m: float
) -> tuple[Int64[np.ndarray, " m"], Int64[np.ndarray, " m"]]:
    """Rows (of tracks, of detections) that belong together; as many as the gate allows, then as near as possible."""
    distances = cdist(tracks, detections)
    beyond = gate_m * (1 + min(distances.shape))  # dearer than any whole assignment within the gate
    of_track, of_detection = linear_sum_assignment(np.where(distances <= gate_m, distances, beyond))
    near = distances[of_track, of_detection] <= gate_m
    return of_track[near], of_detection[near]


# What the tracker remembers of everybody: one array per quantity, one row per person, in the fixed frame.


@dataclass(frozen=True)
class People:
    """Positions in the fixed frame, in float64 because it may be a map; ``boxes`` and ``skeletons`` as last reported.

    ``trust`` is the confidence gathered in each keypoint's filter.
    """

    ids: Int64[np.ndarray, " n"]
    hits: Int64[np.ndarray, " n"]
    seen_ns: Int64[np.ndarray, " n"]
    motion: Motion
    keypoints: Float64[np.ndarray, "n 14 3"]
    yaws: Float64[np.ndarray, " n"]
    trust: Float32[np.ndarray, "n 14"]
    boxes: Boxes
    skeletons: Skeletons

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: np.ndarray) -> "People":
        """People chosen by an index array or a mask."""
        return People(*(getattr(self, field.name)[index] for field in fields(self)))

    def __add__(self, others: "People") -> "People":
        """These people's rows, then the others'."""
        people: People = _joined(self, others)
        return people

    @staticmethod
    def nobody() -> "People":
        """No rows."""
        none = np.zeros(0, np.int64)
        keypoints = np.zeros((0, NUM_KEYPOINTS, 3))
        trust = np.zeros((0, NUM_KEYPOINTS), np.float32)
        motion = Motion.unknown(np.zeros((0, 3)))
        return People(none, none, none, motion, keypoints, np.zeros(0), trust, Boxes.empty(), Skeletons.empty())


def _joined(first: Any, second: Any) -> Any:
    if isinstance(first, np.ndarray):
        return np.concatenate((first, second))
    columns = (_joined(getattr(first, field.name), getattr(second, field.name)) for field in fields(first))
    return type(first)(*columns)


Transform = Float64[np.ndarray, "4 4"]
LONGEST_GAP_FRAMES: Final = 3.0


class Tracker:
    """Multi-person tracker in a fixed frame (SORT, ICIP 2016, on 3D centres). Ids count up and are never reused."""

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

    def __call__(self, boxes: Boxes, skeletons: Skeletons, stamp_ns: int, T_fixed_cloud: Transform) -> Tracks:
        """Tracks in the cloud's frame: the given people in the given order, then those lost from sight.

        Everybody is forgotten when time runs backwards, or jumps by more than ``max_age_s``.
        """
        expected = self._expected(stamp_ns)
        found = _strangers(boxes, skeletons, stamp_ns, T_fixed_cloud)
        old, new = associate(expected.motion.positions, found.motion.positions, self._config.gate_m)
        rows = np.arange(len(found))
        rows[new] = len(found) + old
        seen = self._seen(found, self._named((found + expected)[rows]), self._frames(stamp_ns), T_fixed_cloud)
        lost = _lost(expected[self._unseen(expected, old)], T_fixed_cloud)
        self._people, self._stamp_ns = seen + lost, stamp_ns
        return self._report(len(seen), T_fixed_cloud)

    def _expected(self, stamp_ns: int) -> People:
        """Everybody moved on to this stamp, without those unseen for too long."""
        dt_s = (stamp_ns - self._stamp_ns) * 1e-9
        if dt_s < 0:
            return People.nobody()
        people = self._people[stamp_ns - self._people.seen_ns <= self._config.max_age_s * 1e9]
        motion = people.motion.predict(dt_s)
        return replace(people, motion=motion, keypoints=people.keypoints + motion.velocities[:, None] * dt_s)

    def _frames(self, stamp_ns: int) -> float:
        """Frames of 0.1 s since the cloud before: one if there was none, three after a gap."""
        gap_s = torch.tensor((stamp_ns - self._stamp_ns) * 1e-9, dtype=torch.float64)
        frames = float(in_frames(gap_s))
        return min(frames, LONGEST_GAP_FRAMES) if self._stamp_ns and frames > 0 else 1.0

    def _named(self, people: People) -> People:
        ids = people.ids.copy()
        nameless = np.flatnonzero(ids < 0)
        ids[nameless] = self._next_id + np.arange(len(nameless))
        self._next_id += len(nameless)
        return replace(people, ids=ids)

    def _seen(self, found: People, past: People, frames: float, T_fixed_cloud: Transform) -> People:
        """What is found now, ``frames`` of 0.1 s later, with the identity and the history of ``past``, row by row."""
        now = found.skeletons
        expected = transformed(np.linalg.inv(T_fixed_cloud), past.keypoints).astype(np.float32)
        smoothing = self._config.smoothing**frames
        keypoints, trust = smooth(now.keypoints, now.confidence, expected, past.trust, smoothing)
        return replace(
            found,
            ids=past.ids,
            hits=past.hits + 1,
            motion=past.motion.update(found.motion.positions),
            keypoints=transformed(T_fixed_cloud, keypoints),
            trust=trust,
            skeletons=replace(now, keypoints=keypoints),
        )

    def _unseen(self, expected: People, old: Int64[np.ndarray, " m"]) -> Int64[np.ndarray, " l"]:
        """Rows to carry on as lost; whoever was never confirmed is forgotten."""
        confirmed = np.flatnonzero(expected.hits >= self._config.confirm_hits)
        return np.setdiff1d(confirmed, old)

    def _report(self, seen: int, T_fixed_cloud: Transform) -> Tracks:
        people = self._people
        states = np.where(people.hits >= self._config.confirm_hits, TrackState.TRACKED, TrackState.NEW).astype(np.int64)
        states[seen:] = TrackState.LOST
        velocities = (people.motion.velocities @ T_fixed_cloud[:3, :3]).astype(np.float32)
        return Tracks(people.ids, states, people.boxes, people.skeletons, velocities)


class NoTracker:
    """Stands in for the tracker when it is off: everybody is new in every frame and stands still."""

    def __init__(self) -> None:
        self._next_id = 0

    def configure(self, config: TrackConfig) -> None:
        """Nothing to take over."""

    def reset(self) -> None:
        """Nothing to forget."""

    def __call__(self, boxes: Boxes, skeletons: Skeletons, stamp_ns: int, T_fixed_cloud: Transform) -> Tracks:
        """The given people with fresh ids."""
        ids = self._next_id + np.arange(len(boxes))
        self._next_id += len(boxes)
        return Tracks(
            ids, np.full(len(boxes), TrackState.NEW, np.int64), boxes, skeletons, np.zeros_like(boxes.centers)
        )


def _strangers(boxes: Boxes, skeletons: Skeletons, stamp_ns: int, T_fixed_cloud: Transform) -> People:
    count = len(boxes)
    return People(
        ids=np.full(count, -1),
        hits=np.zeros(count, np.int64),
        seen_ns=np.full(count, stamp_ns),
        motion=Motion.unknown(transformed(T_fixed_cloud, boxes.centers)),
        keypoints=transformed(T_fixed_cloud, skeletons.keypoints),
        yaws=boxes.yaws.astype(np.float64) + heading(T_fixed_cloud),
        trust=np.zeros_like(skeletons.confidence),
        boxes=boxes,
        skeletons=skeletons,
    )


def _lost(people: People, T_fixed_cloud: Transform) -> People:
    """Boxes and skeletons of people out of sight, where their motion has carried them."""
    T_cloud_fixed = np.linalg.inv(T_fixed_cloud)
    centers = transformed(T_cloud_fixed, people.motion.positions).astype(np.float32)
    yaws = (people.yaws - heading(T_fixed_cloud)).astype(np.float32)
    keypoints = transformed(T_cloud_fixed, people.keypoints).astype(np.float32)
    boxes = replace(people.boxes, centers=centers, yaws=yaws)
    return replace(people, boxes=boxes, skeletons=replace(people.skeletons, keypoints=keypoints))
