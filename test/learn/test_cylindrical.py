"""Limb coordinates and distances against values by hand, and against a segment taken as ten thousand points."""

import pytest
import roma
import torch
from torch import Tensor

from gckpl_ros.learn.geometric import (
    SHORTEST_M,
    cylindrical,
    limb_weights,
    mean_over_limbs,
    nearest_limb_share,
    segment_distance,
)
from gckpl_ros.skeleton import INDEX, LIMBS

UPPER_ARM = LIMBS.index((INDEX["left_shoulder"], INDEX["left_elbow"]))
FLANK = LIMBS.index((INDEX["left_shoulder"], INDEX["left_hip"]))
FOREARM = LIMBS.index((INDEX["left_elbow"], INDEX["left_wrist"]))


def skeleton(**positions: tuple[float, float, float]) -> Tensor:
    keypoints = torch.zeros(1, 14, 3, dtype=torch.float64)
    for name, position in positions.items():
        keypoints[0, INDEX[name]] = torch.tensor(position, dtype=torch.float64)
    return keypoints


def cloud(*points: tuple[float, float, float]) -> Tensor:
    return torch.tensor([points], dtype=torch.float64)


def test_coordinates_on_a_hanging_arm() -> None:
    arm = skeleton(left_shoulder=(0, 0, 1.0), left_elbow=(0, 0, 0.7))
    points = cloud((0.03, 0.04, 0.9), (0.03, 0, 0.66), (0.05, 0, 1.12))  # beside it, below its end, above its start
    axial, radial = cylindrical(points, arm)
    torch.testing.assert_close(axial[0, UPPER_ARM], torch.tensor([0.1, 0.34, -0.12]).double())
    torch.testing.assert_close(radial[0, UPPER_ARM], torch.tensor([0.05, 0.03, 0.05]).double())
    distance = segment_distance(points, arm)[0, UPPER_ARM]
    torch.testing.assert_close(distance, torch.tensor([0.05, 0.05, 0.13]).double())


def test_coordinates_are_those_of_any_rotated_limb() -> None:
    start, points = torch.randn(3).double(), torch.randn(50, 3).double()
    rotation = roma.random_rotmat(dtype=torch.float64)  # limb along the rotated z axis, 0.8 m
    arm = skeleton()
    arm[0, INDEX["left_elbow"]], arm[0, INDEX["left_wrist"]] = start, start + 0.8 * rotation[:, 2]
    axial, radial = cylindrical((points @ rotation.T + start)[None], arm)
    torch.testing.assert_close(axial[0, FOREARM], points[:, 2])
    torch.testing.assert_close(radial[0, FOREARM], torch.hypot(points[:, 0], points[:, 1]))


def test_distance_is_to_the_nearest_of_many_places_on_the_segment() -> None:
    keypoints, points = torch.randn(2, 14, 3).double(), torch.randn(2, 30, 3).double()
    along = torch.linspace(0, 1, 10_001, dtype=torch.float64)[:, None]
    distance = segment_distance(points, keypoints)
    for limb, (a, b) in enumerate(LIMBS):
        for person in range(2):
            places = torch.lerp(keypoints[person, a], keypoints[person, b], along)
            nearest = torch.cdist(points[person], places).amin(1)
            torch.testing.assert_close(distance[person, limb], nearest, rtol=0, atol=1e-6)


def test_a_limb_without_length_is_a_point() -> None:
    keypoints = skeleton(left_elbow=(1, 2, 3), left_wrist=(1, 2, 3)).requires_grad_()
    points = cloud((1, 2, 3.5), (1, 2, 3))
    axial, radial = cylindrical(points, keypoints)
    distance = segment_distance(points, keypoints)
    assert axial[0, FOREARM].tolist() == [0, 0]
    assert radial[0, FOREARM].tolist() == distance[0, FOREARM].tolist() == [0.5, 0]
    (axial + radial + distance).sum().backward()
    assert keypoints.grad is not None and keypoints.grad.isfinite().all()
    assert keypoints.grad.abs().max() < 3 * 11 * 2 / SHORTEST_M


def test_a_limb_has_the_points_of_its_parent() -> None:
    parts = torch.zeros(1, 3, 15)
    parts[0, 0, INDEX["left_shoulder"]], parts[0, 1, INDEX["left_elbow"]] = 0.7, 1.0
    parts[0, 2, INDEX["left_elbow"]] = 1.0
    mask = torch.tensor([[True, True, False]])
    weights = limb_weights(parts, mask)
    assert weights[0, UPPER_ARM].tolist() == weights[0, FLANK].tolist() == pytest.approx([0.7, 0, 0])
    assert weights[0, FOREARM].tolist() == [0, 1, 0]
    assert weights.sum() == pytest.approx(2 * 0.7 + 1)
    half = limb_weights(parts, mask, torch.full((1, len(LIMBS), 3), 0.5))
    torch.testing.assert_close(half, weights / 2)


def test_a_shared_part_goes_to_the_nearest_limb() -> None:
    body = skeleton(left_shoulder=(0, 0.2, 1.4), left_elbow=(0, 0.5, 1.4), left_hip=(0, 0.2, 0.9))
    points = cloud((0, 0.4, 1.37), (0, 0.23, 1.1), (0, 0.1, 1.5))  # at the arm; at the flank; nearest to the shoulder
    share = nearest_limb_share(points, body)[0]
    assert share[UPPER_ARM].tolist() == [1, 0, 0.5]
    assert share[FLANK].tolist() == [0, 1, 0.5]
    assert share[FOREARM].tolist() == [1, 1, 1]  # an elbow has one limb


def test_shares_of_a_point_sum_to_one_for_each_part() -> None:
    share = nearest_limb_share(torch.randn(4, 60, 3), torch.randn(4, 14, 3))
    for parent in {a for a, _ in LIMBS}:
        siblings = [limb for limb, (a, _) in enumerate(LIMBS) if a == parent]
        torch.testing.assert_close(share[:, siblings].sum(1), torch.ones(4, 60))


def test_means_count_real_points_and_people_with_points() -> None:
    mask = torch.tensor([[True, True, False], [True, False, False], [False, False, False]])
    terms = torch.zeros(3, len(LIMBS), 3)
    terms[0, 0, :2], terms[1, 1, 0] = torch.tensor([11.0, 33.0]), 22.0  # 1/11 (11 + 33) / 2 = 2 and 1/11 22 = 2
    assert mean_over_limbs(terms, mask).item() == pytest.approx((2 + 2) / 2)
    assert mean_over_limbs(terms[:0], mask[:0]).item() == 0
