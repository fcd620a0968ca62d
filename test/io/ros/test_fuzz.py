"""Messages that nobody should send, through real ROS 2: the node stays up, counts them, and works on.

GCKPL_FUZZ=10000 sends more than the usual few hundred.
"""

import os
from collections import Counter
from time import monotonic, time_ns

import numpy as np
from anything import anything, garbled
from hypothesis import HealthCheck, given, settings
from ros_messages import PERSON, TYPES, cloud, detections
from rubbish import messages

from gckpl_ros.io.messages.skeletons import stamp_ns, to_header
from gckpl_ros.io.messages.typestore import typestore

CLOUD, DETECTIONS = "sensor_msgs/msg/PointCloud2", "vision_msgs/msg/Detection3DArray"
TOPICS = {CLOUD: "/points", DETECTIONS: "/detections", "tf2_msgs/msg/TFMessage": "/tf"}
EXAMPLES = 500
GARBLED = int(os.environ.get("GCKPL_FUZZ", "300"))
BETWEEN = 10


def test_no_message_ends_the_node(rig, peer, active):
    node = active(input__wait_s=0.0, output__diagnostics_period_s=0.1)
    send = {msgtype: peer.publisher(topic, msgtype) for msgtype, topic in TOPICS.items()}
    reports = peer.listen("/diagnostics", "diagnostic_msgs/msg/DiagnosticArray")
    skeletons = peer.listen("/gckpl/skeletons", "gckpl_ros/msg/SkeletonArray")

    @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
    @given(messages)
    def fuzz(message):
        send[message.__msgtype__](message)

    fuzz()
    assert rig.until(lambda: int(_values(reports).get("clouds", 0)) > EXAMPLES / 10)
    heard = len(skeletons)
    for i in range(60):
        send[DETECTIONS](detections(i, "person"))
        send[CLOUD](cloud(i, at=PERSON))
        if rig.until(lambda: any(message.skeletons for message in skeletons[heard:]), timeout_s=1.0):
            break
    assert any(message.skeletons for message in skeletons[heard:]), node.log
    assert node.alive
    assert "failed" not in node.log and "internal error" not in " ".join(_values(reports))


def test_whatever_bytes_come_every_good_cloud_is_answered(rig, peer, active):
    # Bytes are cut, not changed: an array's length that lies keeps rmw_cyclonedds busy for seconds before we see it.
    rng, node = np.random.default_rng(2), active(input__wait_s=0.5)
    from gckpl_ros.io.ros.messages import message_class  # needs ROS

    raw = {kind: peer.node.create_publisher(message_class(kind), topic, 10) for kind, topic in TOPICS.items()}
    assert rig.until(lambda: all(publisher.get_subscription_count() for publisher in raw.values()))
    skeletons = peer.listen("/gckpl/skeletons", "gckpl_ros/msg/SkeletonArray")
    answered = lambda stamp: stamp in {stamp_ns(message.header.stamp) for message in skeletons[-20:]}  # noqa: E731

    def good_cloud():
        stamp = time_ns()
        for kind, message in ((DETECTIONS, detections(0, "person")), (CLOUD, cloud(0))):
            message.header = to_header(stamp, "lidar", TYPES)
            raw[kind].publish(rig.generated(message, kind))
        return rig.until(lambda: answered(stamp), timeout_s=10.0)

    assert rig.until(good_cloud)
    used_mb, lost, start_s = [], 0, monotonic()
    for i in range(GARBLED):
        kind = rng.choice(list(raw))
        raw[kind].publish(garbled(rng, bytes(typestore().serialize_cdr(anything(rng, kind), kind)), changes=0))
        if i % BETWEEN == 0:
            lost += not good_cloud()
            used_mb.append(node.memory_mb)
    seconds = monotonic() - start_s
    assert node.alive and lost == 0, node.log
    settled = used_mb[len(used_mb) // 5 :]
    figures = f"{used_mb[0]:.0f}, {settled[0]:.0f} to {settled[-1]:.0f} MB"
    print(f"{GARBLED} messages in {seconds:.0f} s, {len(used_mb)} good clouds, {lost} lost; {figures}")
    assert settled[-1] < 1.05 * settled[0] + 5
    # the middleware has lines of its own for bytes that are no message
    said = Counter(line.split("]: ", 1)[-1] for line in node.log.splitlines() if line.startswith("["))
    assert max(said.values()) <= 2 + seconds, "no line comes twice a second"
    assert "please report" not in node.log


def _values(reports):
    return {value.key: value.value for value in reports[-1].status[0].values} if reports else {}
