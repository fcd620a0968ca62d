"""What a live cloud waits for and goes with: transforms, detections, clouds of other sensors; tests move the clock."""

import numpy as np
import pytest
from live_rig import MOMENT_S, SILENCE_S, WAIT_S, Rig
from ros_messages import PERSON, SCAN_NS, START_NS, cloud, detections, header, transforms

from gckpl_ros.reasons import (
    LATE_DETECTIONS,
    MISSING,
    NO_TRANSFORM,
    NO_TRANSFORM_OF_ITS_OWN,
    OTHER_CLASS,
    REPLACED,
)


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
    rig.wait(WAIT_S - MOMENT_S)
    assert rig.take() is None and rig.skipped == {}
    rig.wait(MOMENT_S)
    assert rig.take() is None
    assert rig.skipped == {NO_TRANSFORM: 1}
    assert rig.status.report().examples[NO_TRANSFORM].startswith("from lidar to odom: ")


def test_with_odometry_a_cloud_goes_at_once_unless_wheels_tell():
    rig = Rig(track={"frame": "odometry"})
    rig.input.add_cloud(cloud(0))
    assert rig.take().T_fixed_cloud is None
    rig.transforms.add(transforms(0, "odom", "lidar", 0), static=False)
    rig.transforms.add(transforms(2, "odom", "lidar", 4), static=False)
    rig.input.add_cloud(cloud(1))
    np.testing.assert_allclose(rig.take().T_fixed_cloud[:3, 3], [2, 0, 0])
    rig.input.add_cloud(cloud(3))
    assert rig.take() is None  # from now on they are waited for
    rig.transforms.add(transforms(4, "odom", "lidar", 8), static=False)
    np.testing.assert_allclose(rig.take().T_fixed_cloud[:3, 3], [6, 0, 0])


def test_odometry_that_is_published_does_not_believe_itself():
    rig = Rig(track={"frame": "odometry"}, output={"odometry_frame": True})
    rig.transforms.add(transforms(0, "odom", "lidar", 0), static=True)
    rig.input.add_cloud(cloud(0))
    assert rig.take().T_fixed_cloud is None


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
    assert rig.dropped == {OTHER_CLASS: 1}


def test_detections_that_come_too_late_mean_nobody_is_seen_and_are_counted():
    rig = Rig()
    rig.input.add_detections(detections(0, "person"))
    rig.input.add_cloud(cloud(2))
    rig.wait(WAIT_S - MOMENT_S)
    assert rig.take() is None
    rig.wait(MOMENT_S)
    sample = rig.take()
    assert sample.wait_ms == 1e3 * WAIT_S
    assert len(sample.boxes) == 0
    assert rig.dropped == {LATE_DETECTIONS: 1}


def test_when_the_detector_falls_silent_people_are_found_here_and_nothing_is_waited_for():
    rig = Rig()
    rig.input.add_detections(detections(0, "person"))
    rig.wait(SILENCE_S)
    rig.input.add_cloud(cloud(1))
    assert rig.take() is None
    rig.wait(MOMENT_S)
    assert rig.take().boxes is None


def test_detections_in_another_frame_are_moved():
    rig = Rig()
    rig.transforms.add(transforms(0, "lidar", "camera", 2, yaw=np.pi / 2), static=True)
    rig.input.add_detections(detections(1, "person", frame="camera", at=(3, 0, 0)))
    rig.input.add_cloud(cloud(1))
    boxes = rig.take().boxes
    np.testing.assert_allclose(boxes.centers, [[2, 3, 0]], atol=1e-6)
    np.testing.assert_allclose(boxes.yaws, [np.pi / 2], atol=1e-6)


def from_two_detectors(*frames):
    """A box in each frame, at the same numbers."""
    found = detections(1, *["person"] * len(frames), at=(3, 0, 0))
    for detection, frame in zip(found.detections, frames, strict=True):
        detection.header = header(1, frame)
    return found


def test_a_detection_is_in_the_frame_of_its_own_header():
    rig = Rig()
    rig.transforms.add(transforms(0, "lidar", "camera", 2, yaw=np.pi / 2), static=True)
    rig.input.add_detections(from_two_detectors("camera", "lidar", "", "camera"))
    rig.input.add_cloud(cloud(1))
    boxes = rig.take().boxes
    np.testing.assert_allclose(boxes.centers, [[2, 3, 0], [3, 0, 0], [3, 0, 0], [2, 3, 0]], atol=1e-6)
    np.testing.assert_allclose(boxes.yaws, [np.pi / 2, 0, 0, np.pi / 2], atol=1e-6)


def test_a_frame_of_its_own_without_a_transform_loses_that_detection_only():
    rig = Rig()
    rig.input.add_detections(from_two_detectors("nowhere", "lidar"))
    rig.input.add_cloud(cloud(1))
    assert rig.take() is None, "it may still come"
    rig.wait(WAIT_S)
    np.testing.assert_allclose(rig.take().boxes.centers, [[3, 0, 0]], atol=1e-6)
    assert rig.dropped == {NO_TRANSFORM_OF_ITS_OWN: 1} and rig.skipped == {}
    assert rig.status.report().examples[NO_TRANSFORM_OF_ITS_OWN] == "nowhere"


def test_hundreds_of_unknown_frames_cost_little():
    rig = Rig()
    rig.input.add_detections(from_two_detectors("lidar", *(f"frame{i}" for i in range(2000))))
    rig.input.add_cloud(cloud(1))
    rig.wait(WAIT_S)
    assert len(rig.take().boxes) == 1 and rig.dropped == {NO_TRANSFORM_OF_ITS_OWN: 2000}


def two_sensors():
    rig = Rig(input={"points": ["front", "rear"], "tolerance_s": 0.03})
    rig.transforms.add(transforms(0, "lidar", "rear_lidar", -3, yaw=np.pi), static=True)
    return rig


def heard_once(rig):
    """Both sensors are alive: from now on each is waited for."""
    rig.input.add_cloud(cloud(0))
    rig.input.add_cloud(cloud(0, frame="rear_lidar"), sensor=1)
    assert rig.stamps() == [0]
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
    assert rig.take() is None
    rig.wait(WAIT_S)
    samples = list(iter(rig.take, None))
    assert [(len(sample.cloud), sample.cloud.stamp_ns) for sample in samples] == [(1, START_NS + 1.4 * SCAN_NS)]
    assert rig.dropped == {MISSING: 1} and rig.skipped == {REPLACED: 1}


def test_a_sensor_that_is_late_is_left_out_and_one_that_is_silent_is_not_waited_for():
    rig = heard_once(two_sensors())
    rig.input.add_cloud(cloud(1))
    rig.wait(WAIT_S - MOMENT_S)
    assert rig.take() is None
    rig.wait(MOMENT_S)
    assert rig.take().cloud.stamp_ns == START_NS + SCAN_NS
    assert rig.dropped == {MISSING: 1}
    rig.wait(SILENCE_S - WAIT_S)
    rig.input.add_cloud(cloud(5))
    assert rig.take() is None
    rig.wait(MOMENT_S)
    assert rig.take() is not None
    assert rig.dropped == {MISSING: 1}


def test_when_the_first_sensor_is_silent_the_others_still_come_in_its_frame():
    rig = heard_once(two_sensors())
    rig.wait(SILENCE_S + MOMENT_S)
    rig.input.add_cloud(cloud(5, points=[[1, 0, 0]], frame="rear_lidar"), sensor=1)
    sample = rig.take()
    np.testing.assert_allclose(sample.cloud.points, [[-4, 0, 0]], atol=1e-6)
    assert sample.cloud.frame_id == "lidar" and sample.cloud.origin == pytest.approx((-3, 0, 0))


def test_a_cloud_in_a_strange_frame_does_not_take_the_others_with_it():
    rig = Rig(input={"points": ["only"]})
    rig.input.add_cloud(cloud(1, points=[[5, 0, 0]]))
    rig.input.add_cloud(cloud(0, frame="strange"))
    assert rig.take().cloud.frame_id == "lidar"
