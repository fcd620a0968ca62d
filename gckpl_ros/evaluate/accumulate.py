"""All people of all frames in flat arrays: what every metric is computed from."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Int64

from gckpl_ros.errors import InputError
from gckpl_ros.evaluate.matching import match_people
from gckpl_ros.evaluate.metrics import box_scale
from gckpl_ros.evaluate.people import People
from gckpl_ros.skeleton import KEYPOINTS


@dataclass(frozen=True)
class Matches:
    """Every true person of every frame (t rows), and the keypoints of those that were found (m rows, same order).

    ``ranges`` (m) from the sensor to the box centre; ``scales`` (m) of the boxes; ``counts`` of points, -1 where
    unknown; ``predicted_ids`` is 0 where ``found`` is False; ``invented`` counts predictions that match nobody.
    """

    frame: Int64[np.ndarray, " t"]
    ids: Int64[np.ndarray, " t"]
    ranges: Float[np.ndarray, " t"]
    scales: Float[np.ndarray, " t"]
    counts: Int64[np.ndarray, " t"]
    found: Bool[np.ndarray, " t"]
    predicted_ids: Int64[np.ndarray, " t"]
    predicted: Float32[np.ndarray, "m 14 3"]
    truth: Float32[np.ndarray, "m 14 3"]
    confidence: Float32[np.ndarray, "m 14"]
    invented: int

    @property
    def missed(self) -> int:
        """True people whom no prediction matches."""
        return int((~self.found).sum())


def accumulate(frames: Iterable[tuple[People, People]], min_points: int = 0) -> Matches:
    """Match (prediction, truth) frame by frame; InputError where truth holds nobody or a box without size.

    True people with fewer points than ``min_points`` (where counts are known) are left out, and so are the
    predictions that match them: finding them is neither asked for nor punished.
    """
    parts = [_match_frame(index, prediction, truth, min_points) for index, (prediction, truth) in enumerate(frames)]
    arrays = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in Matches.__dataclass_fields__
        if name != "invented"
    }
    if not len(arrays["ids"]):
        raise InputError(
            f"the truth holds nobody with at least {min_points} points in the frames compared: check its topic, or "
            "ask for fewer points"
        )
    return Matches(**arrays, invented=sum(part.invented for part in parts))


def _match_frame(index: int, prediction: People, truth: People, min_points: int) -> Matches:
    _check(prediction, "predicted")
    _check(truth, "true")
    if not (truth.boxes.sizes > 0).all():
        raise InputError(
            f"a true person's box at stamp {truth.stamp_ns} ns has no size: matching, PCK and OKS need length, width "
            "and height in metres"
        )
    rows, columns = match_people(prediction.keypoints, truth.keypoints, truth.boxes)
    counts = np.full(len(truth), -1) if truth.counts is None else truth.counts
    asked = (counts < 0) | (counts >= min_points)
    partner = np.full(len(truth), -1)
    partner[rows] = columns
    found = (partner >= 0)[asked]
    chosen = partner[asked][found]
    predicted_ids = np.zeros(len(found), np.int64)
    predicted_ids[found] = prediction.ids[chosen]
    return Matches(
        frame=np.full(len(found), index),
        ids=truth.ids[asked],
        ranges=np.linalg.norm(truth.boxes.centers[asked], axis=1),
        scales=box_scale(truth.boxes.sizes[asked]),
        counts=counts[asked],
        found=found,
        predicted_ids=predicted_ids,
        predicted=prediction.keypoints[chosen],
        truth=truth.keypoints[asked][found],
        confidence=prediction.confidence[chosen],
        invented=len(prediction) - len(columns),
    )


def _check(people: People, side: str) -> None:
    absent = ~np.isfinite(people.keypoints).all((0, 2))
    if absent.any():
        names = ", ".join(name for name, is_absent in zip(KEYPOINTS, absent, strict=True) if is_absent)
        raise InputError(
            f"a {side} person at stamp {people.stamp_ns} ns lacks keypoints ({names}): all 14 must be there and "
            "finite; check joint_names in the recording"
        )
