"""What a real lifecycle node publishes to whom, and what it hears of transforms."""

import numpy as np
import pytest
from ros_messages import START_NS, transforms

from gckpl_ros.io.live.interface import OUTPUTS
from gckpl_ros.io.messages.tf import TransformBuffer, TransformError

TF = "tf2_msgs/msg/TFMessage"


@pytest.fixture
def own(rig):
    """A lifecycle node in this process."""
    from rclpy.lifecycle import Node

    own = rig.Peer(Node)
    yield own
    own.close()


def test_only_what_somebody_else_takes_is_wanted(rig, peer, own):
    from gckpl_ros.io.ros.connections import Publishers, TfTransforms
    from gckpl_ros.io.ros.messages import GeneratedTypes

    publishers, own_listener = Publishers(own.node, GeneratedTypes()), TfTransforms(own.node)
    own_listener.listen()
    assert rig.until(lambda: own.node.count_subscribers("/tf"))
    assert not rig.until(publishers.wanted, timeout_s=1.0)
    for name in ("skeletons", "tf"):
        topic = OUTPUTS[name].topic.replace("~", "/peer")
        peer.listen(topic, OUTPUTS[name].type)
    assert rig.until(lambda: publishers.wanted() == {"skeletons", "tf"}), publishers.wanted()
    publishers.close()
    assert publishers.wanted() == set()


def test_nothing_is_sent_before_the_node_is_active(rig, peer, own):
    from gckpl_ros.io.ros.connections import Publishers
    from gckpl_ros.io.ros.messages import GeneratedTypes

    types = GeneratedTypes()
    publishers = Publishers(own.node, types)
    heard = peer.listen("/peer/processing_time_ms", "std_msgs/msg/Float64")
    assert rig.until(publishers.wanted)
    message = types["std_msgs/msg/Float64"](data=2.0)
    publishers.publish("processing_time", message)
    assert not rig.until(lambda: heard, timeout_s=0.5)
    own.node.trigger_configure()
    own.node.trigger_activate()
    publishers.publish("processing_time", message)
    assert rig.until(lambda: heard)


def test_transforms_are_those_of_our_own_buffer(rig, peer, own):
    from gckpl_ros.io.ros.connections import TfTransforms

    ours, theirs = TransformBuffer(), TfTransforms(own.node)
    theirs.listen()
    send = {static: peer.publisher(f"/tf{'_static' * static}", TF, durability=2 - static) for static in (False, True)}
    messages = [(transforms(i, "odom", "base_link", x=i, yaw=0.1 * i), False) for i in (0, 10)]
    messages += [
        (transforms(0, "base_link", "lidar", x=0.5, yaw=-1.0), True),
        (transforms(0, "odom", "body_7", 9), False),
    ]
    for message, static in messages:
        ours.add(message, static)
        send[static](message)
    stamp_ns = START_NS + 300_000_000
    assert rig.until(lambda: _knows(theirs, "odom", "lidar", stamp_ns))
    expected = ours.lookup("odom", "lidar", stamp_ns)
    np.testing.assert_allclose(theirs.lookup("/odom", "lidar", stamp_ns), expected, atol=1e-9)
    np.testing.assert_allclose(theirs.lookup("lidar", "odom", stamp_ns), np.linalg.inv(expected), atol=1e-9)
    assert not _knows(theirs, "odom", "body_7", START_NS), "people would fill the buffer"
    with pytest.raises(TransformError, match="map"):
        theirs.lookup("map", "lidar", stamp_ns)
    with pytest.raises(TransformError, match="negative"):
        theirs.lookup("odom", "lidar", -1)
    theirs.clear()
    assert not _knows(theirs, "odom", "lidar", stamp_ns)
    assert _knows(theirs, "base_link", "lidar", stamp_ns)
    theirs.close()
    assert rig.until(lambda: not own.node.count_subscribers("/tf"))


def _knows(known, target, source, stamp_ns):
    try:
        return known.lookup(target, source, stamp_ns) is not None
    except TransformError:
        return False
