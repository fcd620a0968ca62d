"""Keypoint metrics against values by hand, scipy's Procrustes, brute force and their invariances."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import trapezoid
from scipy.spatial import procrustes
from scipy.spatial.transform import Rotation

from gckpl_ros.evaluate import metrics
from gckpl_ros.skeleton import INDEX, MIRROR, NUM_KEYPOINTS

seeds = st.integers(0, 2**32 - 1)


def _people(seed, n=3, noise=0.1):
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=(n, NUM_KEYPOINTS, 3))
    return truth + noise * rng.normal(size=truth.shape), truth


def test_distances_by_hand():
    truth = np.zeros((1, NUM_KEYPOINTS, 3), np.float32)
    predicted = truth.copy()
    predicted[0, 3] = (0.3, 0.4, 0.0)
    expected = np.zeros((1, NUM_KEYPOINTS))
    expected[0, 3] = 0.5
    np.testing.assert_allclose(metrics.distances(predicted, truth), expected, rtol=1e-6)


def test_similarity_align_agrees_with_scipy_procrustes():
    predicted, truth = _people(1, n=5)
    aligned = metrics.aligned_distances(predicted, truth)
    for person in range(5):
        # scipy measures in units of the truth's norm and may mirror; noise this small never asks for a mirror.
        disparity = procrustes(truth[person], predicted[person])[2]
        norm = np.square(truth[person] - truth[person].mean(0)).sum()
        assert np.square(aligned[person]).sum() == pytest.approx(disparity * norm)


@given(seeds, st.floats(0.2, 5))
@settings(max_examples=15, deadline=None)
def test_aligned_error_ignores_any_similarity_of_the_prediction(seed, scale):
    predicted, truth = _people(seed)
    rotation_vector, offset = np.random.default_rng(seed).normal(size=(2, 3))
    moved = scale * predicted @ Rotation.from_rotvec(rotation_vector).as_matrix().T + offset
    np.testing.assert_allclose(
        metrics.aligned_distances(moved, truth), metrics.aligned_distances(predicted, truth), atol=1e-9
    )


@given(seeds)
@settings(max_examples=15, deadline=None)
def test_alignment_never_raises_the_squared_error(seed):
    predicted, truth = _people(seed, noise=1.0)
    before, after = metrics.distances(predicted, truth), metrics.aligned_distances(predicted, truth)
    assert (np.square(after).sum(1) <= np.square(before).sum(1) + 1e-9).all()


def test_alignment_does_not_mirror():
    _, truth = _people(2, n=1)
    assert metrics.aligned_distances(truth * (1, -1, 1), truth).mean() > 0.1


def test_collapsed_prediction_aligns_to_the_mean_of_the_truth():
    _, truth = _people(3, n=1)
    aligned = metrics.similarity_align(np.ones_like(truth), truth)
    np.testing.assert_allclose(aligned, np.broadcast_to(truth.mean(1, keepdims=True), truth.shape), atol=1e-12)


def test_matching_agrees_with_every_permutation():
    predicted, truth = _people(4, n=4, noise=1.0)
    predicted, truth = predicted[:, :6], truth[:, :6]
    cost = np.linalg.norm(truth[:, :, None] - predicted[:, None], axis=-1)
    best = [min(c[range(6), list(p)].sum() for p in permutations(range(6))) for c in cost]
    np.testing.assert_allclose(metrics.matched_distances(predicted, truth).sum(1), best)


def test_swapped_left_and_right_cost_nothing_once_matched():
    _, truth = _people(5)
    assert metrics.distances(truth[:, MIRROR], truth).mean() > 0.1
    np.testing.assert_allclose(metrics.matched_distances(truth[:, MIRROR], truth), 0, atol=1e-12)


@given(seeds, st.floats(0, 2))
@settings(max_examples=15, deadline=None)
def test_matched_error_is_at_most_the_plain_one(seed, noise):
    predicted, truth = _people(seed, noise=noise)
    assert (
        metrics.matched_distances(predicted, truth).sum(1) <= metrics.distances(predicted, truth).sum(1) + 1e-9
    ).all()


def test_nobody_gives_empty_distances():
    nobody = np.zeros((0, NUM_KEYPOINTS, 3))
    for measure in (metrics.distances, metrics.aligned_distances, metrics.matched_distances):
        assert measure(nobody, nobody).shape == (0, NUM_KEYPOINTS)


def test_pck_by_hand():
    errors = np.array([[0.04] * 7 + [0.1] * 4 + [0.5] * 3])
    assert metrics.pck(errors, (0.05, 0.1, 0.3)) == {0.05: 7 / 14, 0.1: 11 / 14, 0.3: 11 / 14}


def test_pck_box_scales_its_thresholds():
    errors = np.full((2, NUM_KEYPOINTS), 0.11)
    scales = metrics.box_scale(np.array([[1.0, 1.0, 8.0], [0.5, 0.5, 0.5]]))
    np.testing.assert_allclose(scales, [2.0, 0.5])
    # The thresholds are .1, .2 .. 1 m for the first person and .025, .05, .1, .15 .. for the second.
    assert metrics.pck_box(errors, scales) == {0.05: 0.0, 0.1: 0.5, 0.2: 0.5, 0.3: 1.0, 0.4: 1.0, 0.5: 1.0}


def test_auc_is_the_integral_of_pck():
    errors = np.abs(np.random.default_rng(6).normal(0, 0.15, (40, NUM_KEYPOINTS)))
    thresholds = np.linspace(0, 0.2, 4001)
    curve = list(metrics.pck(errors, thresholds.tolist()).values())
    assert metrics.pck_auc(errors) == pytest.approx(trapezoid(curve, thresholds) / 0.2, abs=1e-4)
    assert metrics.pck_auc(np.zeros((1, 14))) == 1.0
    assert metrics.pck_auc(np.full((1, 14), 0.05)) == pytest.approx(0.75)


def test_oks_by_hand():
    errors = np.zeros((2, NUM_KEYPOINTS))
    errors[0, INDEX["nose"]] = 2 * 0.052  # one standard deviation at scale 2
    errors[1] = np.inf
    np.testing.assert_allclose(metrics.oks(errors, np.array([2.0, 1.0])), [(13 + np.exp(-0.5)) / 14, 0.0])


def test_oks_scales_follow_the_keypoints_order():
    side = [0.158, 0.144, 0.124, 0.214, 0.174, 0.178]  # shoulder to ankle
    np.testing.assert_array_equal(metrics.OKS_SCALES, [0.052, *side, *side, 0.158])


def test_oks_ap_by_hand():
    # 1.0 passes all ten thresholds, 0.72 passes .5 .55 .6 .65 .7, 0.5 passes none (strictly above), one was missed.
    assert metrics.oks_ap(np.array([1.0, 0.72, 0.5]), missed=1) == pytest.approx((10 + 5) / 40)
    assert metrics.oks_ap(np.zeros(0), missed=0) == 0.0


def test_pem_by_hand():
    errors = np.zeros((1, NUM_KEYPOINTS))
    errors[0, :2] = (0.1, 3.0)
    # One matched person and one unmatched: (0.1 + 0.25 + 14 x 0.25) / 28; the 3 m error is capped.
    assert metrics.pem(errors, unmatched=14) == pytest.approx((0.1 + 0.25 + 3.5) / 28)
    assert metrics.pem(np.zeros((0, NUM_KEYPOINTS)), unmatched=42) == pytest.approx(0.25)
