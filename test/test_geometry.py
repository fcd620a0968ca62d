"""Transforms, turns and boxes against scipy's rotations and values by hand, with numpy and torch alike."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from gckpl_ros import geometry
from gckpl_ros.geometry import (
    bearing,
    facing,
    heading,
    in_box,
    most_points_in_boxes,
    points_in_boxes,
    quaternion_z,
    rotation,
    rotation_z,
    transformed,
    transformed_boxes,
    turned,
)
from gckpl_ros.types import Boxes

seeds, angles = st.integers(0, 10_000), st.floats(-np.pi, np.pi)
KINDS = (np.asarray, torch.from_numpy)


def pose(seed, upright=False):
    rng = np.random.default_rng(seed)
    T = np.eye(4)
    turn = Rotation.from_euler("z", rng.uniform(-3, 3)) if upright else Rotation.random(random_state=seed)
    T[:3, :3] = turn.as_matrix()
    T[:3, 3] = rng.uniform(-50, 50, 3)
    return T


def some_boxes(seed, count=6):
    rng = np.random.default_rng(seed)
    centers, sizes = rng.uniform(-6, 6, (count, 3)), rng.uniform(0.4, 3, (count, 3))
    values = (centers, sizes, rng.uniform(-3, 3, count), rng.uniform(0, 1, count))
    return Boxes(*(value.astype(np.float32) for value in values))


@pytest.mark.parametrize("kind", KINDS)
@given(seed=seeds)
def test_transforms_are_scipys_and_their_inverse_leads_back(kind, seed):
    T, points = pose(seed), np.random.default_rng(seed).normal(0, 10, (2, 5, 3))
    there = transformed(kind(T), kind(points))
    expected = Rotation.from_matrix(T[:3, :3]).apply(points.reshape(-1, 3)) + T[:3, 3]
    np.testing.assert_allclose(there, expected.reshape(points.shape), atol=1e-9)
    np.testing.assert_allclose(transformed(kind(np.linalg.inv(T)), there), points, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("length", [0.0, 1e-9, 1e-4, 1.0, 3.1, 7.0])
def test_rotation_vectors_are_scipys(kind, length):
    vectors = np.random.default_rng(0).normal(size=(2, 5, 3))
    vectors *= length / np.linalg.norm(vectors, axis=-1, keepdims=True)
    expected = Rotation.from_rotvec(vectors.reshape(-1, 3)).as_matrix()
    np.testing.assert_allclose(rotation(kind(vectors)), expected.reshape(2, 5, 3, 3), atol=1e-12)
    assert rotation(kind(vectors[:0])).shape == (0, 5, 3, 3)


def test_nobody_turned_is_the_start_of_every_turn():
    still = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(rotation(still)[0, 2, 1], still)
    assert slope.tolist() == [[1.0, 0.0, 0.0]], "about x, y goes to z"


@given(angle=angles, seed=seeds)
def test_the_heading_of_an_upright_frame_is_its_angle(angle, seed):
    T = pose(seed)
    T[:3, :3] = Rotation.from_euler("z", angle).as_matrix()
    assert heading(T) == pytest.approx(angle, abs=1e-9)
    assert heading(torch.from_numpy(T)) == heading(T)


@given(seed=seeds)
def test_a_box_moves_with_what_is_in_it(seed):
    """Points keep their place in the box; there and back it is the same box."""
    T, boxes, rng = pose(seed, upright=True), some_boxes(seed), np.random.default_rng(seed)
    there = transformed_boxes(T, boxes)
    local = rng.uniform(-1, 1, (len(boxes), 4, 3)) * boxes.sizes[:, None] / 2
    points = turned(local, boxes.yaws.astype(np.float64)) + boxes.centers[:, None]
    again = turned(transformed(T, points) - there.centers[:, None], -there.yaws.astype(np.float64))
    np.testing.assert_allclose(again, local, atol=1e-4)
    back = transformed_boxes(np.linalg.inv(T), there)
    np.testing.assert_allclose(back.centers, boxes.centers, atol=1e-4)
    np.testing.assert_allclose(back.yaws, boxes.yaws, atol=1e-5)
    assert back.sizes is boxes.sizes and back.scores is boxes.scores


@pytest.mark.parametrize("kind", KINDS)
@given(angle=angles, seed=seeds)
def test_turns_are_scipys_in_all_their_forms(kind, angle, seed):
    points = np.random.default_rng(seed).normal(0, 3, (4, 3))
    expected = Rotation.from_euler("z", angle).apply(points)
    yaw = kind(np.array(angle))
    np.testing.assert_allclose(turned(kind(points), yaw), expected, atol=1e-12)
    np.testing.assert_allclose(turned(turned(kind(points), yaw), -yaw), points, atol=1e-12)
    np.testing.assert_allclose(kind(points) @ rotation_z(yaw).T, expected, atol=1e-12)
    np.testing.assert_allclose(Rotation.from_quat(quaternion_z(angle)).apply(points), expected, atol=1e-12)
    np.testing.assert_allclose(bearing(kind(expected)), np.arctan2(expected[:, 1], expected[:, 0]), atol=1e-12)
    left = kind(Rotation.from_euler("z", angle).apply([[0.0, 2.0, 7.0]]))
    assert np.cos(float(facing(left)[0]) - angle) == pytest.approx(1)


def test_a_quarter_turn_by_hand():
    points = np.array([[[1.0, 0, 5], [0, 2, 6]], [[1, 0, 5], [0, 2, 6]]])
    found = turned(points, np.array([np.pi / 2, 0]))
    np.testing.assert_allclose(found, [[[0, 1, 5], [-2, 0, 6]], points[1]], atol=1e-12)
    np.testing.assert_allclose(rotation_z(np.array([np.pi / 2]))[0], [[0, -1, 0], [1, 0, 0], [0, 0, 1]], atol=1e-12)
    assert facing(np.array([0.0, 1, 0])) == 0 and facing(np.array([-1.0, 0, 0])) == pytest.approx(np.pi / 2)


def test_what_comes_in_single_precision_stays_so():
    yaw = torch.tensor([0.3])
    assert turned(torch.ones(1, 2, 3), yaw).dtype == rotation_z(yaw).dtype == torch.float32
    assert turned(np.ones((1, 2, 3), np.float32), yaw.numpy()).dtype == np.float32
    assert transformed(np.eye(4, dtype=np.float32), np.ones((1, 3), np.float32)).dtype == np.float32


@given(seed=seeds)
def test_points_of_a_cloud_and_points_of_a_batch_are_in_the_same_boxes(seed):
    """The fast way for clouds, the batched one, and one point at a time as complex numbers."""
    rng, boxes = np.random.default_rng(seed), some_boxes(seed)
    points = rng.uniform(-8, 8, (300, 3)).astype(np.float32)
    rows = points_in_boxes(points, boxes, 0.25)
    centred, size = torch.from_numpy(points - boxes.centers[:, None]), torch.from_numpy(boxes.sizes + 0.5)
    batched = in_box(centred, size, torch.from_numpy(boxes.yaws))
    assert in_box(centred.numpy(), size.numpy(), boxes.yaws).tolist() == batched.tolist()
    for i, row in enumerate(rows):
        assert row.tolist() == batched[i].nonzero()[:, 0].tolist()
        flat = (centred[i, :, 0] + 1j * centred[i, :, 1]).numpy() * np.exp(-1j * boxes.yaws[i])
        offsets = np.abs(np.column_stack((flat.real, flat.imag, centred[i, :, 2])))
        assert row.tolist() == np.flatnonzero((offsets <= boxes.sizes[i] / 2 + 0.25).all(1)).tolist()


def test_a_coarse_grid_that_repeats_finds_nobody_else():
    """A point one period of the grid away falls into the same cell, and is not in the box."""
    far = geometry.CELL_M * geometry.GRID
    points = np.array([[0, 0, 0], [far, 0, 0], [0, -far, 0]], np.float32)
    box = Boxes(points[:1], np.ones((1, 3), np.float32), np.zeros(1, np.float32), np.ones(1, np.float32))
    assert points_in_boxes(points, box)[0].tolist() == [0]
    assert points_in_boxes(points, Boxes.empty()) == []


@pytest.mark.parametrize("spread", [5.0, 500.0, 90_000.0])
def test_no_box_holds_more_points_than_its_upper_bound(spread):
    rng = np.random.default_rng(1)
    points = rng.uniform(-spread, spread, (5000, 3)).astype(np.float32)
    numbers = rng.uniform(-spread, spread, (300, 3)), rng.uniform(0.2, 20, (300, 3)), rng.uniform(-4, 4, 300)
    boxes = Boxes(*(each.astype(np.float32) for each in (*numbers, np.ones(300))))
    upper = most_points_in_boxes(points, boxes, 0.15)
    counts = [len(row) for row in points_in_boxes(points, boxes, 0.15)]
    assert (upper >= counts).all()
