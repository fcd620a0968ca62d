"""Thousands of messages that nobody should send, through real ROS 2: the node stays up, counts them, and works on."""

from hypothesis import HealthCheck, given, settings
from ros_messages import PERSON, cloud, detections
from rubbish import messages

CLOUD, DETECTIONS = "sensor_msgs/msg/PointCloud2", "vision_msgs/msg/Detection3DArray"
TOPICS = {CLOUD: "/points", DETECTIONS: "/detections", "tf2_msgs/msg/TFMessage": "/tf"}
EXAMPLES = 500


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


def _values(reports):
    return {value.key: value.value for value in reports[-1].status[0].values} if reports else {}
