"""Message types without ROS: the library rosbags makes dataclasses from definitions and (de)serialises them (CDR).

A conversion takes ``types``, a mapping from a ROS type name ("geometry_msgs/msg/Point") to something that makes such a
message from keyword arguments: ``typestore().types`` here, generated classes where ROS is installed.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

from rosbags.interfaces import MessageDefinition, MessageDefinitionFormat
from rosbags.typesys import Stores, get_types_from_idl, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

MessageTypes: TypeAlias = Mapping[str, Any]

_SEPARATOR = "=" * 80 + "\n"
# Recordings from before ROS 2 Iron carry no definitions, and rosbags does not know these: vision_msgs 4.x (Humble and
# newer), yolo_ros 4.x, autoware_msgs 1.x, people 2.x.
_VISION_MSGS = {
    "BoundingBox3D": "geometry_msgs/Pose center\ngeometry_msgs/Vector3 size\n",
    "ObjectHypothesis": "string class_id\nfloat64 score\n",
    "ObjectHypothesisWithPose": "ObjectHypothesis hypothesis\ngeometry_msgs/PoseWithCovariance pose\n",
    "Detection3D": ("std_msgs/Header header\nObjectHypothesisWithPose[] results\nBoundingBox3D bbox\nstring id\n"),
    "Detection3DArray": "std_msgs/Header header\nDetection3D[] detections\n",
}
_YOLO_MSGS = {
    "Point2D": "float64 x\nfloat64 y\n",
    "Vector2": "float64 x\nfloat64 y\n",
    "Pose2D": "Point2D position\nfloat64 theta\n",
    "BoundingBox2D": "Pose2D center\nVector2 size\n",
    "BoundingBox3D": "geometry_msgs/Pose center\ngeometry_msgs/Vector3 size\nstring frame_id\n",
    "Mask": "int32 height\nint32 width\nPoint2D[] data\n",
    "KeyPoint2D": "int32 id\nPoint2D point\nfloat64 score\n",
    "KeyPoint2DArray": "KeyPoint2D[] data\n",
    "KeyPoint3D": "int32 id\ngeometry_msgs/Point point\nfloat64 score\n",
    "KeyPoint3DArray": "KeyPoint3D[] data\nstring frame_id\n",
    "Detection": "int32 class_id\nstring class_name\nfloat64 score\nstring id\nBoundingBox2D bbox\n"
    "BoundingBox3D bbox3d\nMask mask\nKeyPoint2DArray keypoints\nKeyPoint3DArray keypoints3d\n",
    "DetectionArray": "std_msgs/Header header\nDetection[] detections\n",
}
_AUTOWARE = {
    "ObjectClassification": "uint8 label\nfloat32 probability\n",
    "Shape": "uint8 type\ngeometry_msgs/Polygon footprint\ngeometry_msgs/Vector3 dimensions\n",
    "DetectedObjectKinematics": "geometry_msgs/PoseWithCovariance pose_with_covariance\nbool has_position_covariance\n"
    "uint8 orientation_availability\ngeometry_msgs/TwistWithCovariance twist_with_covariance\nbool has_twist\n"
    "bool has_twist_covariance\n",
    "DetectedObject": "float32 existence_probability\nObjectClassification[] classification\n"
    "DetectedObjectKinematics kinematics\nShape shape\n",
    "DetectedObjects": "std_msgs/Header header\nDetectedObject[] objects\n",
    "TrackedObjectKinematics": "geometry_msgs/PoseWithCovariance pose_with_covariance\n"
    "geometry_msgs/TwistWithCovariance twist_with_covariance\n"
    "geometry_msgs/AccelWithCovariance acceleration_with_covariance\nuint8 orientation_availability\n"
    "bool is_stationary\n",
    "TrackedObject": "unique_identifier_msgs/UUID object_id\nfloat32 existence_probability\n"
    "ObjectClassification[] classification\nTrackedObjectKinematics kinematics\nShape shape\n",
    "TrackedObjects": "std_msgs/Header header\nTrackedObject[] objects\n",
}
_PEOPLE_MSGS = {
    "Person": "string name\ngeometry_msgs/Point position\ngeometry_msgs/Point velocity\nfloat64 reliability\n"
    "string[] tagnames\nstring[] tags\n",
    "People": "std_msgs/Header header\nPerson[] people\n",
}
_PACKAGES = {
    "vision_msgs": _VISION_MSGS,
    "yolo_msgs": _YOLO_MSGS,
    "autoware_perception_msgs": _AUTOWARE,
    "people_msgs": _PEOPLE_MSGS,
}
# rosbags knows no services.
_STD_SRVS = {
    "SetBool_Request": "bool data\n",
    "SetBool_Response": "bool success\nstring message\n",
    "Trigger_Request": "",
    "Trigger_Response": "bool success\nstring message\n",
}


@cache
def typestore() -> Typestore:
    """The types of ROS 2 Jazzy, of detectors and their consumers, of std_srvs (both halves) and of this package."""
    store = get_typestore(Stores.ROS2_JAZZY)
    definitions = {f"{package}/msg/{name}": text for package, own in _PACKAGES.items() for name, text in own.items()}
    definitions |= {f"gckpl_ros/msg/{path.stem}": path.read_text() for path in _message_files()}
    types: dict[str, Any] = {}
    for name, text in definitions.items():
        types |= get_types_from_msg(text, name)
    for name, text in _STD_SRVS.items():  # the parser would call them std_srvs/srv/msg/...
        (types[f"std_srvs/srv/{name}"],) = get_types_from_msg(text, name).values()
    store.register(types)
    return store


def recorded_typestore(definition: MessageDefinition, msgtype: str) -> Typestore:
    """The types as a recording defines them itself, which go before ours of the same name; ours where it has none."""
    if definition.format == MessageDefinitionFormat.NONE:
        return typestore()
    store = get_typestore(Stores.ROS2_JAZZY)
    types = _parse(definition, msgtype)
    for name in types:
        store.fielddefs.pop(name, None)
        store.types.pop(name, None)
    store.register(types)
    return store


def _parse(definition: MessageDefinition, msgtype: str) -> dict[str, Any]:
    if definition.format == MessageDefinitionFormat.MSG:
        return dict(get_types_from_msg(definition.data, msgtype))
    types: dict[str, Any] = {}
    for section in definition.data.removeprefix(_SEPARATOR).split(_SEPARATOR):
        types |= get_types_from_idl(section.split("\n", 1)[1] if section.startswith("IDL: ") else section)
    return types


def _message_files() -> list[Path]:
    """Installed, the definitions lie inside the package; in a source tree, in msg/ beside it."""
    installed = Path(__file__).parents[2] / "msg_definitions"
    folder = installed if installed.is_dir() else Path(__file__).parents[3] / "msg"
    return sorted(folder.glob("*.msg"))
