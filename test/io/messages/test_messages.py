import colorsys
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from people import STANDING, frame
from scipy.spatial.transform import Rotation

from gckpl_ros.io.messages.frames import body_frames, to_transforms
from gckpl_ros.io.messages.markers import ADD, DELETE, LINE_LIST, SPHERE_LIST, SkeletonMarkers, color
from gckpl_ros.io.messages.skeletons import from_skeleton_array, stamp_ns, to_skeleton_array, yaw
from gckpl_ros.io.messages.typestore import typestore
from gckpl_ros.skeleton import CONNECTORS, INDEX, KEYPOINTS, LIMBS, MIRROR

TYPES = typestore().types


def through_cdr(message, name):
    store = typestore()
    return store.deserialize_cdr(store.serialize_cdr(message, name), name)


@pytest.mark.parametrize("ids", [(), (7,), (3, 2**40, -1)])
def test_skeletons_survive_the_way_through_cdr(ids):
    sent = frame(*ids)
    message = through_cdr(to_skeleton_array(sent, TYPES), "gckpl_ros/msg/SkeletonArray")
    got = from_skeleton_array(message)
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == (1, 500_000_001)
    assert (got.stamp_ns, got.frame_id, tuple(message.joint_names)) == (sent.stamp_ns, "lidar", KEYPOINTS)
    for field in ("ids", "states", "velocities"):
        np.testing.assert_array_equal(getattr(got.tracks, field), getattr(sent.tracks, field))
    for field in ("keypoints", "confidence", "visibility"):
        np.testing.assert_array_equal(getattr(got.tracks.skeletons, field), getattr(sent.tracks.skeletons, field))
    for field in ("centers", "sizes", "scores"):
        np.testing.assert_array_equal(getattr(got.tracks.boxes, field), getattr(sent.tracks.boxes, field))
    np.testing.assert_allclose(got.tracks.boxes.yaws, sent.tracks.boxes.yaws, atol=1e-6)


def test_joints_of_another_producer_are_found_by_name():
    message = to_skeleton_array(frame(1), TYPES)
    message.joint_names = ["right_hip", "tail", "nose"]
    person = message.skeletons[0]
    person.positions = [TYPES["geometry_msgs/msg/Point"](x=float(i), y=0.0, z=0.0) for i in range(3)]
    person.confidences = person.visibilities = np.array([0.1, 0.2, 0.3], np.float32)
    skeletons = from_skeleton_array(message).tracks.skeletons
    assert skeletons.keypoints[0, INDEX["right_hip"], 0] == 0 and skeletons.keypoints[0, INDEX["nose"], 0] == 2
    assert skeletons.confidence[0, INDEX["nose"]] == np.float32(0.3)
    assert np.isnan(skeletons.keypoints[0, INDEX["left_hip"]]).all()


def test_times_before_and_after_a_second():
    time = TYPES["builtin_interfaces/msg/Time"]
    assert stamp_ns(time(sec=2, nanosec=5)) == 2_000_000_005
    assert stamp_ns(time(sec=1_800_000_000, nanosec=999_999_999)) == 1_800_000_000_999_999_999


@pytest.mark.parametrize("roll, pitch", [(0, 0), (0.2, -0.3)])
def test_yaw_is_where_the_x_axis_points_seen_from_above(roll, pitch):
    rotation = Rotation.from_euler("ZYX", [2.5, pitch, roll])
    x, y, z, w = rotation.as_quat()
    axis = rotation.apply([1, 0, 0])
    assert yaw(TYPES["geometry_msgs/msg/Quaternion"](x, y, z, w)) == pytest.approx(np.arctan2(axis[1], axis[0]))


def test_body_frame_of_somebody_upright_is_the_clouds_turned_to_where_they_look():
    turn = Rotation.from_euler("z", 90, degrees=True)
    turned = turn.apply(STANDING).astype(np.float32) + np.array([5, 6, 0], np.float32)
    frames, valid = body_frames(np.stack([STANDING, turned]))
    assert valid.all()
    np.testing.assert_allclose(frames[0, :3, :3], np.eye(3), atol=1e-6)
    np.testing.assert_allclose(frames[0, :3, 3], [0, 0, 0.9], atol=1e-6)
    np.testing.assert_allclose(frames[1, :3, :3], turn.as_matrix(), atol=1e-6)
    np.testing.assert_allclose(frames[1, :3, 3], [5, 6, 0.9], atol=1e-6)


def test_body_frame_turns_with_the_body_and_looks_back_when_left_and_right_change():
    rotation = Rotation.from_rotvec([0.4, -1.1, 0.3])
    leaning, swapped = rotation.apply(STANDING).astype(np.float32), STANDING[list(MIRROR)]
    frames, _ = body_frames(np.stack([leaning, swapped]))
    np.testing.assert_allclose(frames[0, :3, :3], rotation.as_matrix(), atol=1e-6)
    np.testing.assert_allclose(frames[1, :3, :3], np.diag([-1, -1, 1]), atol=1e-6)


def test_transforms_are_children_of_the_clouds_frame_and_need_a_body():
    sent = frame(4, 9)
    sent.tracks.skeletons.keypoints[1] = 0  # all joints in one place
    message = through_cdr(to_transforms(sent, TYPES), "tf2_msgs/msg/TFMessage")
    (stamped,) = message.transforms
    assert (stamped.header.frame_id, stamped.child_frame_id) == ("lidar", "body_4")
    t, q = stamped.transform.translation, stamped.transform.rotation
    np.testing.assert_allclose([t.x, t.y, t.z, q.x, q.y, q.z, abs(q.w)], [0, 0, 0.9, 0, 0, 0, 1], atol=1e-6)
    assert to_transforms(frame(), TYPES).transforms == []


def shapes(array):
    return [(m.ns, m.type, m.action) for m in array.markers if m.type in (LINE_LIST, SPHERE_LIST)]


def test_markers_appear_with_a_person_and_disappear_with_them():
    markers = SkeletonMarkers(TYPES)
    both = [("body_1", LINE_LIST), ("body_1", SPHERE_LIST), ("body_2", LINE_LIST), ("body_2", SPHERE_LIST)]
    assert shapes(markers(frame(1, 2))) == [(*who, ADD) for who in both]
    assert sorted(shapes(markers(frame(2)))) == [(*who, DELETE) for who in both[:2]] + [(*who, ADD) for who in both[2:]]
    gone = markers(frame())
    assert {(m.ns, m.action) for m in gone.markers} == {("body_2", DELETE)}
    assert markers(frame()).markers == []


def test_deleted_markers_are_those_that_were_added():
    markers = SkeletonMarkers(TYPES)
    added = {(m.ns, m.id) for m in markers(frame(5)).markers}
    assert {(m.ns, m.id) for m in markers(frame()).markers} == added


def test_markers_draw_every_bone_with_the_confidence_of_its_ends():
    sent = frame(1)
    message = through_cdr(SkeletonMarkers(TYPES)(sent), "visualization_msgs/msg/MarkerArray")
    lines, spheres, text = message.markers
    bones = (*LIMBS, *CONNECTORS)
    ends = np.array([[p.x, p.y, p.z] for p in lines.points]).reshape(-1, 2, 3)
    np.testing.assert_allclose(ends, STANDING[np.array(bones)])
    np.testing.assert_allclose([[p.x, p.y, p.z] for p in spheres.points], STANDING)
    alphas = np.array([c.a for c in lines.colors]).reshape(-1, 2)
    np.testing.assert_allclose(alphas, np.maximum(sent.tracks.skeletons.confidence[0], 0.05)[np.array(bones)])
    assert (lines.header.frame_id, stamp_ns(lines.header.stamp), text.text) == ("lidar", sent.stamp_ns, "1")
    assert text.pose.position.z > STANDING[:, 2].max()


def test_lost_people_are_paler():
    seen, lost = (SkeletonMarkers(TYPES)(frame(1, states=[state])).markers[1] for state in (1, 2))
    assert sum(c.a for c in lost.colors) < 0.6 * sum(c.a for c in seen.colors)


def test_neighbouring_ids_differ_in_hue():
    hues = [colorsys.rgb_to_hsv(*color(i))[0] for i in range(20)]
    steps = [min((a - b) % 1, (b - a) % 1) for a, b in pairwise(hues)]
    assert min(steps) > 0.3
    assert max(Counter(np.round(hues, 2)).values()) == 1


def lifetimes(array):
    return {m.lifetime.sec + m.lifetime.nanosec / 1e9 for m in array.markers if m.action == ADD}


@pytest.mark.parametrize(("period_ns", "expected_s"), [(50_000_000, 0.3), (100_000_000, 0.3), (500_000_000, 1.5)])
def test_markers_go_by_themselves_after_a_few_periods(period_ns, expected_s):
    markers, sent = SkeletonMarkers(TYPES), frame(1)
    stamps = [sent.stamp_ns + i * period_ns for i in range(5)]
    lived = [lifetimes(markers(replace(sent, stamp_ns=stamp))) for stamp in stamps]
    assert lived == [{1.0}] + [{expected_s}] * 4


def test_a_pause_and_a_jump_back_do_not_make_markers_live_for_long():
    markers, sent = SkeletonMarkers(TYPES), frame(1)
    for i in (0, 1, 2, 3, 1000, 1001):
        message = markers(replace(sent, stamp_ns=sent.stamp_ns + i * 100_000_000))
    assert lifetimes(message) == {0.3}
    assert lifetimes(markers(sent)) == {0.3}
