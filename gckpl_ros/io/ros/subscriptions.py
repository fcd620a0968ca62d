"""Where clouds and detections come from."""

from functools import partial
from typing import Any

from rclpy.lifecycle import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from sensor_msgs.msg import PointCloud2
from vision_msgs.msg import Detection3DArray

from gckpl_ros.config import InputConfig
from gckpl_ros.errors import InputError
from gckpl_ros.io.live_input import LiveInput

# Best effort takes from reliable publishers too.
_DETECTIONS_QOS = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)


class Subscriptions:
    """Feeds a live input while it is open; clouds with sensor-data QoS, so that old ones never hold up new ones."""

    def __init__(self, node: Node, config: InputConfig, source: LiveInput) -> None:
        """Open nothing yet; raises InputError for names that no topic can have."""
        self._node = node
        self._config = config
        self._source = source
        self._made: list[Any] = []
        self._points = [_resolved(topic, node) for topic in config.points]
        self._detections = _resolved(config.detections, node) if config.detections else ""

    @property
    def sources(self) -> str:
        """Where clouds and detections come from, for the log."""
        return f"clouds from {', '.join(self._points)}; detections from {self._detections or 'nobody'}"

    def open(self) -> None:
        """Subscribe."""
        for sensor, topic in enumerate(self._config.points):
            add_cloud = partial(self._source.add_cloud, sensor=sensor)
            self._made.append(self._node.create_subscription(PointCloud2, topic, add_cloud, qos_profile_sensor_data))
        if topic := self._config.detections:
            add = self._source.add_detections
            self._made.append(self._node.create_subscription(Detection3DArray, topic, add, _DETECTIONS_QOS))

    def close(self) -> None:
        """Unsubscribe; nothing comes any more."""
        for subscription in self._made:
            self._node.destroy_subscription(subscription)
        self._made = []


def _resolved(topic: str, node: Node) -> str:
    """The full name, after remapping."""
    try:
        return str(node.resolve_topic_name(topic))
    except RuntimeError as error:  # rclpy's own error; its class has no public name
        raise InputError(f"'{topic}' is no topic name: {error}") from error
