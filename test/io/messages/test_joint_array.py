import numpy as np
from people import frame

from gckpl_ros.io.messages.outputs import VALUES, to_joint_array
from gckpl_ros.io.messages.typestore import typestore
from gckpl_ros.skeleton import INDEX

STORE = typestore()
TYPE = "std_msgs/msg/Float32MultiArray"


def through_cdr(tracks):
    return STORE.deserialize_cdr(STORE.serialize_cdr(to_joint_array(tracks, STORE.types), TYPE), TYPE)


def test_a_value_is_found_as_the_layout_says():
    tracks = frame(3, 70_000).tracks
    message = through_cdr(tracks)
    people, joints, values = message.layout.dim
    assert [(d.label, d.size, d.stride) for d in message.layout.dim] == [
        ("person", 2, 140),
        ("joint", 14, 70),
        ("value", 5, 5),
    ]

    def value(person, joint, name):  # the formula of std_msgs/MultiArrayLayout
        return message.data[joints.stride * person + values.stride * joint + VALUES.index(name)]

    assert len(message.data) == people.stride
    wrist = INDEX["left_wrist"]
    np.testing.assert_allclose([value(1, wrist, axis) for axis in "xyz"], [10, 10.2, 10.85], atol=1e-6)
    assert value(1, wrist, "confidence") == tracks.skeletons.confidence[1, wrist]
    assert [value(person, joint, "id") for person in (0, 1) for joint in (0, 13)] == [3, 3, 70_000, 70_000]


def test_nobody_makes_an_empty_array():
    message = through_cdr(frame().tracks)
    assert len(message.data) == 0 and message.data.dtype == np.float32
    assert [d.size for d in message.layout.dim] == [0, 14, 5]
