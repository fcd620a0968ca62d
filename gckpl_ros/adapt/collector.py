"""Makes tracklets of the tracked people of one cloud after the other, in the axes of the fixed frame."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import islice
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Float16, Float32, Float64, Int64, UInt8
from torch import Tensor

from gckpl_ros.estimate.network import KeypointNetwork
from gckpl_ros.learn.teachers import Targets, Teacher
from gckpl_ros.people.tracklets import Tracklets
from gckpl_ros.skeleton import BACKGROUND
from gckpl_ros.types import Crops

# What the adapter keeps in memory: a person over a few frames, packed without padding, and what a teacher says.

# Sure enough to learn from: what is least sure, and how much of a crop may be something else.
LEAST_CONFIDENCE: Final = 0.3
MOST_BACKGROUND: Final = 0.6


@dataclass(frozen=True)
class Seen:
    """One person over t frames, m points in all, ``counts`` of each frame; metres, axes of the fixed frame.

    ``points`` are relative to their frame's box centre, to which ``views`` lead from the sensor; ``origins`` are the
    box centres relative to the first one's, which lies at ``place``.
    """

    person: int
    place: Float64[np.ndarray, "3"]
    duration_s: float
    points: Float16[np.ndarray, "m 3"]
    counts: Int64[np.ndarray, " t"]
    views: Float32[np.ndarray, "t 3"]
    origins: Float32[np.ndarray, "t 3"]

    @cached_property
    def speed_m_s(self) -> float:
        """Straight from the first frame's box to the last one's."""
        frames = np.flatnonzero(self.counts)[[0, -1]]
        way = np.linalg.norm(self.origins[frames[1]] - self.origins[frames[0]])
        share = (frames[1] - frames[0]) / (len(self.counts) - 1)
        return float(way / max(self.duration_s * share, 1e-3))

    @cached_property
    def range_m(self) -> float:
        """How far from the sensor, in the median."""
        return float(np.median(np.linalg.norm(self.views[self.counts > 0], axis=1)))


@dataclass(frozen=True)
class Example:
    """A person with what the teacher says: keypoints relative to each frame's box centre, how sure, parts of points."""

    seen: Seen
    keypoints: Float16[np.ndarray, "t 14 3"]
    confidence: Float16[np.ndarray, "t 14"]
    parts: UInt8[np.ndarray, " m"]

    @cached_property
    def pose(self) -> Float32[np.ndarray, "14 3"]:
        """The keypoints of the best seen frame around their mean."""
        keypoints = self.keypoints[self.seen.counts.argmax()].astype(np.float32)
        pose: np.ndarray = keypoints - keypoints.mean(0)
        return pose

    @property
    def trusted(self) -> bool:
        """Whether the network takes this for a person: sure of the keypoints, and most points on the body."""
        there = self.seen.counts > 0
        sure = float(self.confidence[there].astype(np.float32).mean())
        background = float((self.parts == BACKGROUND).mean())
        finite = bool(np.isfinite(self.keypoints).all())
        return finite and sure >= LEAST_CONFIDENCE and background <= MOST_BACKGROUND

    @cached_property
    def nbytes(self) -> int:
        """Memory of all arrays."""
        arrays = [getattr(part, one.name) for part in (self, self.seen) for one in fields(part)]
        return sum(array.nbytes for array in arrays if isinstance(array, np.ndarray)) + self.pose.nbytes


def label(seen: Sequence[Seen], network: KeypointNetwork, teacher: Teacher, device: torch.device) -> list[Example]:
    """What the teacher says of these people, in one batch."""
    said = teacher(network, tracklets(seen).to(device))
    keypoints, confidence = (values.cpu().numpy().astype(np.float16) for values in (said.keypoints, said.confidence))
    parts = said.parts.cpu().numpy().astype(np.uint8)
    masks = [_mask(one.counts, parts.shape[2]) for one in seen]
    rows = zip(seen, keypoints, confidence, parts, masks, strict=True)
    return [Example(one, places.copy(), sure.copy(), names[mask]) for one, places, sure, names, mask in rows]


def tracklets(seen: Sequence[Seen]) -> Tracklets:
    """People as the teacher and the network take them, padded to the longest crop."""
    longest = _longest(seen)
    masks = np.stack([_mask(one.counts, longest) for one in seen])
    points = _padded([one.points for one in seen], masks, np.float32)
    views, origins = (np.stack([getattr(one, name) for one in seen]) for name in ("views", "origins"))
    return Tracklets(*(torch.from_numpy(array) for array in (points, masks, views, origins)))


def targets(examples: Sequence[Example]) -> Targets:
    """What the teacher said, padded as ``tracklets`` are; background where there is no point."""
    masks = np.stack([_mask(one.seen.counts, _longest([e.seen for e in examples])) for one in examples])
    keypoints, confidence = (
        np.stack([getattr(one, name) for one in examples]).astype(np.float32) for name in ("keypoints", "confidence")
    )
    parts = _padded([one.parts for one in examples], masks, np.int64)
    parts[~masks] = BACKGROUND
    return Targets(*(torch.from_numpy(array) for array in (keypoints, confidence, parts)))


def frames_with_next(example: Example) -> Int64[np.ndarray, " p"]:
    """Frames that, like the one after them, have points."""
    there = example.seen.counts > 0
    return np.flatnonzero(there[:-1] & there[1:])


def _longest(seen: Sequence[Seen]) -> int:
    return max(int(one.counts.max()) for one in seen)


def _mask(counts: Int64[np.ndarray, " t"], longest: int) -> np.ndarray:
    mask: np.ndarray = np.arange(longest) < counts[:, None]
    return mask


def _padded(packed: Sequence[np.ndarray], masks: np.ndarray, dtype: Any) -> np.ndarray:
    padded = np.zeros((*masks.shape, *packed[0].shape[1:]), dtype)
    padded[masks] = np.concatenate(packed)
    return padded


def to_device(people: Tracklets, said: Targets, device: torch.device) -> tuple[Tracklets, Targets]:
    """Both on the device on which a network learns."""
    moved: list[Tensor] = [getattr(said, one.name).to(device) for one in fields(said)]
    return people.to(device), Targets(*moved)


LONGEST_GAP_S: Final = 0.25
LEAST_POINTS: Final = 8
LEAST_SEEN: Final = 0.6
"""Share of a tracklet's frames that must have that many points."""
WIDEST_M: Final = 4.0
"""Points further from their box's centre belong to no person; float16 keeps 2 mm up to here."""
MOST_WAITING: Final = 64


@dataclass(frozen=True)
class _Look:
    """One person in one cloud; points in axes of the fixed frame around ``origin`` there."""

    points: Float16[np.ndarray, "n 3"]
    view: Float32[np.ndarray, "3"]
    origin: Float64[np.ndarray, "3"]


@dataclass
class _Open:
    """A tracklet in the making: a look for every cloud since the first, None where the person was missed."""

    stamps_ns: list[int]
    looks: list[_Look | None]
    seen_ns: int


class Collector:
    """Follows people by id: ``frames`` clouds of one person are a tracklet, then the next begins."""

    def __init__(self, frames: int) -> None:
        self._frames = frames
        self._stamp_ns: int | None = None
        self._open: dict[int, _Open] = {}
        self._waiting: deque[Seen] = deque(maxlen=MOST_WAITING)

    def add(
        self, crops: Crops, ids: Int64[np.ndarray, " b"], stamp_ns: int, T_fixed_cloud: Float64[np.ndarray, "4 4"]
    ) -> None:
        """The tracked people of one cloud; who is missing for more than 0.25 s begins anew."""
        if self._stamp_ns is not None and stamp_ns <= self._stamp_ns:
            self.end()
        self._stamp_ns = stamp_ns
        looks = {int(i): _look(crops, row, T_fixed_cloud) for row, i in enumerate(ids)}
        for person in [*self._open, *(i for i in looks if i not in self._open)]:
            self._extend(person, looks.get(person), stamp_ns)

    def end(self) -> None:
        """Nobody goes on; tracklets that are whole stay."""
        self._open.clear()
        self._stamp_ns = None

    def clear(self) -> None:
        """Nothing was ever seen."""
        self.end()
        self._waiting.clear()

    def __len__(self) -> int:
        """How many tracklets wait; at most 64, then the oldest makes room."""
        return len(self._waiting)

    def take(self, most: int) -> list[Seen]:
        """The tracklets that wait longest."""
        taken = list(islice(self._waiting, most))
        for _ in taken:
            self._waiting.popleft()
        return taken

    def _extend(self, person: int, look: _Look | None, stamp_ns: int) -> None:
        if person in self._open and stamp_ns - self._open[person].seen_ns > LONGEST_GAP_S * 1e9:
            del self._open[person]
        if look is None and person not in self._open:
            return
        so_far = self._open.setdefault(person, _Open([], [], stamp_ns))
        so_far.stamps_ns.append(stamp_ns)
        so_far.looks.append(look)
        so_far.seen_ns = so_far.seen_ns if look is None else stamp_ns
        if len(so_far.looks) == self._frames:
            del self._open[person]
            self._finish(person, so_far)

    def _finish(self, person: int, whole: _Open) -> None:
        if sum(look is not None for look in whole.looks) >= LEAST_SEEN * self._frames:
            self._waiting.append(_seen(person, whole))


def _look(crops: Crops, row: int, T_fixed_cloud: Float64[np.ndarray, "4 4"]) -> _Look | None:
    points = crops.points[row][crops.mask[row]]
    if len(points) < LEAST_POINTS or np.abs(points).max() > WIDEST_M:
        return None
    R = T_fixed_cloud[:3, :3]
    return _Look(
        (points @ R.T).astype(np.float16),
        (R @ crops.views[row]).astype(np.float32),
        R @ crops.origins[row] + T_fixed_cloud[:3, 3],
    )


def _seen(person: int, whole: _Open) -> Seen:
    """A tracklet; a missed frame has the view and the origin of the one before it."""
    looks = [look for look in whole.looks if look is not None]
    held = [looks[max(at, 1) - 1] for at in np.cumsum([look is not None for look in whole.looks])]
    return Seen(
        person=person,
        place=looks[0].origin,
        duration_s=(whole.stamps_ns[-1] - whole.stamps_ns[0]) * 1e-9,
        points=np.concatenate([look.points for look in looks]),
        counts=np.array([0 if look is None else len(look.points) for look in whole.looks]),
        views=np.stack([look.view for look in held]),
        origins=np.stack([look.origin - looks[0].origin for look in held]).astype(np.float32),
    )
