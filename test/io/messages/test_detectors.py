"""Boxes of yolo_ros and Autoware: the same person in each message becomes the same box."""

import numpy as np
import pytest

from gckpl_ros.io.messages.detections import as_detection_array, to_boxes
from gckpl_ros.io.messages.typestore import typestore

TYPES = typestore().types
AUTOWARE = "autoware_perception_msgs/msg/"
PEDESTRIAN, CAR, POLYGON = 7, 1, 2


def make(name, **values):
    return TYPES[name](**values)


def header(frame_id="lidar"):
    return make("std_msgs/msg/Header", stamp=make("builtin_interfaces/msg/Time", sec=5, nanosec=6), frame_id=frame_id)


def vector(x, y, z, kind="Vector3"):
    return make(f"geometry_msgs/msg/{kind}", x=x, y=y, z=z)


def pose():
    """At (1, 2, 3), turned by 60 degrees to the left."""
    turn = make("geometry_msgs/msg/Quaternion", x=0.0, y=0.0, z=np.sin(np.pi / 6), w=np.cos(np.pi / 6))
    return make("geometry_msgs/msg/Pose", position=vector(1.0, 2.0, 3.0, "Point"), orientation=turn)


def yolo(name="person", frame_id="camera_link"):
    point, box = (lambda: make("yolo_msgs/msg/Point2D", x=0.0, y=0.0)), "yolo_msgs/msg/BoundingBox"
    flat = make(
        f"{box}2D",
        center=make("yolo_msgs/msg/Pose2D", position=point(), theta=0.0),
        size=make("yolo_msgs/msg/Vector2", x=0.0, y=0.0),
    )
    return make(
        "yolo_msgs/msg/Detection",
        class_id=0,
        class_name=name,
        score=0.7,
        id="1",
        bbox=flat,
        bbox3d=make(f"{box}3D", center=pose(), size=vector(0.5, 0.6, 1.7), frame_id=frame_id),
        mask=make("yolo_msgs/msg/Mask", height=0, width=0, data=[point()]),
        keypoints=make("yolo_msgs/msg/KeyPoint2DArray", data=[]),
        keypoints3d=make("yolo_msgs/msg/KeyPoint3DArray", data=[], frame_id=""),
    )


def yolo_array(*detections):
    return make("yolo_msgs/msg/DetectionArray", header=header("camera_optical"), detections=list(detections))


def autoware(kind, labels=((PEDESTRIAN, 0.6), (CAR, 0.4)), shape=0, corners=(), size=(0.5, 0.6, 1.7)):
    with_pose = make("geometry_msgs/msg/PoseWithCovariance", pose=pose(), covariance=np.zeros(36))
    still = make("geometry_msgs/msg/Twist", linear=vector(0.0, 0.0, 0.0), angular=vector(0.0, 0.0, 0.0))
    motion = {
        "twist_with_covariance": make("geometry_msgs/msg/TwistWithCovariance", twist=still, covariance=np.zeros(36))
    }
    own = {}
    if kind == "Tracked":
        acceleration = make("geometry_msgs/msg/Accel", linear=vector(0.0, 0.0, 0.0), angular=vector(0.0, 0.0, 0.0))
        motion["acceleration_with_covariance"] = make(
            "geometry_msgs/msg/AccelWithCovariance", accel=acceleration, covariance=np.zeros(36)
        )
        motion["is_stationary"] = False
        own["object_id"] = make("unique_identifier_msgs/msg/UUID", uuid=np.zeros(16, np.uint8))
    else:
        motion |= {"has_position_covariance": False, "has_twist": False, "has_twist_covariance": False}
    polygon = [make("geometry_msgs/msg/Point32", x=x, y=y, z=0.0) for x, y in corners]
    return make(
        f"{AUTOWARE}{kind}Object",
        existence_probability=0.7,
        classification=[make(f"{AUTOWARE}ObjectClassification", label=n, probability=p) for n, p in labels],
        kinematics=make(
            f"{AUTOWARE}{kind}ObjectKinematics", pose_with_covariance=with_pose, orientation_availability=2, **motion
        ),
        shape=make(
            f"{AUTOWARE}Shape",
            type=shape,
            footprint=make("geometry_msgs/msg/Polygon", points=polygon),
            dimensions=vector(*size),
        ),
        **own,
    )


def autoware_array(kind, *objects):
    return make(f"{AUTOWARE}{kind}Objects", header=header(), objects=list(objects))


def sent(message):
    """The message as its bytes tell it: the definitions are those of the wire."""
    store, name = typestore(), message.__msgtype__
    return store.deserialize_cdr(store.serialize_cdr(message, name), name)


@pytest.mark.parametrize(
    ("message", "frame_id"),
    [
        (yolo_array(yolo("dog"), yolo("Person")), "camera_link"),
        (autoware_array("Detected", autoware("Detected"), autoware("Detected", [(CAR, 1.0)])), "lidar"),
        (autoware_array("Tracked", autoware("Tracked")), "lidar"),
    ],
)
def test_every_type_tells_the_same_box(message, frame_id):
    array = as_detection_array(sent(message))
    assert (array.header.frame_id, array.header.stamp.sec, array.header.stamp.nanosec) == (frame_id, 5, 6)
    boxes = to_boxes(array, ["person", "pedestrian"])[0]
    np.testing.assert_allclose(boxes.centers, [[1, 2, 3]])
    np.testing.assert_allclose(boxes.sizes, [[0.5, 0.6, 1.7]], rtol=1e-6)
    np.testing.assert_allclose(boxes.yaws, [np.pi / 3], rtol=1e-6)
    np.testing.assert_allclose(boxes.scores, [0.7], rtol=1e-6)


def test_a_polygon_is_as_large_as_its_footprint():
    person = autoware("Detected", shape=POLYGON, corners=[(-0.2, 0.1), (0.3, -0.4), (0.1, 0.2)], size=(0.0, 0.0, 1.7))
    boxes = to_boxes(as_detection_array(autoware_array("Detected", person)))[0]
    np.testing.assert_allclose(boxes.sizes, [[0.6, 0.8, 1.7]], rtol=1e-6)


def test_what_says_nothing_of_its_class_is_nobody_and_unknown_labels_are_numbers():
    message = autoware_array("Tracked", autoware("Tracked", []), autoware("Tracked", [(200, 1.0)]))
    names = [each.results[0].hypothesis.class_id for each in as_detection_array(message).detections]
    assert names == ["", "200"]
    assert not len(to_boxes(as_detection_array(message), ["pedestrian"])[0])


def test_frames_of_yolo_boxes_and_arrays_without_any():
    mixed = as_detection_array(yolo_array(yolo(frame_id=""), yolo(frame_id="base_link")))
    assert mixed.header.frame_id == "base_link"
    assert [each.header.frame_id for each in mixed.detections] == ["base_link", "base_link"]
    empty = as_detection_array(yolo_array())
    assert empty.header.frame_id == "camera_optical" and not len(to_boxes(empty)[0])


def test_a_detection_array_stays_itself():
    message = make("vision_msgs/msg/Detection3DArray", header=header(), detections=[])
    assert as_detection_array(message) is message
