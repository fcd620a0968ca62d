from time import thread_time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gckpl_ros.config import CropConfig
from gckpl_ros.people.crop import crop
from gckpl_ros.types import Boxes, Cloud

LOOSE = CropConfig(margin_m=0.15, min_points=1, max_points=1024)


def boxes(centers, sizes, yaws):
    c = np.array(centers, np.float32).reshape(-1, 3)
    return Boxes(c, np.array(sizes, np.float32).reshape(-1, 3), np.array(yaws, np.float32), np.ones(len(c), np.float32))


def cloud(points, origin=(0.0, 0.0, 0.0)):
    return Cloud(np.array(points, np.float32).reshape(-1, 3), 0, "lidar", origin)


def random_scene(seed, people=8, points=4000, spread=6.0):
    rng = np.random.default_rng(seed)
    centers = rng.uniform(-spread, spread, (people, 3)) * [1, 1, 0.2]
    sizes = rng.uniform(0.4, 2.0, (people, 3))
    return rng.uniform(-spread, spread, (points, 3)) * [1, 1, 0.3], centers, sizes, rng.uniform(-4, 4, people)


def points_by_hand(points, center, size, yaw, margin):
    """One point at a time, in the box's own axes as complex numbers."""
    inside = []
    for i, (x, y, z) in enumerate(points):
        flat = complex(x - center[0], y - center[1]) * np.exp(-1j * yaw)
        offsets = np.array([abs(flat.real), abs(flat.imag), abs(z - center[2])])
        if (offsets <= np.array(size) / 2 + margin).all():
            inside.append(i)
    return inside


def test_every_crop_holds_exactly_the_points_of_its_turned_and_enlarged_box():
    points, centers, sizes, yaws = random_scene(0)
    crops, kept, dropped = crop(cloud(points), boxes(centers, sizes, yaws), LOOSE)
    assert list(kept) == list(range(8)) and dropped == {}
    for i in range(8):
        expected = points_by_hand(points, centers[i], sizes[i], yaws[i], 0.15)
        assert crops.index[i][crops.mask[i]].tolist() == expected
        assert crops.counts[i] == len(expected) > 0


def test_a_long_box_turned_by_45_degrees():
    """A box of 4 x 0.4 m along the diagonal holds (1.2, 1.2) but neither (1.2, -1.2) nor (1.9, 0)."""
    ring = [[1.2, 1.2, 0], [1.2, -1.2, 0], [1.9, 0, 0], [-1.2, -1.2, 0]]
    crops, _, _ = crop(cloud(ring), boxes([0, 0, 0], [4, 0.4, 1], [np.pi / 4]), CropConfig(margin_m=0, min_points=1))
    assert crops.index[0].tolist() == [0, 3]


def test_the_batch_is_padded_and_relative_to_the_box_centres():
    points = [[5, 0, 0], [5.1, 0, 0.2], [9, 1, 0]]
    crops, _, _ = crop(
        cloud(points, origin=(1.0, 2.0, 3.0)), boxes([[5, 0, 0], [9, 1, 0.5]], [[1, 1, 2]] * 2, [0, 0]), LOOSE
    )
    np.testing.assert_array_equal(crops.mask, [[True, True], [True, False]])
    np.testing.assert_array_equal(crops.index, [[0, 1], [2, -1]])
    np.testing.assert_allclose(crops.points[0], [[0, 0, 0], [0.1, 0, 0.2]], atol=1e-6)
    np.testing.assert_allclose(crops.points[1], [[0, 0, -0.5], [0, 0, 0]])
    np.testing.assert_allclose(crops.origins, [[5, 0, 0], [9, 1, 0.5]])
    np.testing.assert_allclose(crops.views, [[4, -2, -3], [8, -1, -2.5]])


def test_a_point_may_belong_to_two_people():
    crops, _, _ = crop(cloud([[0, 0, 0]]), boxes([[0.3, 0, 0], [-0.3, 0, 0]], [[1, 1, 1]] * 2, [0, 0]), LOOSE)
    np.testing.assert_array_equal(crops.index, [[0], [0]])


def test_too_many_points_are_thinned_evenly_and_counted_before():
    line = np.column_stack((np.linspace(-0.5, 0.5, 1000), np.zeros(1000), np.zeros(1000)))
    crops, _, _ = crop(cloud(line), boxes([0, 0, 0], [1, 1, 1], [0]), CropConfig(max_points=100))
    assert crops.points.shape == (1, 100, 3)
    assert crops.counts[0] == 1000
    places = crops.points[0, :, 0].numpy()
    per_cell = np.histogram(places, bins=np.arange(-0.5, 0.51, 0.1))[0]
    # 17 cells of 6 cm hold 5 or 6 points each; the two at the ends are shorter, so the line is denser there
    assert per_cell.min() >= 8 and per_cell.max() <= 14
    assert (np.diff(crops.index[0].numpy()) > 0).all()


def test_people_with_few_points_and_broken_boxes_are_dropped_and_counted():
    points = np.concatenate((np.zeros((8, 3)), np.full((7, 3), 5.0)))
    sizes = [[1, 1, 1], [1, 1, 1], [1, -1, 1], [0, 1, 1], [1, 1, 1], [1, 1, np.inf]]
    centers = [[0, 0, 0], [5, 5, 5], [0, 0, 0], [0, 0, 0], [np.nan, 0, 0], [0, 0, 0]]
    crops, kept, dropped = crop(cloud(points), boxes(centers, sizes, [0] * 6), CropConfig(min_points=8))
    assert list(kept) == [0] and len(crops) == 1
    assert dropped == {"bad_box": 4, "few_points": 1}


@pytest.mark.parametrize("points", [np.zeros((0, 3)), np.zeros((3, 3))])
def test_no_boxes_and_no_points(points):
    crops, kept, dropped = crop(cloud(points), Boxes.empty(), LOOSE)
    assert crops.points.shape == (0, 0, 3) and len(kept) == 0 and dropped == {}
    crops, kept, dropped = crop(cloud(points), boxes([100, 100, 0], [1, 1, 1], [0]), LOOSE)
    assert crops.points.shape == (0, 0, 3) and dropped == {"few_points": 1}


def test_boxes_far_beyond_the_coarse_grid_and_larger_than_it():
    far = np.array([[70_000.0, -3, 0], [0, 0, 0]])
    crops, _, _ = crop(cloud(far), boxes([[70_000, -3, 0], [0, 0, 0]], [[1, 1, 1], [2000, 2000, 9]], [0, 1]), LOOSE)
    np.testing.assert_array_equal(crops.counts, [1, 1])
    np.testing.assert_array_equal(crops.index[:, 0], [0, 1])


@settings(max_examples=25)
@given(st.integers(0, 1000), st.floats(-3, 3), st.floats(-50, 50), st.floats(-50, 50))
def test_crops_turn_and_move_with_the_scene(seed, yaw, dx, dy):
    points, centers, sizes, yaws = random_scene(seed, people=3, points=500, spread=3.0)
    turn = np.array([[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
    here, _, _ = crop(cloud(points), boxes(centers, sizes, yaws), LOOSE)
    move = [dx, dy, 1.0]
    there, _, _ = crop(cloud(points @ turn.T + move), boxes(centers @ turn.T + move, sizes, yaws + yaw), LOOSE)
    assert np.abs((here.counts - there.counts).numpy()).max(initial=0) <= 1  # a point on a face may fall to either side
    if np.array_equal(here.index, there.index):
        np.testing.assert_allclose(here.points.numpy() @ turn.T.astype(np.float32), there.points, atol=1e-4)


def test_points_are_counted_before_the_nearest_are_taken():
    """3000 empty boxes are nearer than the people, and nobody is lost."""
    rng = np.random.default_rng(0)
    bodies = np.array([[12.0, 3 * i, 0] for i in range(10)])
    points = np.concatenate([body + rng.uniform(-0.2, 0.2, (40, 3)) for body in bodies])
    empty = rng.uniform([-10, -10, 2], [10, 10, 5], (3000, 3))
    places = rng.permutation(3010)
    given = boxes(np.concatenate((bodies, empty))[places], [[0.6, 0.6, 1.8]] * 3010, [0] * 3010)
    _, kept, dropped = crop(cloud(points), given, CropConfig(min_points=8), most=64)
    assert sorted(places[kept]) == list(range(10)) and list(kept) == sorted(kept)
    assert dropped == {"few_points": 3000}
    _, kept, dropped = crop(cloud(points), given, CropConfig(min_points=8), most=4)
    assert sorted(places[kept]) == [0, 1, 2, 3], "the nearest"
    assert dropped["too_many"] >= 1 and sum(dropped.values()) == 3006


def test_a_limit_that_is_not_reached_changes_nothing():
    points, centers, sizes, yaws = random_scene(1, people=20)
    given = boxes(centers, sizes, yaws)
    every, kept, dropped = crop(cloud(points), given, LOOSE)
    for most in (20, 21):
        again, same, also = crop(cloud(points), given, LOOSE, most=most)
        np.testing.assert_array_equal(every.index, again.index)
        assert same.tolist() == kept.tolist() and also == dropped
    nearest = np.sort(np.argsort(np.linalg.norm(given.centers[kept], axis=1), kind="stable")[:7])
    fewer, chosen, _ = crop(cloud(points), given, LOOSE, most=7)
    assert chosen.tolist() == kept[nearest].tolist()
    np.testing.assert_array_equal(fewer.counts, every.counts[nearest])


@pytest.mark.parametrize("side", [0.6, 10.0])
def test_nine_thousand_random_boxes_are_no_way_to_stop_it(side):
    rng = np.random.default_rng(0)
    points = rng.uniform(-60, 60, (120_000, 3)) * [1, 1, 0.02]
    centers = rng.uniform([-100, -100, -2], [100, 100, 3], (9000, 3))
    given = boxes(centers, np.full((9000, 3), side), rng.uniform(-3, 3, 9000))
    start = thread_time()
    _, kept, dropped = crop(cloud(points), given, CropConfig(), most=64)
    assert thread_time() - start < 1.0
    assert len(kept) <= 64 and sum(dropped.values()) == 9000 - len(kept)
