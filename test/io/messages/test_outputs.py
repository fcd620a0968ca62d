from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from people import CLOUD, STANDING, frame
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from gckpl_ros.config import OutputConfig
from gckpl_ros.io.live.interface import OUTPUTS
from gckpl_ros.io.messages.detections import to_boxes
from gckpl_ros.io.messages.markers import ADD, DELETE
from gckpl_ros.io.messages.outputs import Outputs
from gckpl_ros.io.messages.pointcloud2 import to_points
from gckpl_ros.io.messages.skeletons import from_skeleton_array, stamp_ns
from gckpl_ros.io.messages.typestore import typestore
from gckpl_ros.types import Bodies, Frame, Parts, TrackState

TYPES = typestore().types
# Who makes what, besides the message itself.
BASICS = {"builtin_interfaces/msg/Time", "std_msgs/msg/Header"}
INGREDIENTS = {
    "joint_array": {"std_msgs/msg/MultiArrayLayout", "std_msgs/msg/MultiArrayDimension"},
    "parts": {"sensor_msgs/msg/PointField", *BASICS},
    "tf": {f"geometry_msgs/msg/{n}" for n in ("TransformStamped", "Transform", "Vector3", "Quaternion")} | BASICS,
    "processing_time": set(),
}


class Recorder(Mapping):
    """Types that remember which messages were made."""

    def __init__(self, types):
        self.types, self.made = types, set()

    def __getitem__(self, name):
        message = self.types[name]

        def make(*args, **values):
            self.made.add(name)
            return message(*args, **values)

        return make

    def __iter__(self):
        return iter(self.types)

    def __len__(self):
        return len(self.types)


def with_parts(sent):
    """Two points of every person, on the head."""
    person = np.repeat(np.arange(len(sent.tracks)), 2)
    return replace(sent, parts=Parts(np.arange(len(person)), person, np.eye(15, dtype=np.float32)[[13] * len(person)]))


def outputs(types=TYPES, **config):
    return Outputs(types, OutputConfig(**config))


def encoded(made, sent, wanted=OUTPUTS):
    return dict(made.encode(CLOUD, sent, wanted))


def shown(message, action):
    return {marker.ns for marker in message.markers if marker.action == action}


def test_everything_is_made_in_its_order_and_of_its_type():
    messages = encoded(outputs(), with_parts(frame(1, 2)))
    assert list(messages) == [name for name in OUTPUTS if name not in ("bodies", "meshes", "adaptation", "diagnostics")]
    assert {name: message.__msgtype__ for name, message in messages.items()} == {n: OUTPUTS[n].type for n in messages}


@pytest.mark.parametrize("name", INGREDIENTS)
def test_only_what_is_wanted_is_made(name):
    types = Recorder(TYPES)
    made = outputs(types)
    types.made.clear()
    assert list(encoded(made, with_parts(frame(1)), [name])) == [name]
    assert types.made == {OUTPUTS[name].type} | INGREDIENTS[name]


def test_nothing_is_made_for_nobody_and_nothing_before_it_is_asked_for():
    types = Recorder(TYPES)
    made = outputs(types)
    types.made.clear()
    assert encoded(made, with_parts(frame(1)), ()) == {} and types.made == set()
    assert next(made.encode(CLOUD, frame(1), OUTPUTS))[0] == "skeletons"
    assert "visualization_msgs/msg/MarkerArray" not in types.made


def test_parts_are_left_out_where_the_frame_has_none():
    assert encoded(outputs(), frame(1), ["parts"]) == {}


@pytest.mark.parametrize(
    "config, frames", [({}, 2), ({"link_frames": True}, 32), ({"body_frames": False, "link_frames": True}, 32)]
)
def test_links_come_with_their_bodies(config, frames):
    assert len(encoded(outputs(**config), frame(1, 2), ["tf"])["tf"].transforms) == frames


def test_transforms_can_be_turned_off_and_on_while_running():
    made = outputs(body_frames=False)
    assert encoded(made, frame(1), ["tf"]) == {}
    made.configure(OutputConfig())
    assert [t.child_frame_id for t in encoded(made, frame(1), ["tf"])["tf"].transforms] == ["body_1"]


def test_bodies_are_named_where_hri_msgs_is_known():
    store = get_typestore(Stores.ROS2_JAZZY)
    store.register(get_types_from_msg("std_msgs/Header header\nstring[] ids\n", "hri_msgs/msg/IdsList"))
    made = outputs({**TYPES, "hri_msgs/msg/IdsList": store.types["hri_msgs/msg/IdsList"]})
    message = encoded(made, frame(3, 12))["bodies"]
    assert message.ids == ["3", "12"]
    assert (stamp_ns(message.header.stamp), message.header.frame_id) == (1_500_000_001, "lidar")
    assert dict(made.clear())["bodies"].ids == []


def test_people_for_costmaps_are_all_but_the_new():
    sent = frame(1, 2, 3)
    states = np.array([TrackState.TRACKED, TrackState.NEW, TrackState.LOST])
    sent = replace(sent, tracks=replace(sent.tracks, states=states))
    message = encoded(outputs(), sent, ["people"])["people"]
    assert (stamp_ns(message.header.stamp), message.header.frame_id) == (1_500_000_001, "lidar")
    assert [person.name for person in message.people] == ["1", "3"]
    third, tracks = message.people[1], sent.tracks
    assert (third.position.x, third.position.y, third.position.z) == tuple(tracks.boxes.centers[2].tolist())
    assert (third.velocity.x, third.velocity.y, third.velocity.z) == tuple(tracks.velocities[2].tolist())
    assert third.reliability == tracks.boxes.scores[2]


def test_detections_are_the_boxes_of_those_who_were_seen_and_read_back_as_such():
    sent = frame(4, 5, 6)
    states = np.array([TrackState.TRACKED, TrackState.LOST, TrackState.NEW])
    sent = replace(sent, tracks=replace(sent.tracks, states=states))
    message = encoded(outputs(), sent, ["detections"])["detections"]
    assert (stamp_ns(message.header.stamp), message.header.frame_id) == (1_500_000_001, "lidar")
    assert [detection.id for detection in message.detections] == ["4", "6"]
    found, boxes = to_boxes(message, ["pedestrian"]).boxes, sent.tracks.boxes[[0, 2]]
    for ours, theirs in (
        (found.centers, boxes.centers),
        (found.sizes, boxes.sizes),
        (found.scores, boxes.scores.clip(0, 1)),
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    np.testing.assert_allclose(np.cos(found.yaws - boxes.yaws), 1, atol=1e-6)
    covariance = message.detections[0].results[0].pose.covariance.reshape(6, 6)
    assert np.array_equal(covariance, np.diag(np.diag(covariance))) and (np.diag(covariance)[:3] > 0).all()


def test_processing_time_is_the_sum_of_all_stages():
    sent = replace(frame(), timings_ms={"decode": 1.5, "estimate": 20.25})
    assert encoded(outputs(), sent, ["processing_time"])["processing_time"].data == 21.75


def test_a_cloud_can_be_made_by_something_else():
    made = Outputs(TYPES, OutputConfig(), lambda points, header, types, fields: (points, header.frame_id, list(fields)))
    points, frame_id, fields = encoded(made, with_parts(frame(1)), ["parts"])["parts"]
    np.testing.assert_array_equal(points, CLOUD.points[:2])
    assert (frame_id, fields) == ("lidar", ["part", "probability", "person"])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", ["keypoints", "confidence", "centers", "yaws", "velocities"])
def test_people_with_a_value_that_is_not_finite_are_left_out_everywhere(value, place):
    sent = with_parts(frame(1, 2, 3))
    tracks = sent.tracks
    values = next(getattr(o, place) for o in (tracks, tracks.boxes, tracks.skeletons) if hasattr(o, place))
    values.reshape(3, -1)[1, -1] = value
    messages = encoded(outputs(link_frames=True), sent)
    assert from_skeleton_array(messages["skeletons"]).tracks.ids.tolist() == [1, 3]
    assert shown(messages["markers"], ADD) == {"body_1", "body_3"}
    assert {t.child_frame_id.rsplit("_", 1)[1] for t in messages["tf"].transforms} == {"1", "3"}
    joints = messages["joint_array"].data.reshape(2, 14, 5)
    assert np.isfinite(joints).all() and joints[:, 0, 4].tolist() == [1, 3]
    np.testing.assert_array_equal(to_points(messages["parts"])[0], CLOUD.points[[0, 1, 4, 5]])
    layout = [(name, "<f4") for name in "xyz"] + [("part", "u1"), ("probability", "<f4"), ("person", "<i4")]
    assert messages["parts"].data.view(np.dtype(layout))["person"].tolist() == [1, 1, 3, 3]


def test_whoever_takes_markers_again_is_told_who_left_meanwhile():
    made = outputs()
    encoded(made, frame(1, 2), ["markers"])
    for ids in ((2, 3), (3,), (3, 4)):
        encoded(made, frame(*ids), ["skeletons"])
    again = encoded(made, frame(3, 4), ["markers"])["markers"]
    assert (shown(again, DELETE), shown(again, ADD)) == ({"body_1", "body_2"}, {"body_3", "body_4"})


def test_at_the_end_all_markers_are_deleted():
    made = outputs()
    assert dict(made.clear()) == {}  # nothing was ever shown
    added = encoded(made, frame(1, 2), ["markers"])["markers"]
    ended = dict(made.clear())
    message = ended["markers"]
    assert set(ended) == {"markers", "people"} and shown(message, ADD) == set() and ended["people"].people == []
    assert {(m.ns, m.id) for m in message.markers} == {(m.ns, m.id) for m in added.markers}
    assert {stamp_ns(m.header.stamp) for m in message.markers} == {1_500_000_001}
    assert dict(made.clear())["markers"].markers == []


def test_markers_that_nobody_takes_at_the_end_are_deleted_when_somebody_does():
    made = outputs()
    encoded(made, frame(1), ["markers"])
    assert dict(made.clear(wanted=())) == {}
    assert shown(encoded(made, frame(5), ["markers"])["markers"], DELETE) == {"body_1"}


def test_nobody_makes_empty_messages():
    sent = Frame(5, "lidar", frame().tracks, Parts(*(np.zeros(0, np.int64),) * 2, np.zeros((0, 15), np.float32)))
    messages = encoded(outputs(link_frames=True), sent)
    assert messages["skeletons"].skeletons == messages["markers"].markers == messages["tf"].transforms == []
    assert len(messages["joint_array"].data) == messages["parts"].width == 0


def test_people_without_a_body_have_skeletons_but_no_transforms():
    messages = encoded(outputs(link_frames=True), frame(7, keypoints=np.ones_like(STANDING)))
    assert len(messages["skeletons"].skeletons) == 1 and messages["tf"].transforms == []


def test_estimated_motion_hangs_odom_on_the_cloud_when_it_is_asked_for():
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = [[0, -1, 0], [1, 0, 0], [0, 0, 1]], [3, 1, 0]
    moved = replace(frame(1), T_odom_cloud=T)
    for wanted, people in ((False, True), (True, True), (True, False)):
        outputs = Outputs(TYPES, OutputConfig(odometry_frame=wanted, body_frames=people))
        (message,) = (message for _, message in outputs.encode(CLOUD, moved, {"tf"}))
        links = {link.child_frame_id: link for link in message.transforms}
        assert set(links) == {name for name, there in (("odom", wanted), ("body_1", people)) if there}
    place = links["odom"].transform.translation
    np.testing.assert_allclose([place.x, place.y, place.z], [-1, 3, 0], atol=1e-12)  # odom's origin, in the cloud
    assert links["odom"].header.frame_id == CLOUD.frame_id


def test_fitted_bodies_are_told_and_shown_until_their_people_leave():
    turns = np.tile(np.eye(3, dtype=np.float32), (1, 22, 1, 1))
    skin = np.arange(12, dtype=np.float32).reshape(1, 4, 3)
    body = Bodies(
        np.array([2]), np.ones((1, 16), np.float32), turns, np.ones((1, 3), np.float32),
        np.zeros((1, 22, 3), np.float32), np.zeros((1, 14, 3), np.float32), np.array([1.7], np.float32),
        skin, np.array([[0, 1, 2], [0, 2, 3]]),
    )  # fmt: skip
    made = outputs()
    messages = encoded(made, replace(frame(1, 2), bodies=body))
    without, embodied = messages["skeletons"].skeletons
    assert len(without.rotations) == 0 and without.stature == 0
    assert len(embodied.rotations) == 22 and embodied.rotations[0].w == 1
    assert embodied.stature == pytest.approx(1.7) and len(embodied.shape) == 16
    (mesh,) = messages["meshes"].markers
    corners = [[point.x, point.y, point.z] for point in mesh.points]
    assert mesh.ns == "body_2" and np.array_equal(corners, skin[0][[0, 1, 2, 0, 2, 3]])
    (gone,) = encoded(made, replace(frame(1), bodies=Bodies.empty()))["meshes"].markers
    assert (gone.ns, gone.action) == ("body_2", 2)
