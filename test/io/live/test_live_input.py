"""Which live clouds come out, what is dropped and counted: real messages, and a clock that tests move."""

from threading import Timer
from time import monotonic

import numpy as np
import pytest
from live_rig import SILENCE_S, WAIT_S, Rig
from ros_messages import SCAN_NS, START_NS, cloud, detections, transforms

from gckpl_ros.reasons import BAD_CLOUD, NO_POINTS, NOT_NEWER, REPLACED, TIME_WENT_BACK

PATIENCE_S = 60.0


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
    rig = Rig(monotonic)
    adder = Timer(0.05, rig.input.add_cloud, [cloud(0)])
    adder.start()
    start_s = monotonic()
    assert rig.input.take(PATIENCE_S) is not None
    assert monotonic() - start_s < PATIENCE_S
    adder.join()


def test_a_waiting_taker_gets_a_cloud_as_soon_as_it_need_not_wait_any_more():
    rig = Rig(monotonic, input={"silence_s": PATIENCE_S})
    rig.input.add_detections(detections(0, "person"))
    rig.input.add_cloud(cloud(2))
    start_s = monotonic()
    assert rig.input.take(PATIENCE_S).wait_ms >= 1e3 * WAIT_S
    assert monotonic() - start_s < PATIENCE_S


def test_a_taker_waits_in_vain_for_as_long_as_it_wants():
    start_s = monotonic()
    assert Rig(monotonic).input.take(WAIT_S) is None
    assert monotonic() - start_s >= WAIT_S


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


def test_an_older_cloud_with_its_detections_goes_before_a_newer_one_without():
    rig = Rig()
    rig.input.add_detections(detections(0, "person"))
    for i in (1, 2, 3):
        rig.input.add_cloud(cloud(i))
    rig.input.add_detections(detections(2, "person"))
    assert rig.stamps() == [2]
    assert rig.skipped == {REPLACED: 1}, "only the one before it: the newer one may still get its detections"
    rig.input.add_detections(detections(3, "person"))
    assert rig.stamps() == [3]


def test_a_detector_that_appears_is_waited_for_before_it_has_said_anything():
    rig, detectors = Rig(), []
    rig.input.expect_detections(lambda: len(detectors))
    rig.input.add_cloud(cloud(0))
    assert rig.take().boxes is None, "nobody is there: people are found here"
    detectors.append("slow to start")
    rig.input.add_cloud(cloud(1))
    assert rig.take() is None
    rig.input.add_detections(detections(1, "person"))
    assert len(rig.take().boxes) == 1
    rig.input.clear()
    rig.input.add_cloud(cloud(2))
    assert rig.take() is None, "there from the beginning, but silent until now"
    rig.wait(WAIT_S)
    assert len(rig.take().boxes) == 0
    rig.wait(SILENCE_S)
    rig.input.add_cloud(cloud(9))
    assert rig.take().boxes is None, "it is there and says nothing"


@pytest.mark.parametrize(("classes", "people"), [(("person",), 1), (("cyclist", "Person"), 2), (("person", ""), 3)])
def test_classes_that_are_people_can_be_named(classes, people):
    rig = Rig(input={"classes": classes})
    rig.input.add_detections(detections(0, "person", "cyclist", "car"))
    rig.input.add_cloud(cloud(0))
    assert len(rig.take().boxes) == people


def test_a_cloud_that_cannot_be_read_is_counted_with_its_reason():
    rig = Rig()
    broken = cloud(0)
    broken.data = broken.data[:-1]
    rig.input.add_cloud(broken)
    assert rig.take() is None
    rig.input.add_cloud(cloud(1, points=[[np.nan] * 3]))
    assert rig.take() is None
    assert rig.skipped == {
        BAD_CLOUD: 1,
        NO_POINTS: 1,
    }
    said = rig.status.report().examples[BAD_CLOUD]
    assert said == "cloud: data has 719 bytes, but height x row_step is 1 rows x 720 = 720 bytes"


def test_what_waits_is_bounded():
    rig = Rig(track={"frame": "odom"})
    for i in range(40):
        rig.input.add_cloud(cloud(i))
        rig.input.add_detections(detections(i, "person"))
    assert rig.take() is None
    assert rig.skipped == {REPLACED: 24}
    rig.transforms.add(transforms(0, "odom", "lidar", 0), static=True)
    assert rig.stamps() == [39]
