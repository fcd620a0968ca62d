"""What the node is connected to: subscribers, sensors, tf2, a lifecycle manager."""

import re
from collections.abc import Collection
from contextlib import suppress
from functools import partial
from math import isfinite
from typing import Any, Final
from uuid import uuid4

import numpy as np
from jaxtyping import Float64
from rclpy.clock import Clock, ClockType, JumpThreshold
from rclpy.duration import Duration
from rclpy.lifecycle import Node as LifecycleNode
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.time import Time
from sensor_msgs.msg import PointCloud2
from tf2_ros import Buffer, TransformException, TransformListener
from tf_transformations import quaternion_matrix

from gckpl_ros.config import InputConfig
from gckpl_ros.errors import InputError
from gckpl_ros.io.live.interface import OUTPUTS
from gckpl_ros.io.live.live_input import LiveInput
from gckpl_ros.io.messages.frames import PARENTS
from gckpl_ros.io.messages.tf import TransformError
from gckpl_ros.io.messages.typestore import MessageTypes
from gckpl_ros.io.ros.messages import message_class
from gckpl_ros.skeleton import REP155_BODY

# Where results go: a lifecycle publisher for each output.

_DEPTH: Final = {"tf": 100}  # as tf2's broadcasters
_USUAL_DEPTH: Final = 10
# The node listens to transforms itself: that alone is no reason to make them.
_OWN_SUBSCRIPTIONS: Final = {"tf": 1}


class Publishers:
    """The sink of a worker. All publishers are reliable, and send only while the node is active."""

    def __init__(self, node: LifecycleNode, types: MessageTypes) -> None:
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


# Where clouds and detections come from.

_RELIABILITY: Final = {"best_effort": ReliabilityPolicy.BEST_EFFORT, "reliable": ReliabilityPolicy.RELIABLE}


class Subscriptions:
    """Feeds a live input while it is open."""

    def __init__(self, node: Node, config: InputConfig, source: LiveInput) -> None:
        """Open nothing yet; raises InputError for names that no topic can have, and a type that is not installed."""
        self._node = node
        self._config = config
        self._source = source
        self._made: list[Any] = []
        self._points = [_resolved(topic, node) for topic in config.points]
        self._detections = _resolved(config.detections, node) if config.detections else ""
        self._kind = _installed(config.detections_type) if config.detections else None
        self._qos = QoSProfile(depth=config.depth, reliability=_RELIABILITY[config.reliability])

    @property
    def sources(self) -> str:
        """Where clouds and detections come from, for the log."""
        return f"clouds from {', '.join(self._points)}; detections from {self._detections or 'nobody'}"

    def open(self) -> None:
        """Subscribe."""
        for sensor, topic in enumerate(self._config.points):
            add_cloud = partial(self._source.add_cloud, sensor=sensor)
            self._made.append(self._node.create_subscription(PointCloud2, topic, add_cloud, self._qos))
        if topic := self._config.detections:
            add = self._source.add_detections
            self._made.append(self._node.create_subscription(self._kind, topic, add, self._qos))
            self._source.expect_detections(partial(self._node.count_publishers, self._detections))

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


def _installed(msgtype: str) -> Any:
    try:
        return message_class(msgtype)
    except KeyError as error:
        raise InputError(f"input.detections_type {msgtype}: {msgtype.split('/')[0]} is not installed here") from error


_PEOPLE: Final = re.compile(rf"(?:{'|'.join((REP155_BODY, *PARENTS))})_\d+")


_NORM_TOLERANCE: Final = 10e-3  # of tf2, for squared norms of quaternions


class _Listener(TransformListener):
    """Leaves out the frames of people: nothing is looked up there, and a buffer would keep everybody for ever.

    And what tf2 refuses, with a line in the log for each transform of each message.
    """

    def callback(self, data: Any) -> None:
        data.transforms = [stamped for stamped in data.transforms if _usable(stamped)]
        super().callback(data)


def _usable(stamped: Any) -> bool:
    child, parent = stamped.child_frame_id.strip("/"), stamped.header.frame_id.strip("/")
    t, q = stamped.transform.translation, stamped.transform.rotation
    norm = q.x * q.x + q.y * q.y + q.z * q.z + q.w * q.w
    is_transform = isfinite(t.x) and isfinite(t.y) and isfinite(t.z) and abs(norm - 1) < _NORM_TOLERANCE
    return bool(child) and bool(parent) and child != parent and is_transform and not _PEOPLE.fullmatch(child)


class TfTransforms:
    """Transforms from /tf and /tf_static; forgets moving ones when the node's clock jumps back."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._buffer = Buffer()
        self._listener: _Listener | None = None
        back = JumpThreshold(min_forward=None, min_backward=Duration(nanoseconds=-1), on_clock_change=True)
        self._jump = node.get_clock().create_jump_callback(back, post_callback=lambda jump: self.clear())

    def listen(self) -> None:
        """Subscribe, with nothing known but static transforms."""
        self.clear()
        self._listener = _Listener(self._buffer, self._node)

    def stop(self) -> None:
        """Unsubscribe; does nothing if there are no subscriptions."""
        if self._listener:
            self._listener.unregister()
            self._listener = None

    def close(self) -> None:
        """Let the node's clock forget this buffer too."""
        self.stop()
        self._jump.unregister()

    def lookup(self, target: str, source: str, stamp_ns: int) -> Float64[np.ndarray, "4 4"]:
        """T_target_source at a time; raises TransformError where tf2 does not know it."""
        try:
            found = self._buffer.lookup_transform(target.strip("/"), source.strip("/"), Time(nanoseconds=stamp_ns))
        except (TransformException, ValueError) as error:  # rclpy has no times before 1970
            raise TransformError(str(error)) from error
        t, q = found.transform.translation, found.transform.rotation
        T_target_source: np.ndarray = quaternion_matrix([q.x, q.y, q.z, q.w])
        T_target_source[:3, 3] = t.x, t.y, t.z
        return T_target_source

    def clear(self) -> None:
        """Forget all but static transforms: time starts anew."""
        self._buffer.clear()


# Who watches over the node.

_BOND: Final = "bond/msg/Status"
_BOND_TIMEOUT_S: Final = 4.0  # as nav2's nodes
BOND_PERIOD_S: Final = 1.0  # nav2's nodes beat ten times as often; each beat wakes rclpy twice, a millisecond each


class Bond:
    """The heartbeat by which nav2's lifecycle manager knows that an active node lives: bond_core, by its message alone.

    It comes from the thread that serves the node's callbacks: a node that hangs there has none.
    """

    def __init__(self, node: Node, period_s: float) -> None:
        """No heartbeat where the period is 0, or where bond's messages are not installed."""
        self._node, self._period_s = node, period_s
        self._me = self._manager = ""
        self._timer: Any = None
        self._status: Any = None
        if period_s > 0:
            with suppress(KeyError):
                self._status = message_class(_BOND)
        if self._status:
            self._publisher = node.create_publisher(self._status, "bond", 10)
            node.create_subscription(self._status, "bond", self._hear, 10)

    def start(self) -> None:
        """Begin a new bond."""
        self.stop()
        if self._status:
            self._me, self._manager = str(uuid4()), ""
            steady = Clock(clock_type=ClockType.STEADY_TIME)
            self._timer = self._node.create_timer(self._period_s, partial(self._say, True), clock=steady)
            self._say(True)

    def stop(self) -> None:
        """Break it, in so many words; does nothing where there is none."""
        if self._timer:
            self._node.destroy_timer(self._timer)
            self._timer = None
            self._say(False)

    def _hear(self, status: Any) -> None:
        if self._timer and status.id == self._node.get_name() and status.instance_id != self._me:
            if status.active:
                if status.instance_id != self._manager:
                    self._manager = status.instance_id
                    self._say(True)  # who is new need not wait for the next
            elif status.instance_id == self._manager:  # not that of a bond before this one
                self.stop()

    def _say(self, active: bool) -> None:
        times = {"heartbeat_timeout": _BOND_TIMEOUT_S, "heartbeat_period": self._period_s}
        status = self._status(id=self._node.get_name(), instance_id=self._me, active=active, **times)
        status.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(status)
