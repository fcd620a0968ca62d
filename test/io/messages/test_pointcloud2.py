import struct

import numpy as np
import pytest
import ros_messages
from hypothesis import given, settings
from hypothesis import strategies as st

from gckpl_ros.errors import InputError
from gckpl_ros.io.messages.pointcloud2 import from_points, to_points, to_times
from gckpl_ros.io.messages.typestore import typestore

TYPES = typestore().types
# PointField's datatypes as the struct module spells them: an independent decoder.
CODES = {1: "b", 2: "B", 3: "h", 4: "H", 5: "i", 6: "I", 7: "f", 8: "d"}


def header():
    stamp = TYPES["builtin_interfaces/msg/Time"](sec=1, nanosec=2)
    return TYPES["std_msgs/msg/Header"](stamp=stamp, frame_id="lidar")


def cloud(fields, height, width, point_step, row_step, data, big=False):
    field = TYPES["sensor_msgs/msg/PointField"]
    return TYPES["sensor_msgs/msg/PointCloud2"](
        header=header(),
        height=height,
        width=width,
        fields=[field(name=n, offset=o, datatype=t, count=c) for n, o, t, c in fields],
        is_bigendian=big,
        point_step=point_step,
        row_step=row_step,
        data=np.frombuffer(data, np.uint8),
        is_dense=False,
    )


def slow_decode(message):
    """Point by point, by the struct module, straight from the definition of the message."""
    order = ">" if message.is_bigendian else "<"
    fields = {f.name: f for f in message.fields}
    points, index = [], []
    for row in range(message.height):
        for column in range(message.width):
            start = row * message.row_step + column * message.point_step
            point = [
                struct.unpack_from(order + CODES[fields[n].datatype], message.data, start + fields[n].offset)[0]
                for n in "xyz"
            ]
            if all(np.isfinite(point)) and any(point):
                points.append(point)
                index.append(row * message.width + column)
    return np.array(points, np.float32).reshape(-1, 3), np.array(index, np.int64)


@st.composite
def layouts(draw):
    """Any order of fields, any gaps, types, byte order, rows and padding after each row."""
    names = draw(st.permutations(["x", "y", "z", "intensity", "ring"]))
    big = draw(st.booleans())
    fields, offset = [], draw(st.integers(0, 5))
    for name in names:
        datatype = draw(st.sampled_from(sorted(CODES)))
        count = draw(st.integers(1, 3))
        fields.append((name, offset, datatype, count))
        offset += struct.calcsize("=" + CODES[datatype]) * count + draw(st.integers(0, 3))
    height, width = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    row_step = width * offset + draw(st.integers(0, 7))
    data = bytearray(draw(st.binary(min_size=height * row_step, max_size=height * row_step)))
    special = st.sampled_from([0.0, np.nan, np.inf, -1.5])
    for row in range(height):
        for column in range(width):
            for name, start, datatype, _ in fields:
                if name in "xyz":  # arbitrary bytes would be huge numbers: put readable ones
                    value = draw(special) if datatype >= 7 else draw(st.integers(0, 100))
                    place = row * row_step + column * offset + start
                    struct.pack_into((">" if big else "<") + CODES[datatype], data, place, value)
    return cloud(fields, height, width, offset, row_step, bytes(data), big)


@settings(max_examples=60, deadline=None)
@given(layouts())
def test_any_layout_reads_as_the_struct_module_reads_it(message):
    points, index = to_points(message)
    expected_points, expected_index = slow_decode(message)
    assert points.dtype == np.float32 and index.dtype == np.int64
    np.testing.assert_array_equal(points, expected_points)
    np.testing.assert_array_equal(index, expected_index)


def test_organised_cloud_is_height_rows_of_width_points():
    values = np.arange(1, 2 * 3 * 3 + 1, dtype="<f4")
    message = cloud([("x", 0, 7, 1), ("y", 4, 7, 1), ("z", 8, 7, 1)], 2, 3, 12, 36, values.tobytes())
    points, index = to_points(message)
    np.testing.assert_array_equal(points[3], [10, 11, 12])  # first point of the second row
    np.testing.assert_array_equal(index, np.arange(6))


def test_placeholders_and_numbers_beyond_float32_go_and_indices_still_lead_back():
    rows = np.array([[0, 0, 0], [1e300, 0, 0], [1, 2, 3], [np.nan, 1, 1]], "<f8")
    message = cloud([("x", 0, 8, 1), ("y", 8, 8, 1), ("z", 16, 8, 1)], 1, 4, 24, 96, rows.tobytes())
    points, index = to_points(message)
    assert points.tolist() == [[1, 2, 3]] and index.tolist() == [2]
    assert to_points(message, drop_zeros=False)[1].tolist() == [0, 2]


def test_row_step_of_a_single_row_is_not_needed():
    rows = np.ones((2, 3), "<f4")
    message = cloud([("x", 0, 7, 1), ("y", 4, 7, 0), ("z", 8, 7, 1)], 1, 2, 12, 0, rows.tobytes())
    assert to_points(message)[0].tolist() == [[1, 1, 1], [1, 1, 1]]


@pytest.mark.parametrize("height, width", [(0, 0), (1, 0), (0, 5)])
def test_no_points(height, width):
    message = cloud([("x", 0, 7, 1), ("y", 4, 7, 1), ("z", 8, 7, 1)], height, width, 12, 12 * width, b"")
    points, index = to_points(message)
    assert points.shape == (0, 3) and index.shape == (0,)


XYZ = [("x", 0, 7, 1), ("y", 4, 7, 1), ("z", 8, 7, 1)]


@pytest.mark.parametrize(
    "fields, height, width, point_step, row_step, size, reason",
    [
        ([("x", 0, 7, 1), ("intensity", 4, 7, 1)], 1, 1, 12, 12, 12, "no field y and no field z .*x, intensity"),
        ([], 1, 1, 12, 12, 12, "its fields: none"),
        (XYZ, 1, 3, 12, 36, 35, "data has 35 bytes, .* 1 rows x 36 = 36 bytes"),
        (XYZ, 2, 3, 12, 40, 79, "data has 79 bytes, .* 2 rows x 40 = 80 bytes"),
        (XYZ, 2, 3, 12, 24, 80, "row_step 24 is less than width x point_step = 36"),
        (XYZ, 1, 1, 8, 8, 8, "field z ends at byte 12, past the point_step of 8"),
        ([("x", 0, 9, 1), *XYZ[1:]], 1, 1, 12, 12, 12, "field x has the unknown datatype 9"),
    ],
)
def test_contradictions_are_named(fields, height, width, point_step, row_step, size, reason):
    with pytest.raises(InputError, match=reason):
        to_points(cloud(fields, height, width, point_step, row_step, bytes(size)))


def test_written_clouds_survive_cdr_and_carry_their_fields():
    points = np.array([[1, 2, 3], [-4, 5.5, 6]], np.float32)
    extra = {"intensity": np.array([0.5, 1], np.float32), "ring": np.array([3, 7], np.uint16)}
    store = typestore()
    written = from_points(points, header(), TYPES, extra)
    raw = store.serialize_cdr(written, "sensor_msgs/msg/PointCloud2")
    message = store.deserialize_cdr(raw, "sensor_msgs/msg/PointCloud2")
    np.testing.assert_array_equal(to_points(message)[0], points)
    assert [(f.name, f.offset, f.datatype) for f in message.fields][3:] == [("intensity", 12, 7), ("ring", 16, 4)]
    assert message.point_step == 18 and message.width == 2
    assert struct.unpack_from("<H", message.data, 18 + 16) == (7,)


def test_coordinates_beyond_all_bounds_count_as_not_finite():
    points, index = to_points(ros_messages.cloud(0, points=[[1, 2, 3], [3e38, 0, 1], [0, -1e9, 1], [5e6, 4e5, 10]]))
    assert index.tolist() == [0, 3]
    np.testing.assert_allclose(points[1], [5e6, 4e5, 10])


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("t", np.array([0, 50_000_000, 99_000_000], np.uint32)),  # Ouster: nanoseconds since the sweep began
        ("time", np.array([0, 0.05, 0.099], np.float32)),  # Velodyne: seconds
        ("offset_time", np.array([0, 50_000, 99_000], np.uint32)),  # microseconds
        ("timestamp", 1_700_000_000 + np.array([0, 0.05, 0.099])),  # Hesai: seconds of the clock
        ("timestamp", 1_700_000_000e9 + np.array([0, 0.05e9, 0.099e9])),  # Livox: nanoseconds of the clock
        ("timestamp", 12_345.0 + np.array([0, 0.05, 0.099])),  # of another clock: since the first point
    ],
)
def test_times_of_points_as_drivers_write_them(name, values):
    message = from_points(np.ones((3, 3), np.float32), header(), TYPES, {name: values})
    np.testing.assert_allclose(to_times(message, np.arange(3), 1_700_000_000 * 10**9), [0, 0.05, 0.099], atol=1e-5)


def test_points_without_times_or_all_of_one_time_have_none():
    bare = from_points(np.ones((3, 3), np.float32), header(), TYPES)
    still = from_points(np.ones((3, 3), np.float32), header(), TYPES, {"t": np.zeros(3, np.uint32)})
    assert to_times(bare, np.arange(3), 0) is None and to_times(still, np.arange(3), 0) is None
