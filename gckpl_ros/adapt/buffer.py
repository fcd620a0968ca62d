"""What the adapter learns from: a bounded, balanced store of people, and those held out for the guard."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import numpy as np
from jaxtyping import Float64, Int64

from gckpl_ros.adapt.guard import LEAST_HELD_OUT
from gckpl_ros.people.tracklets import Tracklet
from gckpl_ros.skeleton import BACKGROUND

# Sure enough to learn from: what is least sure, and how much of a crop may be something else.
LEAST_CONFIDENCE: Final = 0.3
MOST_BACKGROUND: Final = 0.6

# Learning starts with this many people, and this share of tracklets on the move.
LEAST_PEOPLE: Final = 4
LEAST_MOVING: Final = 0.25
MOVING_M_S: Final = 0.4

HOLD_OUT_EVERY: Final = 8
MOST_HELD_OUT: Final = 64
MOST_OF_MEMORY: Final = 0.25
"""What is held out takes no more than this share of it."""
RENEW_EVERY: Final = 8
"""Once the holdout is full, one in so many of those that it could take replaces its oldest."""

SAME_PLACE_M: Final = 0.5
SAME_POSE_M: Final = 0.06
"""Nearer than both: nothing new, as of somebody who stands still, or of a recording that loops."""

_NEAR_M, _FAR_M = 8.0, 16.0
_RUNNING_M_S: Final = 2.2


class Buffer:
    """Labelled tracklets: seven in eight to learn from, one held out, which is never learnt from.

    Whoever shows nothing new takes the place of what is there. When the memory is full, what is most common goes.
    """

    def __init__(self, most_mb: float) -> None:
        self.most_mb = most_mb
        self.held_out: deque[Tracklet] = deque(maxlen=MOST_HELD_OUT)
        self.renewed = 0
        """How often the holdout changed."""
        self._examples: list[Tracklet] = []
        self._count = self._spare = 0

    def __len__(self) -> int:
        return len(self._examples)

    @property
    def nbytes(self) -> int:
        """Memory of all that is kept."""
        return _nbytes(self._examples) + _nbytes(self.held_out)

    def add(self, example: Tracklet) -> None:
        """Take in a tracklet that can be trusted and in which two consecutive frames were seen."""
        if not (trusted(example) and len(example.frames_with_next)) or _like(example, self.held_out) is not None:
            return
        if (known := _like(example, self._examples)) is not None:
            self._examples[known] = example
            return
        self._count += 1
        if self._count % HOLD_OUT_EVERY == 0:
            self._hold_out(example)
        else:
            self._examples.append(example)
        self._shrink()

    def ready(self, least: int) -> bool:
        """Whether there is enough to learn from: tracklets, people, and movement."""
        moving = sum(one.speed_m_s > MOVING_M_S for one in self._examples)
        people = {one.person for one in self._examples}
        enough = len(self) >= least and len(self.held_out) >= LEAST_HELD_OUT
        return enough and len(people) >= LEAST_PEOPLE and moving >= LEAST_MOVING * len(self)

    def draw(self, size: int, rng: np.random.Generator) -> tuple[list[Tracklet], Int64[np.ndarray, " b"]]:
        """Tracklets by chance, the rarer the likelier, and of each the first of two consecutive frames."""
        chance = 1 / _commonness(self._examples)
        rows = rng.choice(len(self), min(size, len(self)), replace=False, p=chance / chance.sum())
        drawn = [self._examples[row] for row in rows]
        return drawn, np.array([rng.choice(one.frames_with_next) for one in drawn])

    def clear(self) -> None:
        """Forget everybody."""
        self.held_out.clear()
        self._examples.clear()
        self.renewed += 1

    def _hold_out(self, example: Tracklet) -> None:
        """Fill the holdout, then renew it slowly; what it cannot take is not learnt from either."""
        self._spare += 1
        if len(self.held_out) < MOST_HELD_OUT or self._spare % RENEW_EVERY == 0:
            self.held_out.append(example)
            self.renewed += 1

    def _shrink(self) -> None:
        most = self.most_mb * 1e6
        while _nbytes(self.held_out) > MOST_OF_MEMORY * most:
            self.held_out.popleft()
        while self.nbytes > most:
            del self._examples[int(_commonness(self._examples).argmax())]


def trusted(example: Tracklet) -> bool:
    """Whether the network takes this for a person: sure of the keypoints, and most points on the body."""
    assert example.keypoints is not None and example.confidence is not None and example.parts is not None
    sure = float(example.confidence[example.counts > 0].astype(np.float32).mean())
    background = float((example.parts == BACKGROUND).mean())
    finite = bool(np.isfinite(example.keypoints).all())
    return finite and sure >= LEAST_CONFIDENCE and background <= MOST_BACKGROUND


def _nbytes(examples: Iterable[Tracklet]) -> int:
    return sum(one.nbytes for one in examples)


def _like(example: Tracklet, others: Sequence[Tracklet]) -> int | None:
    """Which of the others shows the same: at the same place, in the same pose."""
    places = np.array([one.place for one in others]).reshape(-1, 3)
    for row in np.flatnonzero(np.linalg.norm(places - example.place, axis=1) < SAME_PLACE_M).tolist():
        if np.linalg.norm(example.pose - others[row].pose, axis=1).mean() < SAME_POSE_M:
            return int(row)
    return None


_TRAITS: Final[tuple[Callable[[Tracklet], int], ...]] = (
    lambda one: one.person,
    lambda one: int(np.digitize(one.range_m, (_NEAR_M, _FAR_M))),
    lambda one: int(np.digitize(one.speed_m_s, (MOVING_M_S, _RUNNING_M_S))),
)


def _commonness(examples: list[Tracklet]) -> Float64[np.ndarray, " b"]:
    """How common each one's person, range and speed are, beside the average person, range and speed: 3 if all are."""
    total = np.zeros(len(examples))
    for trait in _TRAITS:
        _, kind, counts = np.unique([trait(one) for one in examples], return_inverse=True, return_counts=True)
        total += counts[kind] / counts.mean()
    return total
