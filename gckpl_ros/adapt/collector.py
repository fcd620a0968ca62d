"""Makes tracklets of the tracked people of one cloud after the other, in the axes of the fixed frame."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, TypeAlias

import numpy as np
from jaxtyping import Float16, Float32, Float64, Int64

from gckpl_ros.batch import PersonBatch
from gckpl_ros.people.tracklets import WIDEST_M, Tracklet

LONGEST_GAP_S: Final = 0.25
LEAST_POINTS: Final = 8
LEAST_SEEN: Final = 0.6
"""Share of a tracklet's frames that must have that many points."""
MOST_WAITING: Final = 64
Whole: TypeAlias = Callable[[Sequence[int]], bool]
"""Whether clouds of these stamps (ns) make a tracklet."""


def lasting(seconds: float) -> Whole:
    """As many clouds as come in so long, at the rate that these came at; two at least."""

    def whole(stamps_ns: Sequence[int]) -> bool:
        intervals = len(stamps_ns) - 1
        return intervals > 0 and (intervals + 1.5) * (stamps_ns[-1] - stamps_ns[0]) * 1e-9 / intervals >= seconds

    return whole


def counting(clouds: int) -> Whole:
    """So many clouds, whatever their rate: people of one shape."""
    return lambda stamps_ns: len(stamps_ns) == clouds


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
    """Follows people by id: when the clouds of one person are a ``whole`` tracklet the next begins."""

    def __init__(self, whole: Whole) -> None:
        self._whole = whole
        self._stamp_ns: int | None = None
        self._open: dict[int, _Open] = {}
        self._waiting: deque[Tracklet] = deque(maxlen=MOST_WAITING)

    def add(
        self, crops: PersonBatch, ids: Int64[np.ndarray, " b"], stamp_ns: int, T_fixed_cloud: Float64[np.ndarray, "4 4"]
    ) -> None:
        """The tracked people of one cloud; who is missing for more than 0.25 s begins anew."""
        if self._stamp_ns is not None and stamp_ns <= self._stamp_ns:
            self.end()
        self._stamp_ns = stamp_ns
        looks = dict(zip(ids.tolist(), _looks(crops, len(ids), T_fixed_cloud), strict=True))
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

    def take(self, most: int) -> list[Tracklet]:
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
        if self._whole(so_far.stamps_ns):
            del self._open[person]
            self._finish(person, so_far)

    def _finish(self, person: int, whole: _Open) -> None:
        if sum(look is not None for look in whole.looks) >= LEAST_SEEN * len(whole.looks):
            self._waiting.append(_tracklet(person, whole))


def _looks(crops: PersonBatch, people: int, T_fixed_cloud: Float64[np.ndarray, "4 4"]) -> list[_Look | None]:
    """Each person's points in the axes of the fixed frame, None where there are too few or they lie too far away."""
    points, mask, views = (value.numpy() for value in (crops.points, crops.mask, crops.views))
    origins, R = crops.required("origins").numpy(), T_fixed_cloud[:3, :3]
    looks: list[_Look | None] = []
    for row in range(people):
        own = points[row][mask[row]]
        if len(own) < LEAST_POINTS or np.abs(own).max() > WIDEST_M:
            looks.append(None)
            continue
        view, origin = (R @ views[row]).astype(np.float32), R @ origins[row] + T_fixed_cloud[:3, 3]
        looks.append(_Look((own @ R.T).astype(np.float16), view, origin))
    return looks


def _tracklet(person: int, whole: _Open) -> Tracklet:
    """A missed frame has the view and the origin of the one before it."""
    looks = [look for look in whole.looks if look is not None]
    held = [looks[max(at, 1) - 1] for at in np.cumsum([look is not None for look in whole.looks])]
    return Tracklet(
        person=person,
        place=looks[0].origin,
        points=np.concatenate([look.points for look in looks]),
        counts=np.array([0 if look is None else len(look.points) for look in whole.looks]),
        views=np.stack([look.view for look in held]),
        origins=np.stack([look.origin - looks[0].origin for look in held]).astype(np.float32),
        dt_s=np.diff(whole.stamps_ns, prepend=whole.stamps_ns[0]) * 1e-9,
    )
