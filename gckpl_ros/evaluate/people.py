"""What evaluation compares: the people of one frame, and frames brought together by stamp."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64

from gckpl_ros.errors import InputError
from gckpl_ros.types import Boxes, Frame, TrackState


@dataclass(frozen=True)
class People:
    """The people of one frame, predicted or true, in the cloud's frame ``frame_id`` (metres, the sensor at its origin).

    ``confidence`` is the claimed P(error < 10 cm), unused in truth; ``counts`` the points on each person, None where
    unknown. Boxes matter in truth only: they gate the matching and scale PCK and OKS.
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
    _check(paired, predictions, truths, tolerance_ns)
    return paired


def _check(
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
