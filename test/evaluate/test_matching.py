"""Matching of people: gate and assignment by hand and by brute force."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gckpl_ros.evaluate.matching import candidates, match_people
from gckpl_ros.types import Boxes


def _boxes(centers, sizes=(0.6, 0.6, 1.8), yaws=0.0):
    centers = np.array(centers, np.float32).reshape(-1, 3)
    n = len(centers)
    return Boxes(
        centers,
        np.broadcast_to(np.float32(sizes), (n, 3)),
        np.broadcast_to(np.float32(yaws), (n,)),
        np.ones(n, np.float32),
    )


def _standing(centers):
    """Keypoints of people who stand at these centres: all 14 on a vertical line of 1.6 m."""
    line = np.stack((np.zeros(14), np.zeros(14), np.linspace(-0.8, 0.8, 14)), axis=1)
    return (np.array(centers).reshape(-1, 1, 3) + line).astype(np.float32)


def _far_but_one(keypoint):
    keypoints = np.full((1, 14, 3), 50.0, np.float32)
    keypoints[0, 5] = keypoint
    return keypoints


@pytest.mark.parametrize(
    ("keypoint", "near"),
    [
        ((2.0, 0, 0), True),  # inside
        ((2.24, 0, 0), True),  # 24 cm in front of the box, whose length 4 lies along x
        ((2.26, 0, 0), False),
        ((0, 0.74, 0), True),  # beside it, width 1
        ((0, 0.76, 0), False),
        ((2.17, 0.67, 0), True),  # 24 cm off an edge, aslant
        ((2.18, 0.68, 0), False),  # 25.5 cm off that edge, though each axis is nearer
    ],
)
def test_one_keypoint_near_the_box_makes_a_candidate(keypoint, near):
    box = _boxes((0, 0, 0), sizes=(4, 1, 2))
    assert candidates(_far_but_one(keypoint), box).item() is near


def test_the_gate_turns_with_the_box():
    turned = _boxes((0, 0, 0), sizes=(4, 1, 2), yaws=np.pi / 2)
    along_y, along_x = _far_but_one((0, 2.2, 0)), _far_but_one((2.2, 0, 0))
    assert candidates(np.concatenate((along_y, along_x)), turned).tolist() == [[True, False]]


def test_the_nearest_is_not_taken_where_it_would_leave_another_without():
    # The prediction at 0.1 is nearest to both; taking it for the first leaves the second to the one at 0.5.
    truth, predicted = _standing([(0, 0, 0), (0.3, 0, 0)]), _standing([(0.5, 0, 0), (0.1, 0, 0)])
    rows, columns = match_people(predicted, truth, _boxes([(0, 0, 0), (0.3, 0, 0)]))
    assert (rows.tolist(), columns.tolist()) == ([0, 1], [1, 0])


def test_far_predictions_stay_unmatched():
    rows, columns = match_people(_standing([(9, 0, 0), (0, 0, 0)]), _standing([(0, 0, 0)]), _boxes((0, 0, 0)))
    assert (rows.tolist(), columns.tolist()) == ([0], [1])


@pytest.mark.parametrize(("true", "predicted"), [(0, 2), (2, 0), (0, 0)])
def test_nobody_on_a_side(true, predicted):
    centers = [(5.0 * i, 0, 0) for i in range(true)]
    rows, columns = match_people(
        np.zeros((predicted, 14, 3), np.float32), _standing(centers).reshape(-1, 14, 3), _boxes(centers)
    )
    assert len(rows) == len(columns) == 0


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None)
def test_agrees_with_every_permutation(seed):
    rng = np.random.default_rng(seed)
    centers = rng.uniform(-0.6, 0.6, (4, 3)) * (1, 1, 0)
    truth, predicted = _standing(centers), _standing(rng.uniform(-0.6, 0.6, (4, 3)) * (1, 1, 0))
    boxes = _boxes(centers)
    allowed = candidates(predicted, boxes)
    cost = np.linalg.norm(truth[:, None] - predicted[None], axis=-1).mean(-1)

    def value(rows, columns):
        valid = allowed[rows, columns]
        return (-valid.sum(), cost[rows, columns][valid].sum())

    best = min(value(np.arange(4), np.array(order)) for order in permutations(range(4)))
    assert value(*match_people(predicted, truth, boxes)) == pytest.approx(best)
