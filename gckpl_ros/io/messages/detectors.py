"""What detectors publish besides vision_msgs/Detection3DArray, as if they published that.

Sources: yolo_msgs of yolo_ros, autoware_perception_msgs of autoware_msgs; each is known by its fields, not by its type.
"""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, Final

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
