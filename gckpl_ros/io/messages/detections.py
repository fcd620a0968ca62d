"""vision_msgs/Detection3DArray to boxes, and which of them belong to a cloud."""

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from gckpl_ros.io.messages.skeletons import FAR_M, yaw
from gckpl_ros.types import Boxes

_UNIT_TOLERANCE = 0.02


def to_boxes(message: Any, classes: Collection[str] = ()) -> tuple[Boxes, Mapping[str, int]]:
    """Upright boxes (m, in the message's frame) of the wanted classes, and what was dropped and why.

    No classes: all are wanted; upper and lower case are the same. A box's score is that of its likeliest wanted class.
    Roll and pitch are ignored: people's boxes stand upright.
    """
    wanted = {name.casefold() for name in classes}
    rows: list[tuple[float, ...]] = []
    dropped: Counter[str] = Counter()
    for detection in message.detections:
        scores = _scores(detection)
        chosen = [score for name, score in scores.items() if not wanted or name.casefold() in wanted]
        if reason := _fault(detection.bbox) if chosen or not wanted else _unwanted(scores):
            dropped[reason] += 1
        else:
            rows.append(_row(detection.bbox, max(chosen, default=1.0)))
    values = np.array(rows, np.float32).reshape(len(rows), 8)
    return Boxes(values[:, :3], values[:, 3:6], values[:, 6], values[:, 7]), dropped


def _scores(detection: Any) -> dict[str, float]:
    """Score of each class."""
    # vision_msgs before Humble: no inner hypothesis, and the class is called id.
    hypotheses = [getattr(result, "hypothesis", result) for result in detection.results]
    return {str(getattr(h, "class_id", "") or getattr(h, "id", "")): float(h.score) for h in hypotheses}


def _unwanted(scores: dict[str, float]) -> str:
    return f"detection of class {max(scores, key=lambda name: scores[name])}" if scores else "detection without a class"


def _fault(box: Any) -> str | None:
    """Why a box cannot be used, if so."""
    position, turn, size = box.center.position, box.center.orientation, box.size
    with np.errstate(over="ignore"):
        sides = np.array([size.x, size.y, size.z], np.float32)
        center = np.array([position.x, position.y, position.z], np.float32)
    if not ((sides < FAR_M) & (sides > 0)).all():
        return "detection with a size that is not positive"
    if not (abs(center) < FAR_M).all():
        return "detection with a position that is not finite"
    if not abs(turn.x**2 + turn.y**2 + turn.z**2 + turn.w**2 - 1) < _UNIT_TOLERANCE:
        return "detection with an orientation that is no unit quaternion"
    return None


def _row(box: Any, score: float) -> tuple[float, ...]:
    position, size = box.center.position, box.size
    turn = yaw(box.center.orientation)
    return (position.x, position.y, position.z, size.x, size.y, size.z, turn, score)
