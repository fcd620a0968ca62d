from types import SimpleNamespace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from gckpl_ros.io.messages.tf import TransformBuffer, TransformError
from gckpl_ros.io.messages.typestore import typestore

TYPES = typestore().types


def transform(parent, child, stamp_ns, translation, rotation=None):
    sec, nanosec = divmod(stamp_ns, 10**9)
    x, y, z, w = (rotation or Rotation.identity()).as_quat()
    return TYPES["geometry_msgs/msg/TransformStamped"](
        header=TYPES["std_msgs/msg/Header"](
            stamp=TYPES["builtin_interfaces/msg/Time"](sec=sec, nanosec=nanosec), frame_id=parent
        ),
        child_frame_id=child,
        transform=TYPES["geometry_msgs/msg/Transform"](
            translation=TYPES["geometry_msgs/msg/Vector3"](*translation),
            rotation=TYPES["geometry_msgs/msg/Quaternion"](x, y, z, w),
        ),
    )


def buffer(*transforms, static=()):
    made = TransformBuffer()
    made.add(SimpleNamespace(transforms=list(transforms)), static=False)
    made.add(SimpleNamespace(transforms=list(static)), static=True)
    return made


def turn(degrees):
    return Rotation.from_euler("z", degrees, degrees=True)


def test_halfway_in_time_is_halfway_in_place_and_angle():
    made = buffer(transform("odom", "base", 0, (0, 0, 0)), transform("odom", "base", 100, (2, 4, 6), turn(90)))
    T_odom_base = made.lookup("odom", "base", 50)
    np.testing.assert_allclose(T_odom_base[:3, 3], [1, 2, 3])
    np.testing.assert_allclose(T_odom_base[:3, :3], turn(45).as_matrix(), atol=1e-12)


def test_samples_need_not_arrive_in_order_and_are_met_exactly():
    later, sooner = transform("odom", "base", 10**18 + 7, (1, 0, 0)), transform("odom", "base", 10**18, (0, 0, 0))
    made = buffer(later, sooner)
    assert made.lookup("odom", "base", 10**18 + 7)[0, 3] == 1
    assert made.lookup("odom", "base", 10**18)[0, 3] == 0


def test_up_one_branch_and_down_another():
    # base is turned by 90 degrees: its x axis is odom's y axis.
    made = buffer(
        transform("odom", "base", 0, (1, 0, 0), turn(90)),
        transform("odom", "base", 10, (1, 0, 0), turn(90)),
        static=[transform("base", "lidar", 0, (0, 0, 2)), transform("/base", "/camera", 0, (3, 0, 0))],
    )
    np.testing.assert_allclose(made.lookup("odom", "camera", 5) @ [0, 0, 0, 1], [1, 3, 0, 1], atol=1e-12)
    np.testing.assert_allclose(made.lookup("lidar", "camera", 5) @ [0, 0, 0, 1], [3, 0, -2, 1], atol=1e-12)
    np.testing.assert_allclose(made.lookup("camera", "odom", 5) @ [1, 3, 0, 1], [0, 0, 0, 1], atol=1e-12)
    np.testing.assert_array_equal(made.lookup("odom", "odom", 5), np.eye(4))


def test_static_links_hold_at_any_time_even_where_moving_ones_do_not():
    made = buffer(transform("odom", "base", 0, (1, 0, 0)), static=[transform("base", "lidar", 77, (0, 0, 2))])
    assert made.lookup("base", "lidar", 10**12)[2, 3] == 2


@pytest.mark.parametrize(
    "target, source, stamp_ns, reason",
    [
        ("map", "base", 5, "map not known .*base, lidar, odom, tree, wood"),
        ("odom", "tree", 5, "not connected"),
        ("odom", "lidar", 11, r"base to odom: .*outside of what was recorded \(0.000 s to 0.000 s\)"),
        ("odom", "lidar", -1, "base to odom: .*outside"),
    ],
)
def test_what_cannot_be_known_is_refused(target, source, stamp_ns, reason):
    made = buffer(
        transform("odom", "base", 0, (0, 0, 0)),
        transform("odom", "base", 10, (0, 0, 0)),
        static=[transform("base", "lidar", 0, (0, 0, 2)), transform("wood", "tree", 0, (0, 0, 0))],
    )
    with pytest.raises(TransformError, match=reason):
        made.lookup(target, source, stamp_ns)


def test_broken_transforms_are_left_out_and_circles_end():
    broken = transform("odom", "base", 0, (np.nan, 0, 0))
    circle = [transform("a", "b", 0, (1, 0, 0)), transform("b", "a", 0, (1, 0, 0))]
    made = buffer(broken, static=circle)
    with pytest.raises(TransformError, match="odom and base not known"):
        made.lookup("odom", "base", 0)
    with pytest.raises(TransformError):
        made.lookup("odom", "b", 0)


def test_the_latest_parent_counts():
    made = buffer(
        transform("odom", "base", 0, (1, 0, 0)),
        transform("map", "base", 0, (5, 0, 0)),
    )
    assert made.lookup("map", "base", 0)[0, 3] == 5
    with pytest.raises(TransformError):
        made.lookup("odom", "base", 0)
