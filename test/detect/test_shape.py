"""Streets made of plain solids, sampled by hand: what stands where is known."""

import numpy as np
import pytest

from gckpl_ros.config import DetectConfig
from gckpl_ros.detect import NoDetector, ShapeDetector
from gckpl_ros.detect.confirmation import Confirmation
from gckpl_ros.types import Cloud

FRAME_NS = 100_000_000
SENSOR_Z = 1.5
RNG = np.random.default_rng(0)
GROUND = np.column_stack((RNG.uniform(-15, 15, (20_000, 2)), np.full(20_000, -SENSOR_Z)))


def cylinder(x, y, radius, low, high, points=150):
    """The half of a standing cylinder that faces the sensor; heights above ground."""
    angle = np.arctan2(-y, -x) + np.random.default_rng(1).uniform(-1.4, 1.4, points)
    z = np.random.default_rng(2).uniform(low, high, points)
    return np.column_stack((x + radius * np.cos(angle), y + radius * np.sin(angle), z - SENSOR_Z))


def person(x, y):
    """Legs, wider trunk, narrow head: 1.75 m tall."""
    head, trunk = cylinder(x, y, 0.1, 1.5, 1.75, 40), cylinder(x, y, 0.25, 0.75, 1.5)
    return np.concatenate((head, trunk, cylinder(x, y, 0.13, 0.05, 0.75, 80)))


def pole(x, y):
    return cylinder(x, y, 0.08, 0, 6)


def post(x, y):
    return cylinder(x, y, 0.08, 0, 1.4)


def bin_(x, y):
    return cylinder(x, y, 0.3, 0, 1.2)


def wall(y=-6.0):
    x, z = np.meshgrid(np.arange(-8, 8, 0.1), np.arange(-SENSOR_Z, 1.5, 0.2))
    return np.column_stack((x.ravel(), np.full(x.size, y), z.ravel()))


def cloud(i, *things, T_fixed_cloud=None):
    points = np.concatenate((GROUND, *things))
    if T_fixed_cloud is not None:
        points = (points - T_fixed_cloud[:3, 3]) @ T_fixed_cloud[:3, :3]
    return Cloud(points.astype(np.float32), i * FRAME_NS, "lidar")


def watch(things, frames=10, config=None):
    """Boxes of every frame; ``things`` makes the scene of frame i."""
    detector = ShapeDetector(config or DetectConfig())
    return [detector(cloud(i, *things(i))) for i in range(frames)]


THINGS = (pole(4, 4), post(6, -2), bin_(5, 2), bin_(-6, 1), wall())


def test_a_standing_person_is_found_among_things_and_boxed_from_ground_to_top():
    last = watch(lambda i: (person(5, 0), *THINGS))[-1]
    np.testing.assert_allclose(last.centers, [[5, 0, 1.75 / 2 - SENSOR_Z]], atol=0.1)
    np.testing.assert_allclose(last.sizes, [[0.8, 0.8, 1.75]], atol=0.05)


def test_whoever_stands_still_is_reported_once_looked_at_for_as_long_as_asked():
    out = watch(lambda i: (person(5, 0),), config=DetectConfig(confirm_s=0.4))
    assert [len(boxes) for boxes in out] == [0, 0, 0] + [1] * 7


@pytest.mark.parametrize("hertz", [5, 10, 20])
def test_confirmation_takes_the_same_seconds_at_any_rate(hertz):
    """The first look counts as one of 10 Hz: 0.5 s of looks end 0.4 s after it. Stamps jitter by two milliseconds."""
    seen_s = [i / hertz + 0.002 * (i % 2) for i in range(hertz)]
    confirmation, here, human = Confirmation(DetectConfig(confirm_s=0.5)), np.array([[5.0, 0.0]]), np.array([True])
    confirmed = [bool(confirmation(here, human, 10**9 + round(t * 1e9))[0]) for t in seen_s]
    assert seen_s[confirmed.index(True)] == pytest.approx(0.4, abs=0.003) and all(confirmed[confirmed.index(True) :])


@pytest.mark.parametrize("hertz", [5, 10, 20])
def test_runners_are_followed_at_any_rate_and_others_are_not_taken_for_them(hertz):
    """At 3 m/s; who is two metres away in the next cloud is somebody else."""
    confirmation = Confirmation(DetectConfig(confirm_s=10, confirm_travel_m=0.5))
    human, speed = np.array([False]), 3.0
    runs = [confirmation(np.array([[5, speed * i / hertz]]), human, 10**9 + round(i * 1e9 / hertz)) for i in range(9)]
    assert bool(runs[-1][0])
    jumps = Confirmation(DetectConfig(confirm_s=10, confirm_travel_m=0.5))
    assert not any(jumps(np.array([[5, 2.0 * i]]), human, 10**9 + round(i * 1e9 / hertz))[0] for i in range(9))


def test_travel_confirms_before_looks_do():
    config = DetectConfig(confirm_s=10.0, confirm_travel_m=0.5)
    out = watch(lambda i: (person(5, -1 + 0.14 * i), *THINGS), config=config)
    assert [len(boxes) for boxes in out] == [0, 0, 0, 0, 1, 1, 1, 1, 1, 1]  # 0.56 m after four steps
    np.testing.assert_allclose(out[-1].centers[0, :2], [5, 0.26], atol=0.1)


def test_once_confirmed_a_person_who_stops_stays_confirmed():
    config = DetectConfig(confirm_s=10.0, confirm_travel_m=0.5)
    out = watch(lambda i: (person(5, 0.14 * min(i, 5)),), frames=20, config=config)
    assert len(out[-1]) == 1


def test_without_confirmation_everything_of_a_persons_size_is_reported_at_once():
    out = watch(lambda i: (person(5, 0), bin_(5, 4), pole(4, -4)), frames=1, config=DetectConfig(confirm_travel_m=0))
    assert sorted(out[0].centers[:, 1].round()) == [0, 4]


def test_things_do_not_travel_when_the_sensor_does():
    detector = ShapeDetector(DetectConfig(confirm_s=10))
    for i in range(15):
        T = np.eye(4)
        T[:2, 3] = [0.2 * i, 0.05 * i]
        boxes = detector(cloud(i, bin_(5, 2), post(6, -2), T_fixed_cloud=T), T)
        assert len(boxes) == 0


def test_a_walker_is_found_from_a_moving_sensor_where_he_is():
    detector = ShapeDetector(DetectConfig())
    for i in range(15):
        T = np.eye(4)
        T[0, 3] = 0.2 * i
        boxes = detector(cloud(i, person(8, -1 + 0.14 * i), *THINGS, T_fixed_cloud=T), T)
    np.testing.assert_allclose(boxes.centers[:, :2] + T[:2, 3], [[8, 0.96]], atol=0.1)


def test_two_people_half_a_metre_from_shoulder_to_shoulder():
    last = watch(lambda i: (person(5, -0.5), person(5, 0.5)))[-1]
    np.testing.assert_allclose(np.sort(last.centers[:, 1]), [-0.5, 0.5], atol=0.1)


def test_nobody_beyond_the_range():
    last = watch(lambda i: (person(5, 0), person(12, 0)), config=DetectConfig(max_range_m=9))[-1]
    np.testing.assert_allclose(last.centers[:, 0], [5], atol=0.1)


def test_a_gap_in_time_and_a_reset_forget_what_was_seen():
    detector = ShapeDetector(DetectConfig(confirm_s=0.3))
    seen = [len(detector(cloud(i, person(5, 0)))) for i in (0, 1, 2, 20, 21, 22, 3)]
    assert seen == [0, 0, 1, 0, 0, 1, 0]
    detector.reset()
    assert len(detector(cloud(4, person(5, 0)))) == 0


@pytest.mark.parametrize("points", [np.zeros((0, 3)), np.zeros((1, 3)), np.full((3, 3), 90.0), GROUND])
def test_clouds_without_anybody(points):
    assert len(ShapeDetector(DetectConfig())(Cloud(points.astype(np.float32), 0, "lidar"))) == 0


def test_without_a_detector_nobody_is_found():
    detector = NoDetector()
    detector.reset()
    assert len(detector(cloud(0, person(5, 0)), np.eye(4))) == 0
