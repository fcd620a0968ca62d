"""Which prediction is which true person: Hungarian matching within a frame, as for Waymo's Pose Estimation Metric."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Float32, Int64
from scipy.optimize import linear_sum_assignment

from gckpl_ros.errors import InputError
from gckpl_ros.evaluate.metrics import box_scale, mean_of_known
from gckpl_ros.geometry import turned
from gckpl_ros.skeleton import KEYPOINTS
from gckpl_ros.types import Boxes, Frame, TrackState

# What evaluation compares: the people of one frame, and frames brought together by stamp.


@dataclass(frozen=True)
class People:
    """The people of one frame, predicted or true, in the cloud's frame ``frame_id`` (metres, the sensor at its origin).

    ``confidence`` is the claimed P(error < 10 cm), unused in truth; ``counts`` the points on each person, None where
    unknown. Keypoints of truth may be NaN: unknown. Boxes matter in truth only: they gate the matching, and scale PCK
    and OKS.
    """

    stamp_ns: int
    frame_id: str
    ids: Int64[np.ndarray, " b"]
    keypoints: Float32[np.ndarray, "b 14 3"]
    confidence: Float32[np.ndarray, "b 14"]
    boxes: Boxes
    counts: Int64[np.ndarray, " b"] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @staticmethod
    def of(frame: Frame, counts: Int64[np.ndarray, " b"] | None = None) -> "People":
        """The people seen in a frame; lost ones, whose place is only extrapolated, are left out."""
        tracks = frame.tracks
        seen = tracks.states != TrackState.LOST
        skeletons = tracks.skeletons[seen]
        counts = None if counts is None else counts[seen]
        people = (tracks.ids[seen], skeletons.keypoints, skeletons.confidence, tracks.boxes[seen], counts)
        return People(frame.stamp_ns, frame.frame_id, *people)


def pair_frames(
    predictions: Sequence[People], truths: Sequence[People], tolerance_ns: int = 0
) -> list[tuple[People, People]]:
    """Frames of both sides with stamps at most ``tolerance_ns`` apart, in time order, each frame used once.

    Every truth takes the nearest prediction; InputError where a side is empty, nothing overlaps, or frames differ.
    """
    for side, frames in (("predictions", predictions), ("truth", truths)):
        if not frames:
            raise InputError(f"there are no {side}: the topic holds no messages; check the recording and the topic")
    predictions = sorted(predictions, key=lambda people: people.stamp_ns)
    stamps = np.array([people.stamp_ns for people in predictions], np.int64)
    pairs: dict[int, tuple[int, People]] = {}
    for truth in sorted(truths, key=lambda people: people.stamp_ns):
        nearest = int(np.abs(stamps - truth.stamp_ns).argmin())
        gap = abs(int(stamps[nearest]) - truth.stamp_ns)
        if gap <= tolerance_ns and gap < pairs.get(nearest, (tolerance_ns + 1, truth))[0]:
            pairs[nearest] = (gap, truth)
    paired = [(predictions[index], truth) for index, (_, truth) in sorted(pairs.items())]
    _check_pairs(paired, predictions, truths, tolerance_ns)
    return paired


def _check_pairs(
    paired: list[tuple[People, People]], predictions: Sequence[People], truths: Sequence[People], tolerance_ns: int
) -> None:
    if not paired:
        raise InputError(
            f"no stamp of the predictions ({_span(predictions)}) is within {tolerance_ns / 1e6:g} ms of one of the "
            f"truth ({_span(truths)}): give the truth of the same recording, or a larger tolerance"
        )
    frames = {(prediction.frame_id, truth.frame_id) for prediction, truth in paired}
    differing = sorted(pair for pair in frames if pair[0] != pair[1])
    if differing:
        raise InputError(
            "predictions are in frame '{}' but truth is in frame '{}': both must be in the cloud's frame".format(
                *differing[0]
            )
        )


def _span(frames: Sequence[People]) -> str:
    stamps = [people.stamp_ns for people in frames]
    return f"{len(stamps)} frames, {min(stamps) / 1e9:.3f} s to {max(stamps) / 1e9:.3f} s"


GATE_M: Final = 0.25
_FORBIDDEN: Final = 1e6


def match_people(
    predicted: Float[np.ndarray, "p 14 3"], truth: Float[np.ndarray, "t 14 3"], boxes: Boxes
) -> tuple[Int64[np.ndarray, " m"], Int64[np.ndarray, " m"]]:
    """Indices (truth, predicted) of the matched pairs: as many as can be, and of those the least sum of MPJPE.

    MPJPE is of the known keypoints. Only candidates are matched: predictions with a keypoint within 0.25 m of the
    truth's box.
    """
    allowed = candidates(predicted, boxes)
    errors = mean_of_known(np.linalg.norm(truth[:, None] - predicted[None], axis=-1), -1)
    apart = np.linalg.norm(boxes.centers[:, None] - predicted.mean(1), axis=-1)  # of truth without any keypoint
    errors = np.where(np.isnan(errors), apart, errors)
    rows, columns = linear_sum_assignment(np.where(allowed, errors, _FORBIDDEN))
    valid = allowed[rows, columns]
    return rows[valid], columns[valid]


def candidates(predicted: Float[np.ndarray, "p 14 3"], boxes: Boxes, gate: float = GATE_M) -> Bool[np.ndarray, "t p"]:
    """Whether each prediction has at least one keypoint at most ``gate`` (m) away from each box."""
    in_axes = turned(predicted[None] - boxes.centers[:, None, None], -boxes.yaws)
    outside = np.clip(np.abs(in_axes) - boxes.sizes[:, None, None] / 2, 0, None)
    near: Bool[np.ndarray, "t p"] = (np.linalg.norm(outside, axis=-1) <= gate).any(-1)
    return near


# All people of all frames in flat arrays: what every metric is computed from.


@dataclass(frozen=True)
class Matches:
    """Every true person of every frame (t rows), and the keypoints of those that were found (m rows, same order).

    ``ranges`` (m) from the sensor to the box centre; ``scales`` (m) of the boxes; ``counts`` of points, -1 where
    unknown; ``known`` of how many keypoints the truth is; ``predicted_ids`` is 0 where ``found`` is False; ``invented``
    counts predictions that match nobody.
    """

    frame: Int64[np.ndarray, " t"]
    ids: Int64[np.ndarray, " t"]
    ranges: Float[np.ndarray, " t"]
    scales: Float[np.ndarray, " t"]
    counts: Int64[np.ndarray, " t"]
    known: Int64[np.ndarray, " t"]
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

    @property
    def missed_keypoints(self) -> int:
        """Keypoints of theirs whose truth is known."""
        return int(self.known[~self.found].sum())


def accumulate(frames: Iterable[tuple[People, People]], min_points: int = 0) -> Matches:
    """Match (prediction, truth) frame by frame; InputError where truth holds nobody or a box without size.

    True people with fewer points than ``min_points`` (where counts are known) or without any known keypoint are left
    out, and so are the predictions that match them: finding them is neither asked for nor punished.
    """
    parts = [_match_frame(index, prediction, truth, min_points) for index, (prediction, truth) in enumerate(frames)]
    arrays = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in Matches.__dataclass_fields__
        if name != "invented"
    }
    if not len(arrays["ids"]):
        raise InputError(
            f"the truth holds nobody with known keypoints and at least {min_points} points in the frames compared: "
            "check its topic and its joint_names, or ask for fewer points"
        )
    return Matches(**arrays, invented=sum(part.invented for part in parts))


def _match_frame(index: int, prediction: People, truth: People, min_points: int) -> Matches:
    _check(prediction)
    if not (truth.boxes.sizes > 0).all():
        raise InputError(
            f"a true person's box at stamp {truth.stamp_ns} ns has no size: matching, PCK and OKS need length, width "
            "and height in metres"
        )
    rows, columns = match_people(prediction.keypoints, truth.keypoints, truth.boxes)
    counts = np.full(len(truth), -1) if truth.counts is None else truth.counts
    known = (~np.isnan(truth.keypoints).any(-1)).sum(-1)
    asked = ((counts < 0) | (counts >= min_points)) & (known > 0)
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
        known=known[asked],
        found=found,
        predicted_ids=predicted_ids,
        predicted=prediction.keypoints[chosen],
        truth=truth.keypoints[asked][found],
        confidence=prediction.confidence[chosen],
        invented=len(prediction) - len(columns),
    )


def _check(people: People) -> None:
    """Raises InputError for predictions that are not whole: none may be left out."""
    absent = ~np.isfinite(people.keypoints).all((0, 2))
    if absent.any():
        names = ", ".join(name for name, is_absent in zip(KEYPOINTS, absent, strict=True) if is_absent)
        raise InputError(
            f"a predicted person at stamp {people.stamp_ns} ns lacks keypoints ({names}): all 14 must be there and "
            "finite; check joint_names in the recording"
        )
