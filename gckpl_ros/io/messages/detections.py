"""Messages of detectors to boxes, what of them cannot be used, and boxes to such a message.

vision_msgs/Detection3DArray; and as if they were that, those of yolo_ros (yolo_msgs) and of Autoware
(autoware_perception_msgs), each known by its fields, not by its type.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import cache
from math import isfinite
from types import SimpleNamespace
from typing import Any, Final, NamedTuple

import numpy as np
from jaxtyping import Bool, Float64

from gckpl_ros.io.messages.skeletons import FAR_M, to_bounding_box
from gckpl_ros.io.messages.typestore import MessageTypes
from gckpl_ros.reasons import (
    BAD_POSITION,
    BAD_SCORE,
    BAD_SIZE,
    BAD_TURN,
    NO_CLASS,
    NO_TURN,
    OTHER_CLASS,
    SCORE_OUTSIDE,
    Remark,
)
from gckpl_ros.types import Boxes

_UNIT_TOLERANCE: Final = 0.02
_WIDEST_M: Final = 10.0


class Found(NamedTuple):
    """Upright boxes, the frame of each where it is not the message's (else empty), and what was dropped or mended."""

    boxes: Boxes
    frames: list[str]
    remarks: list[Remark]


class _Label(NamedTuple):
    """What a detection is: the likeliest of its classes, whether any is wanted, and the score of that."""

    name: str
    wanted: bool
    score: float


def to_boxes(message: Any, classes: Collection[str] = ()) -> Found:
    """Upright boxes (m) of the wanted classes; whatever is wrong with a detection, only itself is left out.

    No classes: all are wanted; upper and lower case are the same, and a class that ends with * stands for all that
    begin so. A box's score is that of its likeliest wanted class, clamped to 0..1. Roll and pitch are ignored: people's
    boxes stand upright. A quaternion of four zeros is no turn.
    """
    detections, wanted = message.detections, _wanted(classes)
    labels = [_label(detection.results, wanted) for detection in detections]
    values = np.array([_numbers(detection.bbox) for detection in detections], np.float64).reshape(-1, 10)
    scores = np.array([label.score for label in labels], np.float64)
    kept = np.ones(len(labels), bool)
    remarks = []
    for reason, bad, show in _faults(labels, values, scores):
        if (new := kept & bad).any():
            remarks.append(Remark(reason, int(new.sum()), show(int(new.argmax()))))
            kept &= ~bad
    remarks += _mended(values[kept], scores[kept])
    frames = [own_frame(detections[i], message) for i in np.flatnonzero(kept).tolist()]
    return Found(_boxes(values[kept], scores[kept]), frames, remarks)


def own_frame(detection: Any, message: Any) -> str:
    """The frame of a detection's own header; empty where it has none, or the message's."""
    own = str(detection.header.frame_id)
    return "" if own == message.header.frame_id else own


def _wanted(classes: Collection[str]) -> Callable[[str], bool]:
    names = {name.casefold() for name in classes}
    beginnings = tuple(name.removesuffix("*") for name in names if name.endswith("*"))

    @cache
    def wanted(name: str) -> bool:
        return not names or (folded := name.casefold()) in names or folded.startswith(beginnings)

    return wanted


def _label(results: Any, wanted: Callable[[str], bool]) -> _Label:
    """Scores that are not finite count only where there is no other."""
    # vision_msgs before Humble: no inner hypothesis, and the class is called id.
    hypotheses = [getattr(result, "hypothesis", result) for result in results]
    scores = [(str(getattr(h, "class_id", "") or getattr(h, "id", "")), float(h.score)) for h in hypotheses]
    if not scores:
        return _Label("", wanted(""), 1.0)
    chosen = [(name, score) for name, score in scores if wanted(name)]
    name, score = max(chosen or scores, key=lambda each: (isfinite(each[1]), each[1]))
    return _Label(name, bool(chosen), score)


def _numbers(box: Any) -> tuple[float, ...]:
    position, size, turn = box.center.position, box.size, box.center.orientation
    return position.x, position.y, position.z, size.x, size.y, size.z, turn.x, turn.y, turn.z, turn.w


def _faults(
    labels: list[_Label], values: Float64[np.ndarray, "n 10"], scores: Float64[np.ndarray, " n"]
) -> Iterator[tuple[str, Bool[np.ndarray, " n"], Callable[[int], str]]]:
    """Each reason, which detections cannot be used for it, and one of them in words; the first reason counts."""
    unwanted = np.array([not label.wanted for label in labels], bool)
    nameless = np.array([not label.name for label in labels], bool)
    yield NO_CLASS, unwanted & nameless, lambda i: ""
    yield OTHER_CLASS, unwanted, lambda i: labels[i].name
    with np.errstate(over="ignore", invalid="ignore"):
        centers, sizes = values[:, :3].astype(np.float32), values[:, 3:6].astype(np.float32)
        lengths = (values[:, 6:] ** 2).sum(axis=1)
        good_sizes = ((sizes <= _WIDEST_M) & (sizes > 0)).all(axis=1)
        yield BAD_SIZE, np.logical_not(good_sizes), lambda i: _words(values[i, 3:6])
        yield BAD_POSITION, np.logical_not((abs(centers) < FAR_M).all(axis=1)), lambda i: _words(values[i, :3])
        turned = ~((abs(lengths - 1) < _UNIT_TOLERANCE) | (values[:, 6:] == 0).all(axis=1))
        yield BAD_TURN, turned, lambda i: _words(values[i, 6:])
    yield BAD_SCORE, ~np.isfinite(scores), lambda i: _words(scores[i : i + 1])


def _mended(values: Float64[np.ndarray, "n 10"], scores: Float64[np.ndarray, " n"]) -> Iterator[Remark]:
    if unturned := int((values[:, 6:] == 0).all(axis=1).sum()):
        yield Remark(NO_TURN, unturned)
    if (outside := (scores < 0) | (scores > 1)).any():
        yield Remark(SCORE_OUTSIDE, int(outside.sum()), _words(scores[outside][:1]))


def _boxes(values: Float64[np.ndarray, "n 10"], scores: Float64[np.ndarray, " n"]) -> Boxes:
    x, y, z, w = values[:, 6:].T
    yaws = np.arctan2(2 * (w * z + x * y), w * w + x * x - y * y - z * z)
    centers, sizes = values[:, :3].astype(np.float32), values[:, 3:6].astype(np.float32)
    return Boxes(centers, sizes, yaws.astype(np.float32), np.clip(scores, 0, 1).astype(np.float32))


def _words(numbers: Float64[np.ndarray, " n"]) -> str:
    return ", ".join(f"{number:g}" for number in numbers.tolist())


def to_detection_array(
    header: Any, boxes: Boxes, types: MessageTypes, ids: Sequence[str] = (), sigmas: Sequence[float] = (0.0,) * 6
) -> Any:
    """A vision_msgs/Detection3DArray of class pedestrian, with ids where there are some.

    ``sigmas``: standard deviations of x, y, z (m) and of the turns about them (rad); 0: not known.
    """
    covariance = np.diag(np.square(sigmas)).ravel()

    def detection(row: int) -> Any:
        box = to_bounding_box(boxes, row, types)
        hypothesis = types["vision_msgs/msg/ObjectHypothesis"](class_id="pedestrian", score=float(boxes.scores[row]))
        pose = types["geometry_msgs/msg/PoseWithCovariance"](pose=box.center, covariance=covariance)
        result = types["vision_msgs/msg/ObjectHypothesisWithPose"](hypothesis=hypothesis, pose=pose)
        own = ids[row] if ids else ""
        return types["vision_msgs/msg/Detection3D"](header=header, results=[result], bbox=box, id=own)

    return types["vision_msgs/msg/Detection3DArray"](header=header, detections=list(map(detection, range(len(boxes)))))


# Values of autoware_perception_msgs/ObjectClassification.label, and of Shape.type.
_LABELS: Final = ("unknown", "car", "truck", "bus", "trailer", "motorcycle", "bicycle", "pedestrian", "animal")
_POLYGON: Final = 2


def as_detection_array(message: Any) -> Any:
    """A message of a type that ``input.detections_type`` may name, with a Detection3DArray's fields."""
    if hasattr(message, "objects"):
        return _of_autoware(message)
    if any(hasattr(detection, "bbox3d") for detection in message.detections):
        return _of_yolo(message)
    return message


def _of_yolo(message: Any) -> Any:
    """Boxes lie in a frame of their own, not in that of the image; one detector has one."""
    frames = [str(detection.bbox3d.frame_id) for detection in message.detections]
    frame_id = next(filter(None, frames), message.header.frame_id)
    header = _header(message, frame_id)
    detections = [
        _detection(_header(message, own or frame_id), detection.class_name, detection.score, detection.bbox3d)
        for detection, own in zip(message.detections, frames, strict=True)
    ]
    return SimpleNamespace(header=header, detections=detections)


def _of_autoware(message: Any) -> Any:
    return SimpleNamespace(
        header=message.header,
        detections=[
            _detection(
                message.header,
                _likeliest(found.classification),
                found.existence_probability,
                SimpleNamespace(center=found.kinematics.pose_with_covariance.pose, size=_size(found.shape)),
            )
            for found in message.objects
        ],
    )


def _likeliest(classification: Sequence[Any]) -> str:
    """The name of the likeliest label; a number where it has none, empty where nothing is said."""
    if not classification:
        return ""
    label = int(max(classification, key=lambda each: each.probability).label)
    return _LABELS[label] if label < len(_LABELS) else str(label)


def _size(shape: Any) -> Any:
    """Of a polygon, what holds its footprint; its dimensions have the height only."""
    corners = shape.footprint.points
    if shape.type != _POLYGON or not corners:
        return shape.dimensions
    x, y = (2 * max(abs(getattr(corner, axis)) for corner in corners) for axis in "xy")
    return SimpleNamespace(x=x, y=y, z=shape.dimensions.z)


def _header(message: Any, frame_id: str) -> Any:
    return SimpleNamespace(stamp=message.header.stamp, frame_id=frame_id)


def _detection(header: Any, name: str, score: float, box: Any) -> Any:
    hypothesis = SimpleNamespace(class_id=name, score=score)
    return SimpleNamespace(header=header, results=[SimpleNamespace(hypothesis=hypothesis)], bbox=box)
