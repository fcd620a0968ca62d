"""A whole comparison worked out by hand: four frames, two true people, a miss, an invention, a switch."""

import json

import numpy as np
import pytest

from gckpl_ros.errors import InputError
from gckpl_ros.evaluate.matching import People
from gckpl_ros.evaluate.report import evaluate
from gckpl_ros.types import Boxes

NEAR, FAR = (4.0, 0.0, 0.0), (0.0, 12.0, 0.0)
BODY = np.random.default_rng(0).uniform(-1, 1, (14, 3)) * (0.25, 0.25, 0.9)


def _people(stamp, centers, ids, counts=None, shift=0.0, size=(0.5, 0.5, 2.0)):
    centers = np.array(centers, np.float32).reshape(-1, 3)
    n = len(centers)
    keypoints = (centers[:, None] + BODY + (0, 0, shift)).astype(np.float32)
    sizes = np.broadcast_to(np.float32(size), (n, 3))
    boxes = Boxes(centers, sizes, np.zeros(n, np.float32), np.ones(n, np.float32))
    ids = np.array(ids, np.int64)
    counts = None if counts is None else np.array(counts, np.int64)
    return People(stamp, "lidar", ids, keypoints, np.full((n, 14), 0.8, np.float32), boxes, counts)


def _truths(counts=(200, 40)):
    return [_people(stamp, (NEAR, FAR), (1, 2), counts) for stamp in range(4)]


@pytest.fixture
def report():
    predictions = [
        _people(0, (FAR, NEAR), (20, 10), shift=0.05),
        _people(1, (NEAR,), (10,), shift=0.05),  # FAR is missed
        _people(2, (NEAR, FAR), (10, 21), shift=0.05),  # FAR is found again, under another id
        _people(3, (NEAR, FAR, (30, 30, 0)), (10, 21, 5), shift=0.05),  # and somebody is invented
        _people(9, (NEAR,), (10,)),
    ]
    return evaluate(predictions, _truths())


def test_frames(report):
    assert report.figures["frames"] == {"compared": 4, "only_truth": 0, "only_predicted": 1}


def test_people(report):
    people = report.figures["people"]
    assert [people[key] for key in ("true", "found", "missed", "invented")] == [8, 7, 1, 1]
    assert people["precision"] == pytest.approx(7 / 8) and people["recall"] == pytest.approx(7 / 8)
    assert people["pem"] == pytest.approx((7 * 0.05 + 2 * 0.25) / 9, rel=1e-5)
    assert people["recall_by_range"] == {"0-5": 1.0, "10-15": 0.75}
    assert people["recall_by_points"] == {"30-60": 0.75, "200-500": 1.0, ">=100": 1.0}


def test_oks_from_its_formula(report):
    scale = 0.5 ** (1 / 3)  # a box of 0.5 x 0.5 x 2 m
    k = np.array([0.052, *(0.158, 0.144, 0.124, 0.214, 0.174, 0.178) * 2, 0.158])
    oks = np.exp(-(0.05**2) / (2 * (scale * k) ** 2)).mean()
    assert report.figures["keypoints"]["oks"] == pytest.approx(oks, rel=1e-5)
    passed = sum(oks > t for t in (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95))
    assert report.figures["people"]["oks_ap"] == pytest.approx(7 * passed / 80)


def test_tracking(report):
    tracking = report.figures["tracking"]
    assert (tracking["people"], tracking["id_switches"], tracking["fragmentations"]) == (2, 1, 1)
    assert tracking["mostly_tracked"] == 0.5  # NEAR in all frames, FAR in three of four
    assert tracking["mota"] == pytest.approx(1 - (1 + 1 + 1) / 8)
    assert tracking["frames_until_found"] == 0


def test_identities_are_those_of_py_motmetrics():
    """Two dozen people a hundred metres apart, who are missed, invented and renamed at random."""
    motmetrics = pytest.importorskip("motmetrics")
    rng = np.random.default_rng(5)
    at = lambda person: (100.0 * (person + 1), 0, 0)  # noqa: E731
    names, next_name = {}, 100
    theirs = motmetrics.MOTAccumulator()
    predictions, truths = [], []
    for stamp in range(40):
        people = np.flatnonzero(rng.random(24) < 0.9)
        found = people[rng.random(len(people)) < 0.8]
        for person in found:
            if person not in names or rng.random() < 0.1:
                names[person], next_name = next_name, next_name + 1
            elif rng.random() < 0.1:
                names[person] = int(rng.choice(list(names.values())))
        ids = {person: names[person] for person in found}
        kept = [person for person in found if list(ids.values()).count(ids[person]) == 1]
        places, invented = [at(person) for person in kept], int(rng.integers(0, 3))
        places += [at(-2 - i) for i in range(invented)]
        told = [ids[person] for person in kept] + list(range(next_name, next_name + invented))
        next_name += invented
        truths.append(_people(stamp, list(map(at, people)), people))
        predictions.append(_people(stamp, places, told))
        distances = np.where(np.equal.outer(people, np.r_[kept, [-1] * invented]), 0.05, np.nan)
        theirs.update(list(people), told, distances, frameid=stamp)
    summary = motmetrics.metrics.create().compute(theirs, metrics=["mota", "idf1", "num_switches"])
    ours = evaluate(predictions, truths).figures["tracking"]
    assert ours["id_switches"] == summary["num_switches"].iloc[0] > 10
    assert ours["mota"] == pytest.approx(summary["mota"].iloc[0])
    assert ours["idf1"] == pytest.approx(summary["idf1"].iloc[0])


def test_keypoints(report):
    keypoints = report.figures["keypoints"]
    assert keypoints["mpjpe"] == pytest.approx(0.05, rel=1e-5)
    assert keypoints["pa_mpjpe"] == pytest.approx(0, abs=1e-6)
    assert {name: row["people"] for name, row in keypoints["by_range"].items()} == {"0-5": 4, "10-15": 3}
    assert {name: row["people"] for name, row in keypoints["by_points"].items()} == {
        "30-60": 3,
        "200-500": 4,
        ">=100": 4,
    }
    assert keypoints["pck_box"]["0.05"] == 0.0 and keypoints["pck_box"]["0.1"] == 1.0  # x 0.794 m


def test_calibration(report):
    assert report.figures["calibration"]["ece"] == pytest.approx(0.2, rel=1e-5)  # 0.8 claimed, all within 10 cm


def test_figures_are_json(report):
    assert json.loads(json.dumps(report.figures, allow_nan=False)) == report.figures


def test_people_with_few_points_are_neither_asked_for_nor_punished():
    truths = _truths(counts=(200, 7))
    finds_both = [_people(stamp, (NEAR, FAR), (1, 2)) for stamp in range(4)]
    finds_near = [_people(stamp, (NEAR,), (1,)) for stamp in range(4)]
    for predictions in (finds_both, finds_near):
        people = evaluate(predictions, truths, min_points=8).figures["people"]
        assert [people[key] for key in ("true", "found", "missed", "invented")] == [4, 4, 0, 0]


def test_unknown_counts_are_all_compared_but_not_binned():
    report = evaluate([_people(0, (NEAR,), (1,))], [_people(0, (NEAR,), (1,))], min_points=8)
    assert report.figures["people"]["found"] == 1
    assert report.figures["keypoints"]["by_points"] == {} == report.figures["people"]["recall_by_points"]


def test_nobody_found_is_a_result():
    report = evaluate([_people(stamp, (), ()) for stamp in range(4)], _truths())
    assert report.figures["people"]["recall"] == 0 and report.figures["people"]["pem"] == pytest.approx(0.25)
    assert report.figures["keypoints"] == {} and report.figures["tracking"]["id_switches"] == 0
    json.dumps(report.figures, allow_nan=False)


def test_truth_without_people_is_refused():
    with pytest.raises(InputError, match="the truth holds nobody"):
        evaluate([_people(0, (NEAR,), (1,))], [_people(0, (), ())])


def test_truth_boxes_need_a_size():
    with pytest.raises(InputError, match="has no size"):
        evaluate([_people(0, (NEAR,), (1,))], [_people(0, (NEAR,), (1,), size=(0.5, 0.0, 1.8))])


def test_a_prediction_must_be_whole():
    prediction = _people(0, (NEAR,), (1,))
    prediction.keypoints[0, 3, 1] = np.nan
    with pytest.raises(InputError, match=r"predicted person at stamp 0 ns lacks keypoints \(left_wrist\)"):
        evaluate([prediction], [_people(0, (NEAR,), (1,))])


def test_unknown_keypoints_of_the_truth_do_not_count():
    """Nothing is said of the worst keypoint's truth: the other 13 make all figures."""
    truth, prediction = _people(0, (NEAR,), (1,)), _people(0, (NEAR,), (1,))
    prediction.keypoints[:] = truth.keypoints + np.float32([0, 0, 0.06])
    prediction.keypoints[0, 3] = truth.keypoints[0, 3] + np.float32([0.5, 0, 0])
    truth.keypoints[0, 3] = np.nan
    report = evaluate([prediction], [truth])
    figures = report.figures["keypoints"]
    assert figures["mpjpe"] == pytest.approx(0.06, abs=1e-5) and figures["pa_mpjpe"] == pytest.approx(0, abs=1e-5)
    assert figures["mpjpe_matched"] == pytest.approx(0.06, abs=1e-5)
    assert figures["pck"]["0.05"] == 0 and figures["pck"]["0.1"] == 1
    assert figures["auc"] == pytest.approx(1 - 0.06 / 0.2, abs=1e-4)
    assert figures["per_joint"]["left_wrist"] is None
    assert sum(report.figures["calibration"]["counts"]) == 13
    assert report.figures["people"]["pem"] == pytest.approx(0.06, abs=1e-5)
    json.dumps(report.figures, allow_nan=False)


def test_who_has_no_known_keypoint_is_neither_asked_for_nor_punished():
    truth, prediction = _people(0, (NEAR, FAR), (1, 2)), _people(0, (NEAR, FAR), (1, 2))
    truth.keypoints[1] = np.nan
    people = evaluate([prediction], [truth]).figures["people"]
    assert [people[key] for key in ("true", "found", "missed", "invented")] == [1, 1, 0, 0]


def test_of_a_missed_person_only_known_keypoints_are_missed():
    """PEM of one found to 5 cm, and one missed of whom three keypoints are known: (14 x 0.05 + 3 x 0.25) / 17."""
    truth, prediction = _people(0, (NEAR, FAR), (1, 2)), _people(0, (NEAR,), (1,))
    prediction.keypoints[:] = truth.keypoints[:1] + np.float32([0, 0, 0.05])
    truth.keypoints[1, 3:] = np.nan
    people = evaluate([prediction], [truth]).figures["people"]
    assert people["missed"] == 1 and people["pem"] == pytest.approx((14 * 0.05 + 3 * 0.25) / 17, rel=1e-5)
