import numpy as np
from people import CLOUD

from gckpl_ros.io.messages.outputs import to_parts_cloud
from gckpl_ros.io.messages.pointcloud2 import from_points, to_points
from gckpl_ros.io.messages.skeletons import stamp_ns
from gckpl_ros.io.messages.typestore import typestore
from gckpl_ros.skeleton import BACKGROUND, INDEX, PARTS
from gckpl_ros.types import Parts

STORE = typestore()
TYPE = "sensor_msgs/msg/PointCloud2"


def labelled(index, person, likeliest, probability):
    rows = np.full((len(index), 15), 0.01, np.float32)
    rows[np.arange(len(index)), likeliest] = probability
    return Parts(np.array(index, np.int64), np.array(person, np.int64), rows)


def through_cdr(parts, ids):
    message = to_parts_cloud(CLOUD, parts, np.array(ids, np.int64), STORE.types, from_points)
    return STORE.deserialize_cdr(STORE.serialize_cdr(message, TYPE), TYPE)


def test_each_point_tells_its_part_and_its_person():
    wrist = INDEX["left_wrist"]
    message = through_cdr(labelled([7, 2, 7], [0, 0, 1], [wrist, BACKGROUND, 0], [0.5, 0.75, 0.25]), ids=[41, 42])
    assert (stamp_ns(message.header.stamp), message.header.frame_id) == (CLOUD.stamp_ns, CLOUD.frame_id)
    np.testing.assert_array_equal(to_points(message)[0], [[21, 22, 23], [6, 7, 8], [21, 22, 23]])
    layout = [(name, "<f4") for name in "xyz"] + [("part", "u1"), ("probability", "<f4"), ("person", "<i4")]
    assert [(f.name, f.datatype) for f in message.fields][3:] == [("part", 2), ("probability", 7), ("person", 5)]
    assert (message.point_step, message.row_step, message.width) == (21, 63, 3)
    points = message.data.view(np.dtype(layout))
    assert [PARTS[part] for part in points["part"]] == ["left_wrist", "background", "nose"]
    assert points["probability"].tolist() == [0.5, 0.75, 0.25]
    assert points["person"].tolist() == [41, 41, 42]


def test_nobody_makes_an_empty_cloud():
    message = through_cdr(labelled([], [], [], []), ids=[])
    assert (message.width, len(message.data), message.point_step) == (0, 0, 21)
