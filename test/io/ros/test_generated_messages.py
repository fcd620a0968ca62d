"""Generated messages say byte for byte what the library rosbags' messages say of the same frame."""

import numpy as np
import pytest

from gckpl_ros.adapt import Activity, AdaptationState
from gckpl_ros.config import OutputConfig
from gckpl_ros.io.live.interface import OUTPUTS
from gckpl_ros.io.live.status import Status, reports
from gckpl_ros.io.messages.outputs import Outputs
from gckpl_ros.io.messages.typestore import typestore
from gckpl_ros.types import Boxes, Cloud, Frame, Parts, Skeletons, Tracks

PEOPLE = 3


@pytest.fixture(scope="module")
def ros():
    pytest.importorskip("rclpy", reason="ROS 2 is not installed")
    from gckpl_ros.io.ros import messages

    return messages


def frame(people=PEOPLE):
    rng = np.random.default_rng(0)

    def random(*shape):
        return rng.random((people, *shape), np.float32)

    ids = np.arange(1, people + 1)
    boxes = Boxes(random(3), random(3), random(), random())
    tracks = Tracks(ids, ids % 3, boxes, Skeletons(random(14, 3), random(14), random(14)), random(3))
    parts = Parts(np.arange(people), np.arange(people), random(15))
    return Frame(1_700_000_000_123_456_789, "lidar", tracks, parts, {"detect": 1.5}, {})


def encoded(types, made, **options):
    cloud = Cloud(np.random.default_rng(1).random((9, 3), np.float32), made.stamp_ns, "lidar")
    return dict(Outputs(types, OutputConfig(link_frames=True), **options).encode(cloud, made, OUTPUTS))


@pytest.mark.parametrize("people", [0, PEOPLE])
def test_outputs_are_the_same_bytes(ros, people):
    from rclpy.serialization import serialize_message

    ours = encoded(ros.GeneratedTypes(), frame(people), to_cloud=ros.create_cloud)
    theirs = encoded(typestore().types, frame(people))
    assert set(theirs) - {"people"} <= set(ours)  # people_msgs is used where it is installed
    for name, message in ((name, theirs[name]) for name in theirs.keys() & ours.keys()):
        if name == "parts" and people:
            message.is_dense = ours[name].is_dense  # sensor_msgs_py does not claim that all points are finite
        expected = bytes(typestore().serialize_cdr(message, OUTPUTS[name].type))
        # rosbags pads to a multiple of 4, as DDS does on the wire
        assert serialize_message(ours[name]).ljust(len(expected), b"\0") == expected, name


LEARNING = AdaptationState(Activity.TRAINING, 7, {"flow": 0.25, "total": 0.5}, 2, 1, "drift", 0.0125, 4)


@pytest.mark.parametrize("adaptation", [LEARNING, AdaptationState(Activity.DISABLED)])
def test_reports_are_the_same_bytes(ros, adaptation):
    from rclpy.serialization import serialize_message

    def told(types):
        return dict(reports(Status(), adaptation, "/gckpl", 5, types, ("adaptation",)))["adaptation"]

    msgtype = OUTPUTS["adaptation"].type
    expected = bytes(typestore().serialize_cdr(told(typestore().types), msgtype))
    assert serialize_message(told(ros.GeneratedTypes())).ljust(len(expected), b"\0") == expected


def test_diagnostics_can_be_sent(ros):
    from rclpy.serialization import serialize_message

    ((name, message),) = reports(Status(), LEARNING, "/gckpl", 5, ros.GeneratedTypes(), ("diagnostics",))
    assert name == "diagnostics" and [entry.level for entry in message.status] == [b"\x01", b"\x00"]
    assert serialize_message(message)


def test_a_type_that_is_not_installed_is_not_there(ros):
    types = ros.GeneratedTypes()
    assert "no_such_msgs/msg/Nothing" not in types
    assert "std_msgs/msg/Nothing" not in types
    assert "std_msgs/msg/Header" in types
    with pytest.raises(KeyError):
        types["no_such_msgs/msg/Nothing"]


def test_long_sequences_are_not_taken_apart(ros):
    types, data = ros.GeneratedTypes(), np.arange(256, dtype=np.uint8)
    made = types["sensor_msgs/msg/PointCloud2"](data=data)
    assert made.data.typecode == "B" and bytes(made.data) == data.tobytes()
    assert list(types["std_msgs/msg/Float32MultiArray"](data=np.float32([1.5, 2.5])).data) == [1.5, 2.5]
    assert list(types["std_msgs/msg/Float32MultiArray"](data=[1, 2]).data) == [1.0, 2.0]
