"""What learning without labels looks at: a few consecutive crops of each of b people."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from gckpl_ros.learn.flow.pairs import Pairs


@dataclass(frozen=True)
class Tracklets:
    """b people over t frames, padded; metres, axes of a fixed z-up frame (the sensor's own motion is removed).

    As the network takes them, each frame's ``points`` are relative to its own origin and ``views`` leads from the
    sensor to it. ``origins`` are relative to the person's first. Points come first in each row; a frame without any was
    missed.
    """

    points: Float[Tensor, "b t n 3"]
    mask: Bool[Tensor, "b t n"]
    views: Float[Tensor, "b t 3"]
    origins: Float[Tensor, "b t 3"]

    def __len__(self) -> int:
        return len(self.points)

    @property
    def frames(self) -> int:
        """Frames of each person."""
        return self.points.shape[1]

    @property
    def seen(self) -> Bool[Tensor, "b t"]:
        """Frames with points."""
        return self.mask.any(-1)

    def rows(self, index: Tensor) -> "Tracklets":
        """The chosen people, padded no further than they need."""
        chosen = Tracklets(*(getattr(self, one.name)[index] for one in fields(self)))
        longest = max(int(chosen.mask.sum(-1).amax()) if len(chosen) else 0, 1)
        return Tracklets(chosen.points[:, :, :longest], chosen.mask[:, :, :longest], chosen.views, chosen.origins)

    def span(self, start: int, end: int) -> "Tracklets":
        """Frames ``start`` to ``end`` of everybody; origins stay relative to the first frame of all."""
        return Tracklets(*(getattr(self, one.name)[:, start:end] for one in fields(self)))

    def to(self, device: torch.device | str) -> "Tracklets":
        """The same on another device."""
        return Tracklets(*(getattr(self, one.name).to(device) for one in fields(self)))

    def crops(self) -> tuple[Float[Tensor, "c n 3"], Bool[Tensor, "c n"], Float[Tensor, "c 3"]]:
        """Points, mask and views of all b * t frames, as the network takes them."""
        return self.points.flatten(0, 1), self.mask.flatten(0, 1), self.views.flatten(0, 1)

    def pairs(self) -> Pairs:
        """All b * (t - 1) pairs of consecutive frames, around each first one's origin."""
        step = (self.origins[:, 1:] - self.origins[:, :-1]).flatten(0, 1)
        first, later = (self.points[:, rows].flatten(0, 1) for rows in (slice(0, -1), slice(1, None)))
        mask, mask1 = (self.mask[:, rows].flatten(0, 1) for rows in (slice(0, -1), slice(1, None)))
        return Pairs(first, mask, (later + step[:, None]) * mask1[..., None], mask1)


def join(parts: Sequence[Tracklets]) -> Tracklets:
    """All people of several, who have as many frames, padded to the longest crop."""
    longest = max(part.points.shape[2] for part in parts)
    return Tracklets(
        torch.cat([pad_points(part.points, longest) for part in parts]),
        torch.cat([pad_points(part.mask, longest) for part in parts]),
        torch.cat([part.views for part in parts]),
        torch.cat([part.origins for part in parts]),
    )


def pad_points(values: Shaped[Tensor, "b t n *c"], points: int) -> Shaped[Tensor, "b t m *c"]:
    """Zeros behind the third axis up to ``points``."""
    short = points - values.shape[2]
    shape = (*values.shape[:2], short, *values.shape[3:])
    return torch.cat([values, values.new_zeros(shape)], 2) if short else values
