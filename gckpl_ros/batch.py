"""The one batch of people: everything that is known of them, by name; each consumer takes it whole.

Leading dimensions are people, or people over time: (b,) for the people of one cloud, (b, t) for tracklets, (b, 2) for
pairs of consecutive frames. What nobody said is None. Metres, seconds; axes of a z-up frame.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Final

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

FRAME_S: Final = 0.1
"""Time between two frames where nobody says another, and the one by which what looks at several frames was tuned."""
_JITTER: Final = 0.05
_PER_POINT: Final = {"per_point": True}


@dataclass(frozen=True)
class PersonBatch:
    """Points of people, padded, and what belongs to them; ``*b`` is (b,) or (b, t).

    ``points`` are relative to each row's origin (a detector's box centre), ``views`` lead from the sensor to it. Points
    come first in each row; a row without any was missed. What padding holds means nothing.
    """

    points: Float[Tensor, "*b n 3"] = field(metadata=_PER_POINT)
    mask: Bool[Tensor, "*b n"] = field(metadata=_PER_POINT)
    views: Float[Tensor, "*b 3"]
    origins: Float[Tensor, "*b 3"] | None = None
    """Of each row, in the cloud's frame; of tracklets in a fixed frame, relative to the person's first."""
    counts: Int64[Tensor, "*b"] | None = None
    """Points of each row before sub-sampling."""
    index: Int64[Tensor, "*b n"] | None = field(default=None, metadata=_PER_POINT)
    """Places of the points in the cloud; -1 where padded."""
    dt_s: Float[Tensor, "*b"] | None = None
    """Seconds since the person's frame before; 0 in the first."""
    ids: Int64[Tensor, "*b"] | None = None
    """Of tracks."""
    parts: Int64[Tensor, "*b n"] | None = field(default=None, metadata=_PER_POINT)
    """Body part of each point (gckpl_ros.skeleton.PARTS): truth or pseudo-labels."""
    keypoints: Float[Tensor, "*b 14 3"] | None = None
    """Relative to the row's origin: truth or pseudo-labels."""
    keypoint_mask: Bool[Tensor, "*b 14"] | None = None
    """Which keypoints are known; None: all. Real labels lack occluded ones."""
    confidence: Float[Tensor, "*b 14"] | None = None
    """How sure pseudo-labels are, 0..1; 0 in rows without points."""
    flow: Float[Tensor, "*b n 3"] | None = field(default=None, metadata=_PER_POINT)
    """How far each point moves to the other frame of a pair."""
    flow_confidence: Float[Tensor, "*b n"] | None = field(default=None, metadata=_PER_POINT)
    """How sure that is, 0..1."""
    boxes: Float[Tensor, "*b 7"] | None = None
    """Centre relative to the row's origin, size (length, width, height), yaw (rad)."""
    image_features: Float[Tensor, "*b n f"] | None = field(default=None, metadata=_PER_POINT)
    """What a camera sees at each point's pixel."""
    keypoints_2d: Float[Tensor, "*b 14 3"] | None = None
    """Column and row (px) and confidence of each keypoint in the camera's image."""
    camera: Float[Tensor, "*b 3 4"] | None = None
    """Projection of points relative to the row's origin into that image (homogeneous px)."""

    def __len__(self) -> int:
        return len(self.points)

    @property
    def frames(self) -> int:
        """Frames of each person: of tracklets and pairs; 1 for the people of one cloud."""
        return self.mask.shape[1] if self.mask.ndim == 3 else 1

    @property
    def times(self) -> Float[Tensor, "b t"]:
        """When each frame of tracklets was, since the first, in frames of 0.1 s: 0, 1, 2 .. at 10 Hz."""
        if self.dt_s is None:
            return torch.arange(self.frames, device=self.mask.device).expand(self.mask.shape[:2]).to(self.points.dtype)
        steps = in_frames(self.dt_s)
        return steps.cumsum(1) - steps[:, :1]

    @property
    def seen(self) -> Bool[Tensor, "*b"]:
        """Rows with points."""
        return self.mask.any(-1)

    def required(self, name: str) -> Tensor:
        """A field that the caller cannot do without; AssertionError where nobody filled it."""
        value: Tensor | None = getattr(self, name)
        assert value is not None, f"these people have no {name}"
        return value

    @staticmethod
    def empty() -> "PersonBatch":
        """Nobody."""
        nothing = torch.zeros(0, 0)
        return PersonBatch(torch.zeros(0, 0, 3), nothing.bool(), views=torch.zeros(0, 3), origins=torch.zeros(0, 3))

    def rows(self, index: Tensor | np.ndarray) -> "PersonBatch":
        """The people chosen by an index or a mask, padded no further than they need."""
        chosen = torch.as_tensor(index, device=self.mask.device)
        return self._each(lambda value: value[chosen]).trimmed()

    def frame(self, place: int) -> "PersonBatch":
        """One frame of tracklets or pairs; origins stay relative to the first frame of all."""
        return self._each(lambda value: value[:, place])

    def span(self, start: int, end: int) -> "PersonBatch":
        """Frames ``start`` to ``end`` of tracklets; origins stay relative to the first frame of all."""
        return self._each(lambda value: value[:, start:end])

    def pick(self, person: Int64[Tensor, " p"], frame: Int64[Tensor, "p k"]) -> "PersonBatch":
        """k frames of each chosen person (p, k), padded no further than they need."""
        return self._each(lambda value: value[person[:, None], frame]).trimmed()

    def flat(self) -> "PersonBatch":
        """All frames of tracklets as people of their own, as networks take them; people of one cloud as they are."""
        return self._each(lambda value: value.flatten(0, 1)) if self.mask.ndim == 3 else self

    def around_first(self) -> "PersonBatch":
        """Tracklets or pairs whose every frame has the person's first origin: who stands still does not move."""
        origins = self.required("origins")
        shift = origins - origins[:, :1]
        moved = (self.points + shift[..., None, :]).masked_fill(~self.mask[..., None], 0.0)
        keypoints = None if self.keypoints is None else self.keypoints + shift[..., None, :]
        first = origins[:, :1].expand_as(origins)
        return replace(self, points=moved, views=self.views - shift, origins=first, keypoints=keypoints)

    def to(self, device: torch.device | str) -> "PersonBatch":
        """The same on another device."""
        return self._each(lambda value: value.to(device))

    def padded(self, points: int) -> "PersonBatch":
        """Rows with room for so many points, no fewer than now: zeros behind (-1 for places in the cloud)."""
        axis, more = self.mask.ndim - 1, points - self.mask.shape[-1]
        if more == 0:
            return self

        def pad(name: str, value: Tensor) -> Tensor:
            behind = (*value.shape[:axis], more, *value.shape[axis + 1 :])
            return torch.cat([value, value.new_full(behind, -1 if name == "index" else 0)], axis)

        return replace(self, **{name: pad(name, value) for name, value in self._filled() if name in _POINTWISE})

    def trimmed(self) -> "PersonBatch":
        """Padded no further than the longest row needs, at least one point where there is room for one."""
        axis = self.mask.ndim - 1
        longest = max(int(self.mask.sum(-1).max()) if self.mask.numel() else 0, 1)
        if longest >= self.mask.shape[-1]:
            return self
        return replace(self, **{n: value.narrow(axis, 0, longest) for n, value in self._filled() if n in _POINTWISE})

    def split(self, size: int, generator: torch.Generator) -> "list[PersonBatch]":
        """Batches of ``size`` rows of similar point count (little padding), in random order; all rows are used."""
        jitter = 1 + 0.2 * torch.rand(len(self), generator=generator, device=self.mask.device)
        order = (self.mask.sum(1) * jitter).argsort()
        chunks = torch.split(order, size)
        shuffled = torch.randperm(len(chunks), generator=generator, device=self.mask.device).tolist()
        return [self.rows(chunks[index]) for index in shuffled]

    @staticmethod
    def join(parts: "Sequence[PersonBatch]") -> "PersonBatch":
        """All people of several batches; what only some of them know is left out."""
        return _together(parts, torch.cat)

    @staticmethod
    def stack(frames: "Sequence[PersonBatch]") -> "PersonBatch":
        """Tracklets out of the same people frame by frame, rows in the same order."""
        return _together(frames, lambda values: torch.stack(values, 1))

    def _filled(self) -> Iterator[tuple[str, Tensor]]:
        return ((one.name, value) for one in fields(self) if (value := getattr(self, one.name)) is not None)

    def _each(self, change: Callable[[Tensor], Tensor]) -> "PersonBatch":
        return PersonBatch(**{name: change(value) for name, value in self._filled()})


def in_frames(dt_s: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Seconds as frames of 0.1 s; what a stamp's jitter adds to a whole number (up to a twentieth) does not count."""
    frames = dt_s / FRAME_S
    whole = frames.round()
    return torch.where((frames - whole).abs() <= _JITTER, whole, frames)


_POINTWISE: Final = {one.name for one in fields(PersonBatch) if one.metadata == _PER_POINT}


def _together(parts: Sequence[PersonBatch], combine: Callable[[list[Tensor]], Tensor]) -> PersonBatch:
    """One batch of several, padded to the longest row of all."""
    longest = max(part.mask.shape[-1] for part in parts)
    columns = [dict(part.padded(longest)._filled()) for part in parts]
    common = [name for name in columns[0] if all(name in column for column in columns)]
    return PersonBatch(**{name: combine([column[name] for column in columns]) for name in common})
