"""Pillars against counts by hand, and the search for points against one by brute force."""

import numpy as np

from gckpl_ros.detect.pillars import CELL_M, LOWEST_M, SLICE_M, SLICES, around, pillars

RNG = np.random.default_rng(3)


def seen(points, ground=-1.5):
    xyz = np.asarray(points, np.float32).T
    return pillars(np.ascontiguousarray(xyz), xyz[2] - np.float32(ground), 25.0)


def test_a_pillar_counts_returns_by_height_and_knows_the_ground_below():
    heights = [0.05, LOWEST_M + 0.01, LOWEST_M + 0.02, LOWEST_M + 3.5 * SLICE_M]
    out = seen([[5.05, 2.05, height - 1.5] for height in heights])
    assert len(out) == 1 and len(out.points) == 3
    np.testing.assert_allclose(out.centers, [[5.1, 2.1]], atol=1e-5)
    np.testing.assert_allclose(out.grounds, [-1.5], atol=1e-5)
    levels = np.zeros(SLICES)
    levels[[0, 3]] = 2, 1
    np.testing.assert_allclose(np.expm1(2 * out.features[0, :SLICES]), levels, atol=1e-5)
    np.testing.assert_allclose(np.expm1(2 * out.features[0, SLICES]), 1, atol=1e-5)  # one on the ground
    np.testing.assert_allclose(np.expm1(4 * out.features[0, SLICES + 1]), 3, atol=1e-4)
    np.testing.assert_allclose(out.features[0, SLICES + 4 : SLICES + 6], [heights[3], heights[1]], atol=1e-5)
    np.testing.assert_allclose(out.features[0, -2:], np.array([5.1, 2.1]) / np.hypot(5.1, 2.1), atol=1e-5)


def test_ground_alone_and_nothing_at_all_make_no_pillars():
    assert len(seen([[5, 2, -1.5], [6, 2, -1.45]])) == 0
    empty = seen(np.zeros((0, 3)))
    assert len(empty) == 0 and empty.ground(np.zeros((0, 2), np.float32)).shape == (0,)


def test_neighbours_are_the_cells_beside():
    out = seen([[5.1, 2.1, 0], [5.1 + 2 * CELL_M, 2.1, 0], [5.1, 2.1 - 2 * CELL_M, 0], [5.1, 2.1 + CELL_M, 0]])
    first = int(np.square(out.centers - [5.1, 2.1]).sum(1).argmin())
    beside = out.beside(2)[first].reshape(3, 3)  # along x, then y
    there = beside < len(out)
    assert there.tolist() == [[False, False, False], [True, True, False], [False, True, False]]
    np.testing.assert_allclose(out.centers[beside[there]], [[5.1, 1.7], [5.1, 2.1], [5.5, 2.1]], atol=1e-5)


def test_points_around_places_are_those_of_a_search_through_all():
    points = np.column_stack([RNG.uniform(-20, 20, (3000, 2)), RNG.uniform(-1.3, 0.5, 3000)])
    out, places = seen(points), RNG.uniform(-18, 18, (40, 2)).astype(np.float32)
    rows, counts = around(out, places, 1.1, 400)
    for place, row, count in zip(places, rows, counts, strict=True):
        truth = np.flatnonzero(np.square(out.points[:, :2] - place).sum(1) <= 1.1**2)
        assert set(row) == set(truth) and count == len(truth) > 0


def test_of_too_many_points_around_a_place_some_are_taken_evenly_and_none_twice():
    out = seen(np.column_stack([RNG.uniform(4, 5, (500, 2)), RNG.uniform(-1, 0, 500)]))
    rows, counts = around(out, np.array([[4.5, 4.5], [-9, 0]], np.float32), 2.0, 64)
    assert counts.tolist() == [500, 0] and not rows[1].any()
    taken = np.sort(rows[0])
    assert len(set(taken)) == 64 and np.diff(taken).max() <= 9
    few, about = around(out, np.array([[4.5, 4.5]], np.float32), 2.0, 8)
    assert len(set(few[0])) == 8 and abs(about[0] - 500) < 50


def test_the_ground_of_a_place_is_that_under_the_nearest_pillar():
    slope = np.array([[x, 0.0, -1.5 + 0.1 * x + 1.0] for x in (3.1, 9.1)], np.float32)
    out = pillars(np.ascontiguousarray(slope.T), np.ones(2, np.float32), 25.0)
    np.testing.assert_allclose(out.ground(np.array([[3.4, 0.2], [8.0, 0]], np.float32)), [-1.19, -0.59], atol=1e-4)


def test_what_the_network_is_told_does_not_depend_on_how_far_it_looks():
    points = np.column_stack([RNG.uniform(-20, 20, (500, 2)), RNG.uniform(-1.3, 0.5, 500)]).astype(np.float32).T
    near, far = (pillars(points, points[2] + np.float32(1.5), range_m) for range_m in (30.0, 60.0))
    np.testing.assert_allclose(near.features, far.features, atol=1e-4)
    np.testing.assert_allclose(near.centers, far.centers, atol=1e-5)
