"""Why a cloud has no result, and what was left out or mended: the whole set. Numbers and names go into examples.

Whatever comes in, no more entries than these reach /diagnostics, a summary or the memory.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple, Protocol, runtime_checkable

NOT_NEWER: Final = "cloud that is not newer than the one before"
NO_POINTS: Final = "cloud without a finite point"
BAD_CLOUD: Final = "cloud that contradicts itself"
UNREADABLE_CLOUD: Final = "cloud that cannot be read"
NO_TRANSFORM: Final = "no transform at its time"
REPLACED: Final = "replaced by a newer cloud"
TIME_WENT_BACK: Final = "waited when time went back"
INTERNAL: Final = "internal error"

MISSING: Final = "cloud of another sensor is missing"
LATE_DETECTIONS: Final = "cloud without detections of its time"
UNREADABLE: Final = "message that cannot be read"
TOO_SLOW: Final = "result that a reader was too slow to take"
OTHER_CLASS: Final = "detection of another class"
NO_CLASS: Final = "detection without a class"
BAD_SIZE: Final = "detection with a size that no person has"
BAD_POSITION: Final = "detection with a position that is not finite"
BAD_TURN: Final = "detection with an orientation that is no unit quaternion"
BAD_SCORE: Final = "detection with a score that is not finite"
NO_TRANSFORM_OF_ITS_OWN: Final = "detection in a frame of its own without a transform"
BAD_BOX: Final = "bad_box"
FEW_POINTS: Final = "few_points"
TOO_MANY: Final = "too_many"
UNSURE: Final = "unsure"

NO_TURN: Final = "detection with an orientation of four zeros"
SCORE_OUTSIDE: Final = "detection with a score outside 0..1"

# What each means (Markdown, one line): of clouds without a result, ...
SKIPPED: Final[Mapping[str, str]] = {
    NOT_NEWER: "of one sensor, stamps must rise; a jump back by a second or more starts anew",
    NO_POINTS: "nothing but NaN, infinity and zeros in it",
    BAD_CLOUD: "its fields, sizes and data do not fit each other; the example says how",
    UNREADABLE_CLOUD: "its bytes are no PointCloud2",
    NO_TRANSFORM: "waited `input.wait_s` for it; the example says between which frames",
    REPLACED: "clouds come faster than they are worked off, the newest goes first",
    TIME_WENT_BACK: "a bag that loops, a simulation that starts again",
    INTERNAL: "a bug: please report what the log says",
}
# ... of people, detections and other messages that were left out, ...
DROPPED: Final[Mapping[str, str]] = {
    MISSING: "the others went without it, after `input.wait_s`",
    LATE_DETECTIONS: "it went without people, after `input.wait_s`",
    UNREADABLE: "its bytes are not of the topic's type",
    TOO_SLOW: "`gckpl live` only: the network's buffers were full",
    OTHER_CLASS: "`input.classes` names those that are people; the example says which it was",
    NO_CLASS: "it has no results; an empty name in `input.classes` takes it",
    BAD_SIZE: "zero, negative, not a number, or more than 10 m",
    BAD_POSITION: "or is beyond 1e8 m",
    BAD_TURN: "x, y, z, w must have the length 1",
    BAD_SCORE: "NaN or infinity",
    NO_TRANSFORM_OF_ITS_OWN: "its header names another frame than the array's, and TF does not know it",
    BAD_BOX: "a box that is not finite, or has a side that is not positive",
    FEW_POINTS: "fewer than `crop.min_points` points in the box",
    TOO_MANY: "more than `estimate.max_people` with enough points; the nearest stay",
    UNSURE: "found by the built-in detector, but the network is less sure than `detect.min_confidence`",
}
# ... and of what was mended and is used.
MENDED: Final[Mapping[str, str]] = {
    NO_TURN: 'many detectors mean "not turned": taken so',
    SCORE_OUTSIDE: "clamped to it",
}
KINDS: Final[Mapping[str, Mapping[str, str]]] = {"skipped": SKIPPED, "dropped": DROPPED, "mended": MENDED}

_MOST_LETTERS: Final = 160


class Remark(NamedTuple):
    """So many times a reason, with an example: what it was, in words."""

    reason: str
    number: int = 1
    example: str = ""


@runtime_checkable
class Counts(Protocol):
    """Counts by reason."""

    def count(self, reason: str, number: int = 1, example: str = "") -> None:
        """So many times this reason."""
        ...


def of_kind(kind: Mapping[str, str], numbers: Mapping[str, int]) -> dict[str, int]:
    """The numbers of one of the kinds, in their order."""
    return {reason: numbers[reason] for reason in kind if numbers.get(reason)}


def shortened(example: str) -> str:
    """One line of bounded length."""
    line = " ".join(example[: 2 * _MOST_LETTERS].split())
    return line if len(line) <= _MOST_LETTERS else f"{line[: _MOST_LETTERS - 3]}..."
