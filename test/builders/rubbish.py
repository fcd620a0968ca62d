"""Messages that nobody should send, for every input that must survive them: strategies of hypothesis."""

import numpy as np
from hypothesis import strategies as st
from ros_messages import TYPES, cloud, detections, transforms

numbers = st.sampled_from([0, 1, 2, 3, 4, 12, 16, 100, 2**16, 2**31, 2**32 - 1]) | st.integers(0, 64)
names = st.sampled_from(["x", "y", "z", "intensity", "", "X", "rgb", "\N{SNOWMAN}"])
stamps = st.sampled_from([0, -1, 1, 2**31 - 1, -(2**31)]) | st.integers(1_700_000_000, 1_700_000_009)
frames = st.sampled_from(["lidar", "", "unknown", "/lidar", "odom", "a" * 300])
coordinates = st.sampled_from([0.0, 1.0, -5.0, 6.1, np.nan, np.inf, -np.inf, 1e-40, 3e38, -3e38, 1e20])

point_fields = st.builds(
    lambda name, offset, datatype, count: TYPES["sensor_msgs/msg/PointField"](name, offset, datatype, count),
    names,
    numbers,
    st.integers(0, 12) | st.just(7),
    st.sampled_from([0, 1, 1, 1, 2, 7, 2**32 - 1]),
)


@st.composite
def rubbish(draw):
    """A cloud whose parts have nothing to do with each other."""
    return TYPES["sensor_msgs/msg/PointCloud2"](
        header=stamped(draw),
        height=draw(numbers),
        width=draw(numbers),
        fields=draw(st.lists(point_fields, max_size=5)),
        is_bigendian=draw(st.booleans()),
        point_step=draw(numbers),
        row_step=draw(numbers),
        data=np.frombuffer(draw(st.binary(max_size=256)), np.uint8),
        is_dense=draw(st.booleans()),
    )


@st.composite
def nearly_right(draw):
    """A cloud with strange points, or with one thing about it changed."""
    points = draw(st.lists(st.tuples(coordinates, coordinates, coordinates), max_size=30))
    message = cloud(0, points=np.array(points, np.float32).reshape(-1, 3) if points else None)
    message.header = stamped(draw)
    change = draw(st.sampled_from(["", "height", "width", "point_step", "row_step", "data", "fields", "is_bigendian"]))
    if change in ("height", "width", "point_step", "row_step"):
        setattr(message, change, draw(numbers))
    elif change == "data":
        message.data = np.resize(message.data, draw(st.integers(0, 2 * len(message.data))))
    elif change == "fields":
        message.fields = draw(st.permutations(message.fields))[: draw(st.integers(0, 3))]
    elif change == "is_bigendian":
        message.is_bigendian = True
    return message


def stamped(draw):
    stamp = TYPES["builtin_interfaces/msg/Time"](sec=draw(stamps), nanosec=draw(st.integers(0, 2**32 - 1)))
    return TYPES["std_msgs/msg/Header"](stamp=stamp, frame_id=draw(frames))


@st.composite
def boxes(draw):
    """Detections with values that nobody should send, now and then by thousands."""
    message = detections(0, *draw(st.lists(st.sampled_from(["person", "car", ""]), max_size=4)))
    message.header = stamped(draw)
    for each in message.detections:
        place = [draw(coordinates | st.floats(width=64)) for _ in range(3)]
        each.bbox.center.position = TYPES["geometry_msgs/msg/Point"](*place)
        each.bbox.size = TYPES["geometry_msgs/msg/Vector3"](*[draw(coordinates) for _ in range(3)])
    message.detections = message.detections * draw(st.sampled_from([1, 1, 1, 1, 1, 1, 1, 700]))
    return message


tf = st.builds(
    lambda i, parent, child, x: transforms(i, parent, child, x),
    st.integers(-5, 5),
    frames,
    frames,
    coordinates,
)

messages = rubbish() | nearly_right() | boxes() | tf
