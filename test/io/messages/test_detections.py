from types import SimpleNamespace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from gckpl_ros.geometry import transformed_boxes
from gckpl_ros.io.messages.detections import to_boxes
from gckpl_ros.io.messages.typestore import typestore
from gckpl_ros.types import Boxes

TYPES = typestore().types


def point(x, y, z, kind="Point"):
    return TYPES[f"geometry_msgs/msg/{kind}"](x=x, y=y, z=z)


def detection(*classes, at=(1.0, 2.0, 3.0), size=(0.5, 0.6, 1.7), quaternion=(0.0, 0.0, 0.0, 1.0)):
    x, y, z, w = quaternion
    pose = TYPES["geometry_msgs/msg/Pose"](
        position=point(*at), orientation=TYPES["geometry_msgs/msg/Quaternion"](x=x, y=y, z=z, w=w)
    )
    covariance = TYPES["geometry_msgs/msg/PoseWithCovariance"](pose=pose, covariance=np.zeros(36))
    hypothesis = TYPES["vision_msgs/msg/ObjectHypothesis"]
    return TYPES["vision_msgs/msg/Detection3D"](
        header=None,
        results=[
            TYPES["vision_msgs/msg/ObjectHypothesisWithPose"](hypothesis(class_id=name, score=score), covariance)
            for name, score in classes
        ],
        bbox=TYPES["vision_msgs/msg/BoundingBox3D"](center=pose, size=point(*size, kind="Vector3")),
        id="",
    )


def boxes_of(*detections, classes=("pedestrian", "Person")):
    return to_boxes(SimpleNamespace(detections=list(detections)), classes)


def test_a_box_is_taken_over_value_by_value():
    quaternion = tuple(Rotation.from_euler("z", 0.7).as_quat())
    boxes, dropped = boxes_of(detection(("PEDESTRIAN", 0.4), ("car", 0.9), ("person", 0.5), quaternion=quaternion))
    np.testing.assert_allclose(boxes.centers, [[1, 2, 3]])
    np.testing.assert_allclose(boxes.sizes, [[0.5, 0.6, 1.7]])
    np.testing.assert_allclose(boxes.yaws, [0.7], rtol=1e-6)
    np.testing.assert_allclose(boxes.scores, [0.5])  # of the likeliest wanted class, not of the car
    assert not dropped


def test_nobody():
    boxes, dropped = boxes_of()
    assert len(boxes) == 0 and boxes.centers.shape == (0, 3) and not dropped


GOOD = ("person", 0.9)
UNTURNED = "detection with an orientation that is no unit quaternion"


@pytest.mark.parametrize(
    "wrong, reason",
    [
        (detection(("car", 0.9), ("bus", 0.95)), "detection of class bus"),
        (detection(), "detection without a class"),
        (detection(GOOD, size=(0.5, -0.6, 1.7)), "detection with a size that is not positive"),
        (detection(GOOD, size=(0.5, 0.0, 1.7)), "detection with a size that is not positive"),
        (detection(GOOD, size=(0.5, np.nan, 1.7)), "detection with a size that is not positive"),
        (detection(GOOD, size=(0.5, 1e300, 1.7)), "detection with a size that is not positive"),
        (detection(GOOD, at=(np.inf, 0.0, 0.0)), "detection with a position that is not finite"),
        (detection(GOOD, quaternion=(0.0, 0.0, 0.0, 0.0)), UNTURNED),
        (
            detection(GOOD, quaternion=(0.0, 0.0, np.nan, 1.0)),
            UNTURNED,
        ),
        (detection(GOOD, quaternion=(1.0, 0.0, 0.0, 1.0)), UNTURNED),
    ],
)
def test_what_cannot_be_a_person_is_dropped_and_counted_and_the_others_stay(wrong, reason):
    boxes, dropped = boxes_of(wrong, detection(GOOD, at=(7.0, 7.0, 7.0)), wrong)
    np.testing.assert_array_equal(boxes.centers, [[7, 7, 7]])
    assert dropped == {reason: 2}


def test_without_class_names_everything_is_a_person():
    boxes, dropped = boxes_of(detection(("car", 0.25)), detection(), classes=())
    np.testing.assert_array_equal(boxes.scores, [0.25, 1.0])
    assert not dropped


def test_messages_from_before_humble():
    old = detection(GOOD)
    old.results = [SimpleNamespace(id="person", score=0.75)]
    np.testing.assert_array_equal(boxes_of(old)[0].scores, [0.75])


def test_boxes_move_with_their_frame():
    boxes = Boxes(*(np.array(v, np.float32) for v in ([[1, 0, 0]], [[1, 2, 3]], [0.5], [0.9])))
    T = np.eye(4)
    T[:3, :3] = Rotation.from_euler("z", 90, degrees=True).as_matrix()
    T[:3, 3] = [10, 0, 1]
    moved = transformed_boxes(T, boxes)
    np.testing.assert_allclose(moved.centers, [[10, 1, 1]], atol=1e-6)
    np.testing.assert_allclose(moved.yaws, [0.5 + np.pi / 2], rtol=1e-6)
    np.testing.assert_array_equal(moved.sizes, boxes.sizes)
    assert len(transformed_boxes(T, Boxes.empty())) == 0
