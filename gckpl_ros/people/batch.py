"""A batch of labelled person crops: what the simulator makes, and what training and the adapter's guard take."""

from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor


@dataclass(frozen=True)
class CropBatch:
    """b crops, padded: metres, relative to the detector's box centre, axes of a z-up sensor frame.

    ``views`` is the vector sensor -> box centre, ``labels`` the body part of each point (gckpl_ros.skeleton.PARTS).
    """

    points: Float[Tensor, "b n 3"]
    mask: Bool[Tensor, "b n"]
    views: Float[Tensor, "b 3"]
    labels: Int64[Tensor, "b n"]
    keypoints: Float[Tensor, "b 14 3"]
    counts: Int64[Tensor, " b"]
    """Points per person before sub-sampling."""

    def __len__(self) -> int:
        return len(self.points)

    def rows(self, index: Tensor) -> "CropBatch":
        """The chosen rows, padded no further than their largest needs (points come first in each row)."""
        chosen = {field.name: getattr(self, field.name)[index] for field in fields(self)}
        longest = max(int(chosen["mask"].sum(1).max()) if len(index) else 0, 1)
        for name in ("points", "mask", "labels"):
            chosen[name] = chosen[name][:, :longest]
        return CropBatch(**chosen)

    def to(self, device: torch.device | str) -> "CropBatch":
        """The same batch on another device."""
        return CropBatch(**{field.name: getattr(self, field.name).to(device) for field in fields(self)})

    def split(self, size: int, generator: torch.Generator) -> "list[CropBatch]":
        """Batches of ``size`` rows of similar point count (little padding), in random order; all rows are used."""
        jitter = 1 + 0.2 * torch.rand(len(self), generator=generator, device=self.mask.device)
        order = (self.mask.sum(1) * jitter).argsort()
        chunks = torch.split(order, size)
        shuffled = torch.randperm(len(chunks), generator=generator, device=self.mask.device).tolist()
        return [self.rows(chunks[index]) for index in shuffled]
