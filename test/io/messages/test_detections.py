import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from gckpl_ros.config import Config
from gckpl_ros.geometry import transformed_boxes
from gckpl_ros.io.messages.detections import to_boxes
from gckpl_ros.io.messages.typestore import typestore
from gckpl_ros.reasons import BAD_SIZE, NO_TURN, OTHER_CLASS, SCORE_OUTSIDE
from gckpl_ros.types import Boxes

TYPES = typestore().types


def point(x, y, z, kind="Point"):
    return TYPES[f"geometry_msgs/msg/{kind}"](x=x, y=y, z=z)


def detection(*classes, at=(1.0, 2.0, 3.0), size=(0.5, 0.6, 1.7), quaternion=(0.0, 0.0, 0.0, 1.0), frame="lidar"):
    x, y, z, w = quaternion
    pose = TYPES["geometry_msgs/msg/Pose"](
        position=point(*at), orientation=TYPES["geometry_msgs/msg/Quaternion"](x=x, y=y, z=z, w=w)
    )
    covariance = TYPES["geometry_msgs/msg/PoseWithCovariance"](pose=pose, covariance=np.zeros(36))
    hypothesis = TYPES["vision_msgs/msg/ObjectHypothesis"]
    return TYPES["vision_msgs/msg/Detection3D"](
        header=SimpleNamespace(frame_id=frame),
        results=[
            TYPES["vision_msgs/msg/ObjectHypothesisWithPose"](hypothesis(class_id=name, score=score), covariance)
            for name, score in classes
        ],
        bbox=TYPES["vision_msgs/msg/BoundingBox3D"](center=pose, size=point(*size, kind="Vector3")),
        id="",
    )


def boxes_of(*detections, classes=("pedestrian", "Person")):
    """Boxes and, by reason, how many detections were dropped or mended."""
    boxes, _, remarks = found(*detections, classes=classes)
    return boxes, {remark.reason: remark.number for remark in remarks}


def found(*detections, classes=("pedestrian", "Person")):
    header = SimpleNamespace(frame_id="lidar")
    return to_boxes(SimpleNamespace(header=header, detections=list(detections)), classes)


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
        (detection(("car", 0.9), ("bus", 0.95)), "detection of another class"),
        (detection(), "detection without a class"),
        (detection(GOOD, size=(0.5, -0.6, 1.7)), BAD_SIZE),
        (detection(GOOD, size=(0.5, 0.0, 1.7)), BAD_SIZE),
        (detection(GOOD, size=(0.5, np.nan, 1.7)), BAD_SIZE),
        (detection(GOOD, size=(0.5, 1e300, 1.7)), BAD_SIZE),
        (detection(GOOD, size=(0.5, 10.1, 1.7)), BAD_SIZE),
        (detection(GOOD, at=(np.inf, 0.0, 0.0)), "detection with a position that is not finite"),
        (detection(GOOD, at=(0.0, -1e300, 0.0)), "detection with a position that is not finite"),
        (detection(GOOD, quaternion=(1e200, 0.0, 0.0, 1.0)), UNTURNED),
        (detection(GOOD, quaternion=(0.0, -1.7e308, 1.7e308, 0.0)), UNTURNED),
        (detection(GOOD, quaternion=(np.inf, 0.0, 0.0, 0.0)), UNTURNED),
        (detection(("person", np.nan)), "detection with a score that is not finite"),
        (detection(("person", np.inf)), "detection with a score that is not finite"),
        (detection(("person", -np.inf), ("car", 0.5)), "detection with a score that is not finite"),
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


EXTREMES = [0.0, -0.0, 5e-324, 1e-40, 1e30, -1e30, 1e200, -1e200, 1.7e308, -1.7e308, np.nan, np.inf, -np.inf]
FIELDS = [
    (part, place) for part, size in (("at", 3), ("size", 3), ("quaternion", 4), ("score", 1)) for place in range(size)
]


@pytest.mark.parametrize(("part", "place"), FIELDS)
@pytest.mark.parametrize("value", EXTREMES)
def test_an_absurd_value_in_any_field_loses_at_most_its_own_box(part, place, value):
    values = {"at": [1.0, 2.0, 3.0], "size": [0.5, 0.6, 1.7], "quaternion": [0.0, 0.0, 0.0, 1.0], "score": [0.5]}
    values[part][place] = value
    wrong = detection(("person", values.pop("score")[0]), **values)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        boxes, _, remarks = found(detection(GOOD, at=(7.0, 7.0, 7.0)), wrong)
    assert boxes.centers[0].tolist() == [7, 7, 7]
    assert all(np.isfinite(array).all() for array in vars(boxes).values())
    assert ((boxes.scores >= 0) & (boxes.scores <= 1)).all() and len(remarks) <= 1
    assert len(boxes) == 2 or len(remarks) == 1, "nothing goes uncounted"


@pytest.mark.parametrize(("score", "expected"), [(5.0, 1), (1e300, 1), (-1.0, 0), (-1e-9, 0)])
def test_scores_outside_of_0_to_1_are_clamped_and_counted(score, expected):
    boxes, remarks = boxes_of(detection(("person", score)), detection(("person", 1.0)), detection(("person", 0.0)))
    assert boxes.scores.tolist() == [expected, 1, 0] and remarks == {SCORE_OUTSIDE: 1}


def test_a_score_that_is_no_number_counts_only_where_there_is_no_other():
    boxes, remarks = boxes_of(detection(("person", np.nan), ("pedestrian", 0.25)))
    assert boxes.scores.tolist() == [0.25] and not remarks


def test_four_zeros_are_no_turn_and_are_counted():
    boxes, remarks = boxes_of(detection(GOOD, quaternion=(0.0, 0.0, 0.0, 0.0)), detection(GOOD))
    assert boxes.yaws.tolist() == [0, 0] and remarks == {NO_TURN: 1}


def test_what_was_wrong_is_told_by_an_example_and_never_in_the_reason():
    _, _, remarks = found(
        detection(("c" * 100_000, 0.9)), detection(GOOD, size=(0.5, -0.6, 1.7)), detection(("bus", 1.0))
    )
    assert {(remark.reason, remark.number) for remark in remarks} == {(OTHER_CLASS, 2), (BAD_SIZE, 1)}
    assert {remark.example for remark in remarks} == {"c" * 100_000, "0.5, -0.6, 1.7"}


def test_a_detection_keeps_the_frame_of_its_own_header():
    names = ["lidar", "camera", "", "lidar"]
    assert found(*[detection(GOOD, frame=name) for name in names]).frames == ["", "camera", "", ""]


@pytest.mark.parametrize(
    "name",
    [
        "person",
        "Pedestrian",
        "PEDESTRIAN",
        "pedestrian",
        "0",
        "human.pedestrian.adult",
        "human.pedestrian.police_officer",
    ],
)
def test_names_that_detectors_give_to_people_are_people_by_default(name):
    boxes, remarks = boxes_of(detection((name, 0.5)), classes=Config().input.classes)
    assert len(boxes) == 1 and not remarks


@pytest.mark.parametrize("name", ["car", "1", "00", "human", "vehicle.human.pedestrian.adult", "dog", "*"])
def test_other_names_are_nobody_by_default(name):
    boxes, remarks = boxes_of(detection((name, 0.5)), classes=Config().input.classes)
    assert len(boxes) == 0 and remarks == {OTHER_CLASS: 1}


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
