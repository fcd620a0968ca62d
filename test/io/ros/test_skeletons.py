"""Clouds in, skeletons out, through real ROS 2: what is published, when, and what rubbish and odd times do to it."""

from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
from ros_messages import PERSON, SCAN_NS, START_NS, cloud, detections, header, of_yolo, transforms

from gckpl_ros.io.messages.pointcloud2 import to_points
from gckpl_ros.io.messages.skeletons import from_skeleton_array, stamp_ns

CLOUD, DETECTIONS = "sensor_msgs/msg/PointCloud2", "vision_msgs/msg/Detection3DArray"
SKELETONS = "gckpl_ros/msg/SkeletonArray"
TF = "tf2_msgs/msg/TFMessage"
FAR = PERSON + np.array([4.0, 0, 0])
FIRST = 60  # number of the first scan after those by which a sensor and its node have met
TIMES = {"input__wait_s": 0.5, "input__silence_s": 2.0}


class Sensor:
    """Publishes clouds with a box of the person in them. It and its node have met: nothing is lost any more."""

    def __init__(self, rig, peer, namespace=""):
        self._rig = rig
        self.add_cloud = peer.publisher(f"{namespace}/points", CLOUD)
        self.add_detections = peer.publisher(f"{namespace}/detections", DETECTIONS)
        self.skeletons = peer.listen(f"{namespace}/gckpl/skeletons", SKELETONS)
        assert any((found := self._try(i, 1.0)) and found.skeletons for i in range(FIRST)), "they never meet"

    def scan(self, i, boxes=None, **options):
        """Publish a scan; the skeletons that come of it."""
        found = self._try(i, 30.0, boxes, **options)
        assert found, f"nothing comes of scan {i}"
        return from_skeleton_array(found)

    def _try(self, i, timeout_s, boxes=None, **options):
        """What comes of this very scan; an earlier one may still be on its way."""
        before = len(self.skeletons)
        self.add_detections(boxes or detections(i, "person", **options))
        self.add_cloud(cloud(i, **options))
        return self._rig.until(lambda: next(self._of(i, before), None), timeout_s)

    def _of(self, i, since):
        stamp = START_NS + i * SCAN_NS
        return (message for message in self.skeletons[since:] if stamp_ns(message.header.stamp) == stamp)


@pytest.fixture
def sensor(rig, peer, active):
    active(**TIMES)
    return Sensor(rig, peer)


def test_skeletons_have_the_stamp_and_frame_of_their_cloud_and_keep_their_id(sensor):
    frames = [sensor.scan(i, frame="velodyne") for i in range(FIRST, FIRST + 5)]
    assert [frame.stamp_ns - START_NS for frame in frames] == [(FIRST + i) * SCAN_NS for i in range(5)]
    assert {frame.frame_id for frame in frames} == {"velodyne"}
    assert [len(frame.tracks) for frame in frames] == [1] * 5
    assert len({int(frame.tracks.ids[0]) for frame in frames}) == 1
    np.testing.assert_allclose(frames[-1].tracks.boxes.centers, [PERSON], atol=1e-5)


def test_every_output_is_there_for_those_who_take_it(rig, peer, sensor):
    topics = {
        "/gckpl/markers": "visualization_msgs/msg/MarkerArray",
        "/gckpl/joint_array": "std_msgs/msg/Float32MultiArray",
        "/gckpl/parts": CLOUD,
        "/gckpl/processing_time_ms": "std_msgs/msg/Float64",
        "/tf": TF,
        "/diagnostics": "diagnostic_msgs/msg/DiagnosticArray",
    }
    received = {topic: peer.listen(topic, msgtype) for topic, msgtype in topics.items()}
    assert any(sensor.scan(i) and all(received.values()) for i in range(FIRST, 2 * FIRST)), received
    frame = sensor.scan(2 * FIRST)
    keypoints, track_id = frame.tracks.skeletons.keypoints[0], int(frame.tracks.ids[0])

    def whole():
        """Whether everything of this scan is there; what came of those before it may have come later."""
        body, parts = received["/tf"][-1].transforms[0], received["/gckpl/parts"][-1]
        joints = received["/gckpl/markers"][-1].markers[-2]
        stamps = {stamp_ns(message.header.stamp) for message in (body, parts, joints)}
        array = np.array(received["/gckpl/joint_array"][-1].data, np.float32).reshape(-1, 14, 5)[0, :, :3]
        return stamps == {frame.stamp_ns} and np.array_equal(array, keypoints)

    assert rig.until(whole)
    bones, joints, label = received["/gckpl/markers"][-1].markers[-3:]  # before them somebody may be deleted
    assert {marker.ns for marker in (bones, joints, label)} == {f"body_{track_id}"}
    np.testing.assert_allclose([[p.x, p.y, p.z] for p in joints.points], keypoints, atol=1e-5)
    array = received["/gckpl/joint_array"][-1]
    assert [dimension.size for dimension in array.layout.dim] == [1, 14, 5]
    np.testing.assert_array_equal(np.array(array.data, np.float32).reshape(14, 5)[:, :3], keypoints)
    parts, _ = to_points(received["/gckpl/parts"][-1])
    assert len(parts) == 60 and [f.name for f in received["/gckpl/parts"][-1].fields][3:] == [
        "part",
        "probability",
        "person",
    ]
    body = received["/tf"][-1].transforms[0]
    assert (body.header.frame_id, body.child_frame_id) == ("lidar", f"body_{track_id}")
    hips = keypoints[[4, 10]].mean(axis=0)
    t = body.transform.translation
    np.testing.assert_allclose([t.x, t.y, t.z], hips, atol=1e-5)
    assert received["/gckpl/processing_time_ms"][-1].data > 0
    assert received["/diagnostics"][-1].status[0].name == "gckpl: skeletons"


def test_inputs_take_from_everybody_and_results_are_reliable(rig, peer, active):
    active()
    for topic in ("/points", "/detections"):
        assert rig.until(lambda topic=topic: peer.node.get_subscriptions_info_by_topic(topic))
        (found,) = peer.node.get_subscriptions_info_by_topic(topic)
        assert found.qos_profile.reliability.name == "BEST_EFFORT"
    (found,) = peer.node.get_publishers_info_by_topic("/gckpl/skeletons")
    assert found.qos_profile.reliability.name == "RELIABLE"


def malformed():
    """Clouds that contradict themselves or hold nothing, and what they are counted as."""
    good = cloud(1)
    yield replace(good, fields=good.fields[:2]), "no field z"
    yield replace(good, data=good.data[:-7]), "data has"
    yield replace(good, point_step=2), "past the point_step"
    yield replace(good, width=2**31), "data has"
    yield replace(good, fields=[replace(f, datatype=77) for f in good.fields]), "unknown datatype"
    yield replace(good, width=0, data=good.data[:0], row_step=0), "without a finite point"
    yield cloud(1, points=[[np.nan] * 3] * 9), "without a finite point"


def test_rubbish_is_counted_and_the_next_cloud_is_fine(rig, peer, active):
    active(**TIMES, output__diagnostics_period_s=0.1)
    sensor, reports = Sensor(rig, peer), peer.listen("/diagnostics", "diagnostic_msgs/msg/DiagnosticArray")
    for i, (bad, reason) in enumerate(malformed()):
        stamp = header(FIRST + i).stamp
        sensor.add_cloud(replace(bad, header=replace(bad.header, stamp=stamp)))
        assert rig.until(lambda reason=reason: reason in str(_counts(reports))), reason
    assert len(sensor.scan(FIRST + 50).tracks) == 1
    assert rig.until(lambda: int(_counts(reports)["frames"]) == len(sensor.skeletons))


def _counts(reports):
    return {value.key: value.value for value in reports[-1].status[0].values} if reports else {}


def test_a_recording_that_starts_again_gives_new_people(sensor):
    first = [sensor.scan(i) for i in (2 * FIRST, 2 * FIRST + 1)]
    again = [sensor.scan(i) for i in (FIRST, FIRST + 1)]
    assert again[0].stamp_ns < first[0].stamp_ns
    assert int(again[0].tracks.ids[0]) > int(first[-1].tracks.ids[0])


def test_services_stop_and_start_the_work_and_forget_everybody(rig, peer, active):
    from std_srvs.srv import SetBool, Trigger

    node = active(**TIMES)
    sensor = Sensor(rig, peer)
    reports = peer.listen("/diagnostics", "diagnostic_msgs/msg/DiagnosticArray")
    first = sensor.scan(FIRST)
    assert peer.call(Trigger, "/gckpl/reset_tracks").success
    assert int(sensor.scan(FIRST + 1).tracks.ids[0]) > int(first.tracks.ids[0])
    assert peer.call(SetBool, "/gckpl/enable", data=False).message == "disabled"
    assert rig.until(lambda: not peer.node.count_subscribers("/points"))
    received, cpu_s, told = len(sensor.skeletons), node.cpu_s, len(reports)
    assert not rig.until(lambda: len(sensor.skeletons) > received, timeout_s=2.0)
    assert node.cpu_s - cpu_s < 0.2
    assert rig.until(lambda: len(reports) > told)
    entries = [message.status[0] for message in reports[told:]]
    assert {(entry.level, entry.name, entry.message) for entry in entries} == {(b"\0", "gckpl: skeletons", "disabled")}
    assert peer.call(SetBool, "/gckpl/enable", data=True).message == "enabled"
    assert rig.until(lambda: peer.node.count_subscribers("/points"))
    assert len(sensor.scan(FIRST + 50).tracks) == 1


def test_reset_needs_a_configured_node(peer, start):
    from std_srvs.srv import Trigger

    start()
    assert not peer.call(Trigger, "/gckpl/reset_tracks").success


def test_two_namespaces_do_not_mix(rig, peer, active):
    for name in ("one", "two"):
        active("-r", f"__ns:=/{name}", "-r", "/tf:=tf", of=f"/{name}/gckpl", **TIMES)
    one, two = (Sensor(rig, peer, f"/{name}") for name in ("one", "two"))
    frames = peer.listen("/one/tf", TF)
    assert any(one.scan(i) and frames for i in range(FIRST, 2 * FIRST))
    near, before = one.scan(2 * FIRST), len(one.skeletons)
    far = two.scan(3 * FIRST, at=FAR)
    np.testing.assert_allclose(near.tracks.boxes.centers, [PERSON], atol=1e-5)
    np.testing.assert_allclose(far.tracks.boxes.centers, [FAR], atol=1e-5)
    assert len(one.skeletons) == before
    assert far.stamp_ns not in {stamp_ns(stamped.header.stamp) for message in frames for stamped in message.transforms}


def test_boxes_in_another_frame_come_through_tf(rig, peer, active):
    active(**TIMES)
    sensor = Sensor(rig, peer)
    peer.publisher("/tf_static", TF, durability=1)(transforms(0, "base_link", "lidar", x=2.0))
    frame = sensor.scan(FIRST, boxes=detections(FIRST, "person", frame="base_link", at=PERSON + np.array([2, 0, 0])))
    np.testing.assert_allclose(frame.tracks.boxes.centers, [PERSON], atol=1e-5)
    assert frame.frame_id == "lidar"


def test_one_absurd_box_loses_only_itself_and_a_box_has_the_frame_of_its_own_header(rig, peer, active):
    node = active(**TIMES)
    sensor = Sensor(rig, peer)
    peer.publisher("/tf_static", TF, durability=1)(transforms(0, "lidar", "camera", x=4.0))
    found = detections(FIRST, *["person"] * 6)
    absurd, unturned, bold, mad, own, _ = found.detections
    good = absurd.bbox
    turn = good.center.orientation
    absurd.bbox = replace(good, center=replace(good.center, orientation=replace(turn, x=1e200)))
    unturned.bbox = replace(good, center=replace(good.center, orientation=replace(turn, w=0.0)))
    bold.results[0].hypothesis.score, mad.results[0].hypothesis.score = 5.0, float("nan")
    own.header = header(FIRST, "camera")
    own.bbox = replace(good, center=replace(good.center, position=replace(good.center.position, x=2.0)))
    frame = sensor.scan(FIRST, boxes=found)
    np.testing.assert_allclose(frame.tracks.boxes.centers, [PERSON] * 4, atol=1e-5)
    assert sorted(frame.tracks.boxes.scores.round(3).tolist()) == pytest.approx([0.9, 0.9, 0.9, 1.0])
    assert "failed" not in node.log and "please report" not in node.log


def test_markers_have_a_lifetime(rig, peer, active):
    active(**TIMES)
    markers = peer.listen("/gckpl/markers", "visualization_msgs/msg/MarkerArray")
    sensor = Sensor(rig, peer)
    for i in range(FIRST, FIRST + 8):
        sensor.scan(i)
    assert rig.until(lambda: any(message.markers for message in markers))
    shown = [marker for marker in markers[-1].markers if marker.action == 0]
    assert {(m.lifetime.sec, m.lifetime.nanosec) for m in shown} == {(0, 300_000_000)}


def test_two_sensors_are_merged_through_tf_that_may_come_late(rig, peer, active):
    active(**TIMES, input__points=["front", "rear"], input__frame="base_link")
    front, rear = (peer.publisher(f"/{name}", CLOUD) for name in ("front", "rear"))
    add_detections = peer.publisher("/detections", DETECTIONS)
    skeletons, parts = peer.listen("/gckpl/skeletons", SKELETONS), peer.listen("/gckpl/parts", CLOUD)
    send_tf = peer.publisher("/tf_static", TF, durability=1)

    def whole(i, timeout_s):
        """Whether all 60 points that each sensor has of the person are one body in a scan."""
        add_detections(detections(i, "person", frame="base_link"))
        front(cloud(i, frame="front", at=PERSON - np.array([1, 0, 0])))
        rear(cloud(i, frame="rear", at=PERSON + np.array([1, 0, 0])))
        return rig.until(lambda: any(message.width == 120 for message in parts), timeout_s)

    assert not whole(0, 2.0) and not skeletons, "without transforms there is no way to merge"
    send_tf(transforms(0, "base_link", "front", x=1))
    send_tf(transforms(0, "base_link", "rear", x=-1))
    assert any(whole(i, 1.0) for i in range(1, FIRST))
    assert {message.header.frame_id for message in (*skeletons, *parts)} == {"base_link"}


def test_people_for_social_costmaps(rig, peer, sensor):
    pytest.importorskip("people_msgs.msg")
    people = peer.listen("/people", "people_msgs/msg/People")
    assert any(sensor.scan(i) and people and people[-1].people for i in range(FIRST, 2 * FIRST))
    (person,) = people[-1].people
    np.testing.assert_allclose([person.position.x, person.position.y, person.position.z], PERSON, atol=1e-5)


def test_boxes_of_another_type_and_clouds_that_must_come_whole(rig, peer, active):
    pytest.importorskip("yolo_msgs.msg")
    kind = "yolo_msgs/msg/DetectionArray"
    active(**TIMES, input__detections_type=kind, input__reliability="reliable", input__depth=20)
    (points,) = peer.node.get_subscriptions_info_by_topic("/points")
    assert (points.qos_profile.reliability.name, points.node_name) == ("RELIABLE", "gckpl")
    add_cloud, add_boxes = peer.publisher("/points", CLOUD), peer.publisher("/detections", kind)
    skeletons = peer.listen("/gckpl/skeletons", SKELETONS)

    def scan(i):
        add_boxes(of_yolo(detections(i, "person")))
        add_cloud(cloud(i))
        return rig.until(lambda: skeletons and skeletons[-1].skeletons, 1.0)

    assert any(scan(i) for i in range(FIRST))
    np.testing.assert_allclose(from_skeleton_array(skeletons[-1]).tracks.boxes.centers, [PERSON], atol=1e-5)


def test_a_type_of_boxes_that_is_not_installed_is_told_at_configure(peer, start):
    if find_spec("autoware_perception_msgs"):
        pytest.skip("it is installed")
    node = start(input__detections_type="autoware_perception_msgs/msg/TrackedObjects")
    assert peer.change("configure") == [False]
    assert "autoware_perception_msgs is not installed here" in node.log
