"""Everything that is measured of one recording: ``evaluate(predictions, truths) -> Report``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from jaxtyping import Bool, Int64
from scipy.optimize import linear_sum_assignment

from gckpl_ros.evaluate import metrics
from gckpl_ros.evaluate.matching import Matches, People, accumulate, pair_frames
from gckpl_ros.evaluate.metrics import (
    CORRECT_WITHIN_M,
    POINT_BINS,
    Errors,
    Reliability,
    by_bins,
    error_table,
    reliability,
)

# Is the confidence true? It claims to be the probability that a keypoint lies within 10 cm of its truth.


# Do identities hold? Counts in the sense of CLEAR-MOT (Bernardin and Stiefelhagen, 2008).
#
# Correspondences are those of the keypoint metrics, the best of each frame by itself and not carried over from the
# frame before: a track that slides from one person onto another is a switch, however near the two stand.

MOSTLY: Final = 0.8


def track_scores(matches: Matches) -> dict[str, int | float | None]:
    """Id switches, fragmentations, mostly tracked people, MOTA, IDF1, and how many frames it takes to find somebody.

    A switch: a person is found under another id than when last found. A fragmentation: a person who was found, then
    not, is found again. Mostly tracked: found in at least 80 % of the person's frames. MOTA = 1 - (missed + invented +
    switches) / true people. IDF1 (Ristani et al., 2016): F1 of the frames in which people have the one id that serves
    them best. ``frames_until_found``: mean over the people who were found at all, 0: in the first frame of theirs.
    """
    order = np.lexsort((matches.frame, matches.ids))
    people = np.unique(matches.ids)
    starts = np.searchsorted(matches.ids[order], people)[1:]
    founds, names = (np.split(values[order], starts) for values in (matches.found, matches.predicted_ids))
    switches = sum(_switches(name[found]) for found, name in zip(founds, names, strict=True))
    errors = matches.missed + matches.invented + switches
    waits = [int(found.argmax()) for found in founds if found.any()]
    return {
        "people": len(people),
        "id_switches": switches,
        "fragmentations": sum(map(_fragmentations, founds)),
        "mostly_tracked": float(np.mean([found.mean() >= MOSTLY for found in founds])),
        "mota": 1 - errors / len(matches.ids),
        "idf1": _idf1(matches),
        "frames_until_found": float(np.mean(waits)) if waits else None,
    }


def _idf1(matches: Matches) -> float:
    """Of the best one-to-one assignment of predicted ids to people over the whole recording."""
    found = matches.found
    _, people = np.unique(matches.ids[found], return_inverse=True)
    _, names = np.unique(matches.predicted_ids[found], return_inverse=True)
    together = np.zeros((people.max(initial=-1) + 1, names.max(initial=-1) + 1), np.int64)
    np.add.at(together, (people, names), 1)
    kept = int(together[linear_sum_assignment(together, maximize=True)].sum())
    predicted = int(found.sum()) + matches.invented
    return 2 * kept / (len(matches.ids) + predicted)


def _switches(names: Int64[np.ndarray, " n"]) -> int:
    return int((names[1:] != names[:-1]).sum())


def _fragmentations(found: Bool[np.ndarray, " n"]) -> int:
    starts = np.flatnonzero(found & ~np.concatenate(([False], found[:-1])))
    return max(len(starts) - 1, 0)


# Distance of the person from the sensor (m): name -> [from, to).
RANGE_BINS: Final = {
    "0-5": (0.0, 5.0),
    "5-10": (5.0, 10.0),
    "10-15": (10.0, 15.0),
    "15-20": (15.0, 20.0),
    "20-30": (20.0, 30.0),
    ">=30": (30.0, np.inf),
}


@dataclass(frozen=True)
class Report:
    """The figures, ready for JSON (metres and fractions), and what the plots are drawn from besides."""

    figures: dict[str, Any]
    errors: Errors
    reliability: Reliability


def evaluate(
    predictions: Sequence[People], truths: Sequence[People], tolerance_ns: int = 0, min_points: int = 0
) -> Report:
    """Compare predictions with truth: frames paired by stamp, people by Hungarian matching (``match_people``).

    Raises InputError where there is nothing to compare. Where nobody was found, ``keypoints`` is empty.
    """
    frames = pair_frames(predictions, truths, tolerance_ns)
    matches = accumulate(frames, min_points)
    errors = Errors.of(matches.predicted, matches.truth)
    curve = reliability(matches.confidence, errors.plain)
    figures = {
        "frames": {
            "compared": len(frames),
            "only_truth": len(truths) - len(frames),
            "only_predicted": len(predictions) - len(frames),
        },
        "people": people_scores(matches, errors.plain),
        "tracking": track_scores(matches),
        "keypoints": keypoint_scores(matches, errors) if len(errors) else {},
        "calibration": _calibration(curve),
    }
    return Report(figures, errors, curve)


def people_scores(matches: Matches, errors: metrics.Distances) -> dict[str, Any]:
    """What missed and invented people count in: precision, recall, PEM (m), OKS AP; recall by range and points."""
    total, found = len(matches.ids), len(errors)
    similarity = metrics.oks(errors, matches.scales[matches.found])
    return {
        "true": total,
        "found": found,
        "missed": matches.missed,
        "invented": matches.invented,
        "precision": found / max(found + matches.invented, 1),
        "recall": found / total,
        "pem": metrics.pem(errors, matches.missed_keypoints + matches.invented * errors.shape[1]),
        "oks_ap": metrics.oks_ap(similarity, matches.missed),
        "recall_by_range": _recall(matches, matches.ranges, RANGE_BINS),
        "recall_by_points": _recall(matches, matches.counts, POINT_BINS),
    }


def keypoint_scores(matches: Matches, errors: Errors) -> dict[str, Any]:
    """What is measured on found people alone: the table of errors, Waymo's PCK, mean OKS; by range and points."""
    found = matches.found
    scales = matches.scales[found]
    return error_table(errors) | {
        "pck_box": {f"{t:g}": value for t, value in metrics.pck_box(errors.plain, scales).items()},
        "oks": float(metrics.oks(errors.plain, scales).mean()),
        "by_range": by_bins(matches.ranges[found], RANGE_BINS, errors),
        "by_points": by_bins(matches.counts[found], POINT_BINS, errors),
    }


def _recall(matches: Matches, values: np.ndarray, bins: Mapping[str, tuple[float, float]]) -> dict[str, float]:
    chosen = {name: matches.found[(values >= low) & (values < high)] for name, (low, high) in bins.items()}
    return {name: float(found.mean()) for name, found in chosen.items() if len(found)}


def _calibration(curve: Reliability) -> dict[str, Any]:
    return {
        "within": CORRECT_WITHIN_M,
        "ece": curve.ece,
        "confidence": curve.confidence.tolist(),
        "accuracy": curve.accuracy.tolist(),
        "counts": curve.counts.tolist(),
    }
