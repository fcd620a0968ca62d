"""The table that training prints: a batch whose every figure is known."""

import json

import numpy as np
import pytest

from gckpl_ros.evaluate.metrics import keypoint_table
from gckpl_ros.skeleton import GROUPS, INDEX, KEYPOINTS


@pytest.fixture
def table():
    truth = np.random.default_rng(0).normal(size=(4, 14, 3)).astype(np.float32) * 3
    predicted = truth.copy()
    predicted[0, :, 2] += 0.4  # a translation: no error once aligned
    predicted[1, INDEX["nose"], 0] += 1.4
    counts = np.array([8, 29, 100, 900])
    confidence = np.ones((4, 14), np.float32)
    return keypoint_table(predicted, truth, counts, confidence)


def test_means(table):
    assert table["people"] == 4
    assert table["mpjpe"] == pytest.approx((14 * 0.4 + 1.4) / 56, rel=1e-5)
    assert table["pa_mpjpe"] < table["mpjpe_matched"] <= table["mpjpe"] + 1e-9


def test_per_joint_and_group(table):
    assert list(table["per_joint"]) == list(KEYPOINTS) and list(table["per_group"]) == list(GROUPS)
    assert table["per_joint"]["nose"] == pytest.approx((0.4 + 1.4) / 4, rel=1e-5)
    assert table["per_joint"]["left_knee"] == pytest.approx(0.1, rel=1e-5)
    assert table["per_group"]["head"] == pytest.approx((0.4 + 1.4 + 0.4) / 8, rel=1e-5)


def test_bins_hold_their_people_and_empty_ones_are_left_out(table):
    people = {name: row["people"] for name, row in table["by_points"].items()}
    assert people == {"8-30": 2, "100-200": 1, ">=500": 1, ">=100": 2}
    assert table["by_points"][">=100"]["mpjpe"] == pytest.approx(0, abs=1e-6)
    assert table["by_points"]["8-30"]["mpjpe"] == pytest.approx((14 * 0.4 + 1.4) / 28, rel=1e-5)


def test_confidence_is_judged(table):
    assert table["ece"] == pytest.approx(15 / 56)


def test_ready_for_json(table):
    assert json.loads(json.dumps(table, allow_nan=False)) == table
