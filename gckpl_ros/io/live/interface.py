"""What the node and `gckpl live` take, publish and serve, as data: names, types, and what each is for.

Names are ROS names: `~` is the node's own (default: gckpl), a name without a leading slash lies in its namespace.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from gckpl_ros.errors import InputError

_NAME: Final = re.compile(r"(~/|/)?[A-Za-z_]\w*(/[A-Za-z_]\w*)*", re.ASCII)

# In place of a topic on the command line: detections are not used.
NO_DETECTIONS: Final = "none"


class Endpoint(NamedTuple):
    """A topic or service: its ROS name, its ROS type, and what it is for (Markdown, one line)."""

    topic: str
    type: str
    description: str


INPUTS: Final[Mapping[str, Endpoint]] = {
    "points": Endpoint(
        "points",
        "sensor_msgs/msg/PointCloud2",
        "clouds of any layout, in m; `input.points` names the topic, or several to be merged through TF",
    ),
    "detections": Endpoint(
        "detections",
        "vision_msgs/msg/Detection3DArray",
        "boxes of people from a detector, in any frame that TF knows; `input.detections` names the topic, "
        "`input.detections_type` another type",
    ),
    "tf": Endpoint("/tf", "tf2_msgs/msg/TFMessage", "moving transforms: a moving sensor, boxes in other frames"),
    "tf_static": Endpoint("/tf_static", "tf2_msgs/msg/TFMessage", "fixed transforms: where the sensors are mounted"),
}

OUTPUTS: Final[Mapping[str, Endpoint]] = {
    "skeletons": Endpoint(
        "~/skeletons",
        "gckpl_ros/msg/SkeletonArray",
        "per person: id, state, box, velocity; per joint: position, confidence, visibility",
    ),
    "markers": Endpoint(
        "~/markers",
        "visualization_msgs/msg/MarkerArray",
        "lines and spheres, one namespace for each person, removed when the person leaves",
    ),
    "meshes": Endpoint(
        "~/bodies",
        "visualization_msgs/msg/MarkerArray",
        "with `body.enabled`: the fitted bodies as meshes, one namespace for each person",
    ),
    "joint_array": Endpoint(
        "~/joint_array",
        "std_msgs/msg/Float32MultiArray",
        "skeletons for consumers without our messages: person x joint x (x, y, z, confidence, id), in m; without "
        "stamp and frame",
    ),
    "parts": Endpoint(
        "~/parts",
        "sensor_msgs/msg/PointCloud2",
        "the points on people: x, y, z, part (place in the 15 body parts), probability of that part, person (id)",
    ),
    "tf": Endpoint(
        "/tf",
        "tf2_msgs/msg/TFMessage",
        "`body_<id>` of each person and, with `output.link_frames`, the links of its body (REP-155)",
    ),
    "bodies": Endpoint(
        "/humans/bodies/tracked", "hri_msgs/msg/IdsList", "ids of all people (REP-155), where hri_msgs is installed"
    ),
    "detections": Endpoint(
        "~/detections",
        "vision_msgs/msg/Detection3DArray",
        "boxes of the people seen in this cloud, with scores: a person detector for other nodes",
    ),
    "people": Endpoint(
        "people",
        "people_msgs/msg/People",
        "position, velocity and score of everybody but the new, for social costmaps, where people_msgs is installed",
    ),
    "processing_time": Endpoint(
        "~/processing_time_ms", "std_msgs/msg/Float64", "time that all stages took for this cloud, in ms"
    ),
    "adaptation": Endpoint(
        "~/adaptation",
        "gckpl_ros/msg/AdaptationStatus",
        "what the network learns here: state, steps, losses, updates accepted and refused and why, drift; with every "
        "report on /diagnostics",
    ),
    "diagnostics": Endpoint(
        "/diagnostics",
        "diagnostic_msgs/msg/DiagnosticArray",
        "rate, latency of each stage, clouds and people that were dropped and why, memory of the device; adaptation",
    ),
}

SERVICES: Final[Mapping[str, Endpoint]] = {
    "enable": Endpoint("~/enable", "std_srvs/srv/SetBool", "false: clouds are ignored until it is true again"),
    "reset_tracks": Endpoint("~/reset_tracks", "std_srvs/srv/Trigger", "forget everybody; ids are not used again"),
    "pause_adaptation": Endpoint(
        "~/adaptation/pause", "std_srvs/srv/SetBool", "true: learn nothing and collect nothing until it is false again"
    ),
    "reset_adaptation": Endpoint(
        "~/adaptation/reset", "std_srvs/srv/Trigger", "back to the weights that were loaded; what was collected is lost"
    ),
    "save_adaptation": Endpoint(
        "~/adaptation/save",
        "std_srvs/srv/Trigger",
        "write the weights in use and the learner's state to `adapt.folder`",
    ),
    "load_adaptation": Endpoint(
        "~/adaptation/load", "std_srvs/srv/Trigger", "go back to what was last written to `adapt.folder`"
    ),
}


def resolve(name: str, node: str = "gckpl") -> str:
    """A ROS name in full, for a node like ``gckpl`` or ``robot/gckpl``; raises InputError for what is no name."""
    for given in (name, node):
        if not _NAME.fullmatch(given):
            raise InputError(f"{given!r} is no ROS name: letters, digits, _ and /, for example /lidar/points")
    node = "/" + node.strip("/")
    if name.startswith("~/"):
        return node + name[1:]
    return name if name.startswith("/") else f"{node.rpartition('/')[0]}/{name}"


def input_overrides(points: Sequence[str], detections: str | None) -> Iterator[str]:
    """Topics of the command line as overrides of parameters; JSON is YAML."""
    if points:
        yield f"input.points={json.dumps(points)}"
    if detections is not None:
        yield f"input.detections={json.dumps('' if detections == NO_DETECTIONS else detections)}"
