"""Calibration by hand and by construction."""

import numpy as np
import pytest

from gckpl_ros.evaluate.metrics import reliability


def test_ece_by_hand():
    # Ten keypoints at confidence 0.9 of which 6 are right, four at 0.15 of which 1 is right.
    confidence = np.array([[0.9] * 10 + [0.15] * 4])
    errors = np.array([[0.02] * 6 + [0.3] * 4 + [0.05] + [0.1] * 3])  # 10 cm itself is not "within"
    result = reliability(confidence, errors)
    np.testing.assert_allclose(result.confidence, [0.15, 0.9])
    np.testing.assert_allclose(result.accuracy, [0.25, 0.6])
    np.testing.assert_array_equal(result.counts, [4, 10])
    assert result.ece == pytest.approx((4 * 0.1 + 10 * 0.3) / 14)


def test_a_true_confidence_has_little_error():
    rng = np.random.default_rng(0)
    confidence = rng.random((5000, 14))
    errors = np.where(rng.random(confidence.shape) < confidence, 0.0, 1.0)
    assert reliability(confidence, errors).ece < 0.01


def test_certainty_falls_in_the_last_bin():
    result = reliability(np.ones((1, 14)), np.zeros((1, 14)))
    assert len(result.counts) == 1 and result.ece == 0.0


def test_nobody_has_no_error():
    assert reliability(np.zeros((0, 14)), np.zeros((0, 14))).ece == 0.0
