"""What live clouds wait for, what is dropped and counted: real messages, real threads, short waits."""

from threading import Thread
from time import monotonic, sleep

import numpy as np
import pytest
from ros_messages import PERSON, SCAN_NS, START_NS, cloud, detections, transforms

from gckpl_ros.config import Config
from gckpl_ros.io.live_input import REPLACED, TIME_WENT_BACK, LiveInput
from gckpl_ros.io.matching import MISSING
from gckpl_ros.io.sample import NO_DETECTIONS_OF_ITS_TIME, NO_POINTS, NOT_NEWER
from gckpl_ros.io.status import Status
from gckpl_ros.io.tf import TransformBuffer

WAIT_S = 0.08
AT_ONCE_S = 0.02


class Rig:
    """A LiveInput with what it reads and reports."""

    def __init__(self, **sections):
        sections["input"] = {"wait_s": WAIT_S, "silence_s": 0.5} | sections.get("input", {})
        self.transforms, self.status = TransformBuffer(keep_s=10.0), Status()
        self.input = LiveInput(Config.parse(sections), self.transforms, self.status)

    def take(self, timeout_s=AT_ONCE_S):
        return self.input.take(timeout_s)

    def stamps(self, timeout_s=AT_ONCE_S):
        """Scan numbers of all that can be taken now."""
        samples = iter(lambda: self.take(timeout_s), None)
        return [(sample.cloud.stamp_ns - START_NS) / SCAN_NS for sample in samples]

    @property
    def skipped(self):
        return self.status.report().skipped

    @property
    def dropped(self):
        return self.status.report().dropped


def test_a_cloud_comes_out_with_its_points_stamp_and_frame_and_without_boxes():
    rig = Rig()
    rig.input.add_cloud(cloud(3, points=[[1, 2, 3], [np.nan, 0, 0], [4, 5, 6]]))
    sample = rig.take()
    np.testing.assert_array_equal(sample.cloud.points, [[1, 2, 3], [4, 5, 6]])
    assert (sample.cloud.stamp_ns, sample.cloud.frame_id) == (START_NS + 3 * SCAN_NS, "lidar")
    assert (sample.boxes, sample.T_fixed_cloud, sample.restarted) == (None, None, False)
    assert rig.take() is None


def test_the_newest_cloud_wins_and_the_replaced_ones_are_counted():
    rig = Rig()
    for i in range(5):
        rig.input.add_cloud(cloud(i))
    assert rig.stamps() == [4]
    assert rig.skipped == {REPLACED: 4}
    assert rig.status.report().clouds == 5


def test_a_waiting_taker_is_woken_by_a_cloud():
    rig = Rig()
    Thread(target=lambda: (sleep(0.05), rig.input.add_cloud(cloud(0)))).start()
    start = monotonic()
    assert rig.take(5.0) is not None
    assert monotonic() - start < 4


@pytest.mark.parametrize("late_by", [0, 1, 9])
def test_a_cloud_that_is_not_newer_is_counted(late_by):
    rig = Rig()
    rig.input.add_cloud(cloud(20))
    rig.take()
    rig.input.add_cloud(cloud(20 - late_by))
    assert rig.take() is None
    assert rig.skipped == {NOT_NEWER: 1}


def test_when_time_jumps_back_all_that_waits_is_forgotten_and_the_sample_says_so():
    rig = Rig(track={"frame": "odom"})
    rig.transforms.add(transforms(0, "base", "lidar", 1), static=True)
    for i in (99, 101):
        rig.transforms.add(transforms(i, "odom", "base", 7), static=False)
    rig.input.add_cloud(cloud(100))
    assert rig.take().restarted is False
    rig.input.add_cloud(cloud(105))  # waits for its transform
    rig.input.add_cloud(cloud(1))
    assert rig.take() is None, "transforms from before the jump do not count"
    for i in (0, 2):
        rig.transforms.add(transforms(i, "odom", "base", 3), static=False)
    sample = rig.take()
    assert sample.restarted and sample.cloud.stamp_ns == START_NS + SCAN_NS
    np.testing.assert_allclose(sample.T_fixed_cloud[:3, 3], [4, 0, 0])
    rig.transforms.add(transforms(3, "odom", "base", 3), static=False)
    rig.input.add_cloud(cloud(2))
    assert rig.take().restarted is False
    assert rig.skipped == {TIME_WENT_BACK: 1}


def test_a_cloud_waits_for_its_transform():
    rig = Rig(track={"frame": "odom"})
    rig.transforms.add(transforms(0, "odom", "lidar", 0), static=False)
    rig.input.add_cloud(cloud(1))
    assert rig.take() is None
    rig.transforms.add(transforms(2, "odom", "lidar", 4), static=False)
    np.testing.assert_allclose(rig.take().T_fixed_cloud[:3, 3], [2, 0, 0])
    assert rig.skipped == {}


def test_without_a_transform_a_cloud_is_skipped_and_counted():
    rig = Rig(track={"frame": "odom"})
    rig.input.add_cloud(cloud(1))
    assert rig.take(3 * WAIT_S) is None
    assert rig.skipped == {"no transform from lidar to odom at its time": 1}


def test_clouds_are_brought_into_the_frame_that_is_asked_for():
    rig = Rig(input={"frame": "base_link"}, track={"frame": "odom"})
    rig.transforms.add(transforms(0, "base_link", "lidar", 2, yaw=np.pi / 2), static=True)
    rig.transforms.add(transforms(0, "odom", "base_link", 10), static=True)
    rig.input.add_cloud(cloud(0, points=[[1, 0, 0.5]]))
    sample = rig.take()
    np.testing.assert_allclose(sample.cloud.points, [[2, 1, 0.5]], atol=1e-6)
    assert sample.cloud.origin == pytest.approx((2, 0, 0)) and sample.cloud.frame_id == "base_link"
    np.testing.assert_allclose(sample.T_fixed_cloud[:3, 3], [10, 0, 0])


def test_a_cloud_waits_for_the_detections_of_its_time():
    rig = Rig()
    rig.input.add_detections(detections(0, "person"))
    rig.input.add_cloud(cloud(1))
    assert rig.take() is None
    rig.input.add_detections(detections(1.2, "person", "car"))
    sample = rig.take()
    np.testing.assert_allclose(sample.boxes.centers, [PERSON], atol=1e-6)
    assert rig.dropped == {"detection of class car": 1}


def test_an_older_cloud_with_its_detections_goes_before_a_newer_one_without():
    rig = Rig(input={"wait_s": 5.0})
    rig.input.add_detections(detections(0, "person"))
    for i in (1, 2, 3):
        rig.input.add_cloud(cloud(i))
    rig.input.add_detections(detections(2, "person"))
    assert rig.stamps() == [2]
    assert rig.skipped == {REPLACED: 1}, "only the one before it: the newer one may still get its detections"
    rig.input.add_detections(detections(3, "person"))
    assert rig.stamps() == [3]


def test_detections_that_come_too_late_mean_nobody_is_seen_and_are_counted():
    rig = Rig()
    rig.input.add_detections(detections(0, "person"))
    rig.input.add_cloud(cloud(2))
    sample = rig.take(3 * WAIT_S)
    assert sample.wait_ms >= 1e3 * WAIT_S * 0.9
    assert len(sample.boxes) == 0
    assert rig.dropped == {NO_DETECTIONS_OF_ITS_TIME: 1}


def test_when_the_detector_falls_silent_people_are_found_here_and_nothing_is_waited_for():
    rig = Rig(input={"silence_s": 0.1, "wait_s": 5.0})
    rig.input.add_detections(detections(0, "person"))
    sleep(0.15)
    rig.input.add_cloud(cloud(1))
    assert rig.take().boxes is None


def test_detections_in_another_frame_are_moved():
    rig = Rig()
    rig.transforms.add(transforms(0, "lidar", "camera", 2, yaw=np.pi / 2), static=True)
    rig.input.add_detections(detections(1, "person", frame="camera", at=(3, 0, 0)))
    rig.input.add_cloud(cloud(1))
    boxes = rig.take().boxes
    np.testing.assert_allclose(boxes.centers, [[2, 3, 0]], atol=1e-6)
    np.testing.assert_allclose(boxes.yaws, [np.pi / 2], atol=1e-6)


@pytest.mark.parametrize(("classes", "people"), [(("person",), 1), (("cyclist", "Person"), 2), (("person", ""), 3)])
def test_classes_that_are_people_can_be_named(classes, people):
    rig = Rig(input={"classes": classes})
    rig.input.add_detections(detections(0, "person", "cyclist", "car"))
    rig.input.add_cloud(cloud(0))
    assert len(rig.take().boxes) == people


def two_sensors(**options):
    rig = Rig(input={"points": ["front", "rear"], "tolerance_s": 0.03} | options)
    rig.transforms.add(transforms(0, "lidar", "rear_lidar", -3, yaw=np.pi), static=True)
    return rig


def heard_once(rig):
    """Both sensors are alive: from now on each is waited for."""
    rig.input.add_cloud(cloud(0))
    rig.input.add_cloud(cloud(0, frame="rear_lidar"), sensor=1)
    rig.stamps(2 * WAIT_S)
    return rig


def test_two_sensors_become_one_cloud_in_the_frame_of_the_first():
    rig = heard_once(two_sensors())
    rig.input.add_cloud(cloud(1.2, points=[[1, 0, 0]], frame="rear_lidar"), sensor=1)
    assert rig.take() is None
    rig.input.add_cloud(cloud(1, points=[[5, 0, 0]]))
    sample = rig.take()
    np.testing.assert_allclose(sample.cloud.points, [[5, 0, 0], [-4, 0, 0]], atol=1e-6)
    assert (sample.cloud.stamp_ns, sample.cloud.frame_id) == (START_NS + SCAN_NS, "lidar")


def test_clouds_that_are_too_far_apart_in_time_do_not_become_one():
    rig = heard_once(two_sensors())
    rig.input.add_cloud(cloud(1, points=[[5, 0, 0]]))
    rig.input.add_cloud(cloud(1.4, points=[[1, 0, 0]], frame="rear_lidar"), sensor=1)
    assert [len(sample.cloud) for sample in iter(lambda: rig.take(3 * WAIT_S), None)] == [1]
    assert rig.dropped[MISSING] >= 1


def test_a_sensor_that_is_late_is_left_out_and_one_that_is_silent_is_not_waited_for():
    rig = heard_once(two_sensors(silence_s=0.6))
    rig.input.add_cloud(cloud(1))
    assert rig.take() is None
    late = rig.take(3 * WAIT_S)
    assert late.cloud.stamp_ns == START_NS + SCAN_NS
    assert rig.dropped[MISSING] >= 1
    sleep(0.65)
    rig.input.add_cloud(cloud(5))
    assert rig.take() is not None


def test_when_the_first_sensor_is_silent_the_others_still_come_in_its_frame():
    rig = heard_once(two_sensors(silence_s=0.1))
    sleep(0.15)
    rig.input.add_cloud(cloud(5, points=[[1, 0, 0]], frame="rear_lidar"), sensor=1)
    sample = rig.take()
    np.testing.assert_allclose(sample.cloud.points, [[-4, 0, 0]], atol=1e-6)
    assert sample.cloud.frame_id == "lidar" and sample.cloud.origin == pytest.approx((-3, 0, 0))


def test_a_cloud_that_cannot_be_read_is_counted_with_its_reason():
    rig = Rig()
    broken = cloud(0)
    broken.data = broken.data[:-1]
    rig.input.add_cloud(broken)
    assert rig.take() is None
    rig.input.add_cloud(cloud(1, points=[[np.nan] * 3]))
    assert rig.take() is None
    assert rig.skipped == {
        "cloud: data has 719 bytes, but height x row_step is 1 rows x 720 = 720 bytes": 1,
        NO_POINTS: 1,
    }


def test_what_waits_is_bounded():
    rig = Rig(track={"frame": "odom"}, input={"wait_s": 5.0})
    for i in range(40):
        rig.input.add_cloud(cloud(i))
        rig.input.add_detections(detections(i, "person"))
    assert rig.take() is None
    assert rig.skipped == {REPLACED: 24}
    rig.transforms.add(transforms(0, "odom", "lidar", 0), static=True)
    assert rig.stamps() == [39]
