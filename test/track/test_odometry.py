"""A drive through a hall of boxes, whose every pose is known: odometry finds it from the clouds alone."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from gckpl_ros.errors import InputError
from gckpl_ros.geometry import transformed
from gckpl_ros.track.odometry import Odometry, deskewed, motion, twist
from gckpl_ros.types import Boxes, Cloud, Sample

PERIOD_S = 0.1
TWIST = np.array([0.0, 0.0, 0.4, 2.0, 0.1, 0.0])  # rad/s, m/s
# Floor, walls and boxes as (centre, half size) of rectangles, m.
RECTANGLES = [((5, 0, -1.5), (15, 10, 0)), ((5, 10, 1), (15, 0, 2.5)), ((5, -10, 1), (15, 0, 2.5))]
RECTANGLES += [((-10, 0, 1), (0, 10, 2.5)), ((20, 0, 1), (0, 10, 2.5))]
for x, y in ((4, 5), (9, -4), (13, 4), (-4, -5), (15, -7)):
    RECTANGLES += [((x - 1, y, -0.5), (0, 1, 1)), ((x + 1, y, -0.5), (0, 1, 1))]
    RECTANGLES += [((x, y - 1, -0.5), (1, 0, 1)), ((x, y + 1, -0.5), (1, 0, 1))]


def hall(rng, points=12_000):
    areas = np.array([np.prod([2 * h for h in half if h]) for _, half in RECTANGLES])
    chosen = rng.choice(len(RECTANGLES), points, p=areas / areas.sum())
    centers, halves = (np.array(values, float)[chosen] for values in zip(*RECTANGLES, strict=True))
    return centers + halves * rng.uniform(-1, 1, (points, 3))


def drive(frames, timed=False, seed=0):
    """Samples and true poses at their stamps; ``timed``: the sweep takes a tenth of a second and its points tell."""
    rng = np.random.default_rng(seed)
    for i in range(frames):
        world = hall(rng)
        times = rng.uniform(0, PERIOD_S, len(world)) if timed else np.zeros(len(world))
        points = np.empty_like(world)
        for step in range(50):  # the sensor's pose in steps of 2 ms
            rows = (times * 500).astype(int) == step
            T = pose(i * PERIOD_S + (step + 0.5 * timed) / 500)
            points[rows] = transformed(np.linalg.inv(T), world[rows])
        points += rng.normal(0, 0.01, points.shape)
        at = times.astype(np.float32) if timed else None
        yield (
            Sample(Cloud(points.astype(np.float32), 10**9 + round(i * PERIOD_S * 1e9), "lidar", times_s=at)),
            pose(i * PERIOD_S),
        )


def pose(time_s):
    return np.linalg.matrix_power(motion(TWIST, time_s / 64), 64)


def test_a_twist_is_what_its_motion_was():
    np.testing.assert_allclose(twist(motion(TWIST, 0.1), 0.1), TWIST, atol=2e-3)
    T = motion(np.array([0, 0, np.pi / 2, 0, 0, 0]), 1.0)
    np.testing.assert_allclose(Rotation.from_matrix(T[:3, :3]).as_euler("xyz"), [0, 0, np.pi / 2], atol=1e-12)


def test_points_of_a_moving_sweep_come_where_they_were_at_the_stamp():
    *_, (sample, T) = drive(3, timed=True)
    still = deskewed(sample.cloud, TWIST)
    placed, raw = (transformed(T, each.points.astype(np.float64)) for each in (still, sample.cloud))
    wall = (np.abs(placed[:, 1]) > 9) & (placed[:, 2] > -1.3) & (np.abs(placed[:, 0] - 5) < 14)
    assert np.std(np.abs(placed[wall, 1])) < 0.015 < 0.04 < np.std(np.abs(raw[wall, 1]))
    assert still.times_s is None


@pytest.mark.parametrize("timed", [False, True])
def test_a_drive_of_five_metres_is_known_to_centimetres(timed):
    pytest.importorskip("kiss_icp")
    odometry, pairs = Odometry(), []
    for sample, T in drive(27, timed):
        pairs.append((odometry(sample).T_fixed_cloud, T))
    # the very first sweep is as skewed as it is: nobody knows yet how the sensor moves
    (found, true), (found_last, true_last) = pairs[4], pairs[-1]
    T = np.linalg.inv(true) @ true_last
    error = np.linalg.inv(T) @ np.linalg.inv(found) @ found_last
    assert np.linalg.norm(T[:3, 3]) > 4
    assert np.linalg.norm(error[:3, 3]) < 0.05
    assert np.linalg.norm(Rotation.from_matrix(error[:3, :3]).as_rotvec()) < np.radians(0.5)


def test_clouds_may_be_missing_and_reset_begins_anew():
    pytest.importorskip("kiss_icp")
    odometry = Odometry()
    samples = list(drive(16))
    for i in (0, 1, 2, 3, 4, 5, 9, 10, 14, 15):
        found = odometry(samples[i][0])
    error = np.linalg.inv(samples[15][1]) @ found.T_fixed_cloud
    assert np.linalg.norm(error[:3, 3]) < 0.05
    odometry.reset()
    np.testing.assert_array_equal(odometry(samples[15][0]).T_fixed_cloud, np.eye(4))


def test_whoever_knows_the_pose_is_believed_and_given_boxes_keep_their_cloud():
    pytest.importorskip("kiss_icp")
    odometry, samples = Odometry(), [sample for sample, _ in drive(3, timed=True)]
    known = Sample(samples[0].cloud, None, np.eye(4))
    assert odometry(known) is known
    for sample in samples:
        given = odometry(Sample(sample.cloud, Boxes.empty()))
        assert given.cloud is sample.cloud and given.T_fixed_cloud is not None


def test_without_kiss_icp_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "kiss_icp.kiss_icp", None)
    with pytest.raises(InputError, match=r"pip install 'gckpl_ros\[odometry\]'"):
        Odometry()
