"""Tracklets in memory: one person over a few frames, packed without padding in half precision, and back to a batch."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Float16, Float32, Float64, Int64, UInt8

from gckpl_ros.batch import PersonBatch

WIDEST_M: Final = 4.0
"""Float16 keeps 2 mm up to here: points further from their box's centre belong to no person."""
LATE_S: Final = 60.0
"""Frames that only fill up a batch come so much later than the last one that they mean nothing to it."""


@dataclass(frozen=True)
class Tracklet:
    """One person over t frames, m points in all, ``counts`` of each frame; metres, axes of the fixed frame.

    ``points`` are relative to their frame's box centre, to which ``views`` lead from the sensor; ``origins`` are the
    box centres relative to the first one's, which lies at ``place``. What a teacher says is None until it was asked:
    keypoints relative to each frame's box centre, how sure, and the part of each point.
    """

    person: int
    place: Float64[np.ndarray, "3"]
    points: Float16[np.ndarray, "m 3"]
    counts: Int64[np.ndarray, " t"]
    views: Float32[np.ndarray, "t 3"]
    origins: Float32[np.ndarray, "t 3"]
    dt_s: Float64[np.ndarray, " t"]
    """Seconds since the frame before; 0 in the first."""
    keypoints: Float16[np.ndarray, "t 14 3"] | None = None
    confidence: Float16[np.ndarray, "t 14"] | None = None
    parts: UInt8[np.ndarray, " m"] | None = None

    @cached_property
    def speed_m_s(self) -> float:
        """Straight from the first seen frame's box to the last one's."""
        first, last = np.flatnonzero(self.counts)[[0, -1]]
        way = np.linalg.norm(self.origins[last] - self.origins[first])
        return float(way / max(self.dt_s[first + 1 : last + 1].sum(), 1e-3))

    @cached_property
    def range_m(self) -> float:
        """How far from the sensor, in the median."""
        return float(np.median(np.linalg.norm(self.views[self.counts > 0], axis=1)))

    @cached_property
    def pose(self) -> Float32[np.ndarray, "14 3"]:
        """The keypoints of the best seen frame around their mean."""
        assert self.keypoints is not None, "no teacher was asked about this person"
        keypoints = self.keypoints[self.counts.argmax()].astype(np.float32)
        pose: np.ndarray = keypoints - keypoints.mean(0)
        return pose

    @cached_property
    def nbytes(self) -> int:
        """Memory of all arrays, with the pose where there is one."""
        arrays = [value for one in fields(self) if isinstance(value := getattr(self, one.name), np.ndarray)]
        return sum(array.nbytes for array in arrays) + (0 if self.keypoints is None else self.pose.nbytes)

    @property
    def frames_with_next(self) -> Int64[np.ndarray, " p"]:
        """Frames that, like the one after them, have points."""
        there = self.counts > 0
        return np.flatnonzero(there[:-1] & there[1:])


def unpack(tracklets: Sequence[Tracklet]) -> PersonBatch:
    """People as teachers and networks take them; pseudo-labels where all of them have some.

    Behind shorter tracklets come frames without points, so late that they mean nothing to the others.
    """
    most = max(len(one.counts) for one in tracklets)
    tracklets = [_with_frames(one, most) for one in tracklets]
    longest = max(int(one.counts.max()) for one in tracklets)
    mask = np.stack([_mask(one, longest) for one in tracklets])

    def points(name: str, dtype: Any) -> np.ndarray:
        packed = [getattr(one, name) for one in tracklets]
        padded = np.zeros((*mask.shape, *packed[0].shape[1:]), dtype)
        padded[mask] = np.concatenate(packed)
        return padded

    def frames(name: str) -> np.ndarray:
        return np.stack([getattr(one, name) for one in tracklets]).astype(np.float32)

    arrays = {"points": points("points", np.float32), "mask": mask}
    arrays |= {name: frames(name) for name in ("views", "origins", "dt_s")}
    if all(one.keypoints is not None for one in tracklets):
        arrays |= {name: frames(name) for name in ("keypoints", "confidence")} | {"parts": points("parts", np.int64)}
    return PersonBatch(**{name: torch.from_numpy(array) for name, array in arrays.items()})


def labelled(tracklets: Sequence[Tracklet], people: PersonBatch) -> list[Tracklet]:
    """The same tracklets with the pseudo-labels of ``people``, row by row."""
    keypoints, confidence = (
        people.required(name).cpu().numpy().astype(np.float16) for name in ("keypoints", "confidence")
    )
    parts = people.required("parts").cpu().numpy().astype(np.uint8)
    rows = zip(tracklets, keypoints, confidence, parts, strict=True)
    return [_labelled(one, len(one.counts), *values) for one, *values in rows]


def _labelled(one: Tracklet, frames: int, keypoints: np.ndarray, confidence: np.ndarray, parts: np.ndarray) -> Tracklet:
    return replace(
        one,
        keypoints=keypoints[:frames].copy(),
        confidence=confidence[:frames].copy(),
        parts=parts[:frames][_mask(one, parts.shape[1])],
    )


def _with_frames(tracklet: Tracklet, frames: int) -> Tracklet:
    """The same with so many frames, no fewer than now."""
    more = frames - len(tracklet.counts)

    def held(values: np.ndarray) -> np.ndarray:
        return np.concatenate([values, np.repeat(values[-1:], more, 0)])

    def zeros(values: np.ndarray) -> np.ndarray:
        return np.concatenate([values, np.zeros((more, *values.shape[1:]), values.dtype)])

    if not more:
        return tracklet
    changed: dict[str, Any] = {name: held(getattr(tracklet, name)) for name in ("views", "origins")}
    changed |= {"counts": zeros(tracklet.counts), "dt_s": np.append(tracklet.dt_s, [LATE_S] * more)}
    if tracklet.keypoints is not None:
        changed |= {name: zeros(getattr(tracklet, name)) for name in ("keypoints", "confidence")}
    return replace(tracklet, **changed)


def _mask(tracklet: Tracklet, longest: int) -> np.ndarray:
    """Where the points of each frame lie in rows of so many points (t, n)."""
    mask: np.ndarray = np.arange(longest) < tracklet.counts[:, None]
    return mask
