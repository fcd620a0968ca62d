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
# Recordings from before ROS 2 Iron carry no definitions, and rosbags does not know vision_msgs (4.x: Humble and newer).
_VISION_MSGS = {
    "BoundingBox3D": "geometry_msgs/Pose center\ngeometry_msgs/Vector3 size\n",
    "ObjectHypothesis": "string class_id\nfloat64 score\n",
    "ObjectHypothesisWithPose": "ObjectHypothesis hypothesis\ngeometry_msgs/PoseWithCovariance pose\n",
    "Detection3D": ("std_msgs/Header header\nObjectHypothesisWithPose[] results\nBoundingBox3D bbox\nstring id\n"),
    "Detection3DArray": "std_msgs/Header header\nDetection3D[] detections\n",
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
    """The types of ROS 2 Jazzy, of vision_msgs 4, of std_srvs (both halves of each service) and of this package."""
    store = get_typestore(Stores.ROS2_JAZZY)
    definitions = {f"vision_msgs/msg/{name}": text for name, text in _VISION_MSGS.items()}
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
