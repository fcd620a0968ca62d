"""Where results go: a lifecycle publisher for each output."""

from collections.abc import Collection
from typing import Any, Final

from rclpy.lifecycle import Node
from rclpy.qos import QoSProfile

from gckpl_ros.io.interface import OUTPUTS
from gckpl_ros.io.ros.messages import message_class
from gckpl_ros.io.typestore import MessageTypes

_DEPTH: Final = {"tf": 100}  # as tf2's broadcasters
_USUAL_DEPTH: Final = 10
# The node listens to transforms itself: that alone is no reason to make them.
_OWN_SUBSCRIPTIONS: Final = {"tf": 1}


class Publishers:
    """The sink of a worker. All publishers are reliable, and send only while the node is active."""

    def __init__(self, node: Node, types: MessageTypes) -> None:
        """Make a publisher for each output whose type is installed."""
        self._node = node
        self._made = {
            name: node.create_lifecycle_publisher(
                message_class(output.type), output.topic, QoSProfile(depth=_DEPTH.get(name, _USUAL_DEPTH))
            )
            for name, output in OUTPUTS.items()
            if output.type in types
        }

    def wanted(self) -> Collection[str]:
        """Names of the outputs that somebody else subscribes to."""
        counts = {name: publisher.get_subscription_count() for name, publisher in self._made.items()}
        return {name for name, count in counts.items() if count > _OWN_SUBSCRIPTIONS.get(name, 0)}

    def publish(self, name: str, message: Any) -> None:
        """Send one output."""
        self._made[name].publish(message)

    def log(self, text: str) -> None:
        """An error in the node's log."""
        self._node.get_logger().error(text)

    def close(self) -> None:
        """Destroy all publishers."""
        for publisher in self._made.values():
            self._node.destroy_lifecycle_publisher(publisher)
        self._made = {}
