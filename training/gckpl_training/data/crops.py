"""Simulated crops stored for many uses: shards of int16 points, mapped into memory, thinned and changed while loading.

A shard is an .npz without compression; crops lie one behind the other without padding, points in half millimetres in
the order of the runtime's thinning, so that the first points of a crop are the crop thinned. Arrays: points (p, 3),
labels (p,), n (c,), views (c, 3), keypoints (c, 14, 3), counts (c,).
"""

import zipfile
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from gckpl_ros.batch import PersonBatch
from gckpl_ros.errors import InputError
from gckpl_ros.files import atomic_write
from gckpl_ros.skeleton import BACKGROUND, MIRROR
from gckpl_training.simulate.augment import cut_off

POINT_M: Final = 1 / 2000
THINNED: Final = (96, 192)
"""A crop is thinned to a number of points between these, as the runtime thins (``crop.max_points``)."""
SCALED: Final = (0.93, 1.07)
MIRRORED_PARTS: Final = torch.tensor([*MIRROR, BACKGROUND])
_OFTEN, _RARELY = 4.0, 0.25


def save_crops(path: Path, crops: PersonBatch) -> None:
    """Write crops without their padding, whole or not at all; raises InputError where it cannot."""
    there, points = crops.mask, crops.points[crops.mask] / POINT_M
    with atomic_write(path) as beside, beside.open("wb") as file:
        np.savez(
            file,
            points=points.round().clamp(-32767, 32767).short().numpy(),
            labels=crops.required("parts")[there].byte().numpy(),
            n=there.sum(1).short().numpy(),
            views=crops.views.numpy(),
            keypoints=crops.required("keypoints").numpy(),
            counts=crops.required("counts").int().numpy(),
        )


def mapped(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an uncompressed .npz where they lie in the file, read when they are looked at."""
    arrays: dict[str, np.ndarray] = {}
    try:
        with zipfile.ZipFile(path) as held:
            for member in held.infolist():
                with held.open(member) as file:
                    np.lib.format.read_magic(file)
                    shape, _, kind = np.lib.format.read_array_header_1_0(file)
                size = int(np.prod(shape)) * kind.itemsize
                if member.compress_type != zipfile.ZIP_STORED:
                    raise InputError(f"{path} is compressed: simulate it anew")
                # behind the local header, whose length is not that of the directory at the end, comes the array itself
                end = _starts(path, member) + member.file_size
                arrays[member.filename.removesuffix(".npy")] = np.memmap(path, kind, "r", end - size, shape)
    except (OSError, zipfile.BadZipFile, ValueError) as error:
        raise InputError(f"cannot read shard {path}: {error}; delete it and simulate it anew") from error
    return arrays


def _starts(path: Path, member: zipfile.ZipInfo) -> int:
    with path.open("rb") as file:
        file.seek(member.header_offset + 26)
        name, extra = np.frombuffer(file.read(4), "<u2")
    return member.header_offset + 30 + int(name) + int(extra)


class Hardness:
    """How far the network was last off on each stored crop (m), for drawing the hard ones more often.

    What it was when crops were last drawn is kept beside what was noted since: a resumed run draws the same again.
    """

    def __init__(self, crops: int) -> None:
        self.used, self.noted = torch.full((crops,), torch.nan), torch.full((crops,), torch.nan)
        self._since: Tensor | None = None

    def weights(self, power: float) -> Float[Tensor, " c"]:
        """Chances of all crops, in no unit: error over the mean to a power, 1 where it is not known, 0.25 to 4."""
        self.used = self.noted.clone()
        if self._since is not None:
            self.noted, self._since = self._since, None
        mean = self.used.nanmean()
        return (self.used / mean).nan_to_num(1.0).pow(power).clamp(_RARELY, _OFTEN)

    def note(self, crops: Int64[Tensor, " b"], error_m: Float[Tensor, " b"]) -> None:
        """Errors of crops just seen."""
        self.noted[crops] = error_m.to(self.noted)

    def state_dict(self) -> dict[str, Tensor]:
        """Both, in half precision."""
        return {"used": self.used.half(), "noted": self.noted.half()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """As of the last draw, until it has been drawn again; crops that are new since are not known."""
        held = {name: torch.full_like(self.used, torch.nan) for name in state}
        for name, values in state.items():
            n = min(len(values), len(self.used))
            held[name][:n] = values[:n].float()
        self.noted, self._since = held["used"], held["noted"]


class StoredCrops:
    """All crops of a folder, each by its number; raises InputError where there is none."""

    def __init__(self, folder: Path) -> None:
        paths = sorted(folder.glob("*.npz"))
        if not paths:
            raise InputError(f"no shards in {folder}: make some with `gckpl data simulate --out {folder}`")
        self._arrays = [mapped(path) for path in paths]
        self.ends = np.cumsum([len(arrays["n"]) for arrays in self._arrays])

    def __len__(self) -> int:
        return int(self.ends[-1])

    @cached_property
    def _first(self) -> list[Int64[np.ndarray, " c"]]:
        lengths = [arrays["n"].astype(np.int64) for arrays in self._arrays]
        return [length.cumsum() - length for length in lengths]

    def shard(self, place: int) -> Int64[Tensor, " c"]:
        """Numbers of the crops of one shard."""
        return torch.arange(self.ends[place] - len(self._arrays[place]["n"]), self.ends[place])

    def draw(self, weights: Float[Tensor, " c"], n: int, g: torch.Generator) -> Int64[Tensor, " n"]:
        """Numbers of n crops by their chances, a crop no more than once; in the order in which they lie on disk."""
        chances = weights / torch.empty_like(weights).exponential_(generator=g)  # Efraimidis and Spirakis 2006
        return chances.topk(min(n, len(self))).indices.sort().values

    def batches(
        self, crops: Int64[Tensor, " c"], size: int, g: torch.Generator, cut: float = 0.0
    ) -> Iterator[PersonBatch]:
        """Crops once each, in batches of like length: thinned, half of them mirrored, scaled by up to 7 %.

        ``ids`` are their numbers; ``cut``: chance that a field of view ends across somebody.
        """
        pool = self._read(crops)
        n = pool["n"].long()
        first, most = n.cumsum(0) - n, torch.randint(*THINNED, (len(n),), generator=g)
        kept = torch.minimum(n, most)
        order = (kept * (1 + 0.15 * torch.rand(len(n), generator=g))).argsort()
        groups = order[: len(n) // size * size].view(-1, size)
        for rows in groups[torch.randperm(len(groups), generator=g)]:
            mask = torch.arange(int(kept[rows].max())) < kept[rows, None]
            at = (first[rows, None] + torch.arange(mask.shape[1])).clamp_max(len(pool["points"]) - 1)
            flip = torch.rand(size, generator=g) < 0.5
            scale = SCALED[0] + (SCALED[1] - SCALED[0]) * torch.rand(size, 1, generator=g)
            side = torch.ones(size, 3).masked_fill(flip[:, None] & (torch.arange(3) == 1), -1.0) * scale
            keypoints, parts = pool["keypoints"][rows], pool["labels"][at].long() * mask
            batch = PersonBatch(
                points=pool["points"][at].float() * POINT_M * side[:, None] * mask[..., None],
                mask=mask,
                views=pool["views"][rows] * side,
                parts=torch.where(flip[:, None], MIRRORED_PARTS[parts], parts),
                keypoints=torch.where(flip[:, None, None], keypoints[:, list(MIRROR)], keypoints) * side[:, None],
                counts=pool["counts"][rows].long(),
                ids=crops[rows],
            )
            if cut:
                batch = _only(batch, cut_off(batch.points + batch.views[:, None], batch.mask, g, cut))
            yield batch

    def _read(self, crops: Int64[Tensor, " c"]) -> dict[str, Tensor]:
        """Arrays as a shard's, of crops in ascending order."""
        numbers = crops.numpy()
        parts: dict[str, list[np.ndarray]] = {}
        for place, arrays in enumerate(self._arrays):
            start, end = self.ends[place] - len(arrays["n"]), self.ends[place]
            rows = numbers[(numbers >= start) & (numbers < end)] - start
            first, n = self._first[place][rows], arrays["n"][rows].astype(np.int64)
            for name in ("points", "labels"):
                whole = arrays[name]
                parts.setdefault(name, []).extend(whole[a : a + m] for a, m in zip(first, n, strict=True))
            for name in ("n", "views", "keypoints", "counts"):
                parts.setdefault(name, []).append(arrays[name][rows])
        return {name: torch.from_numpy(np.concatenate(found)) for name, found in parts.items()}


def _only(batch: PersonBatch, stays: Bool[Tensor, "b n"]) -> PersonBatch:
    """The points that stay, first in each row."""
    order = (~stays).byte().argsort(dim=1, stable=True)
    mask = stays.gather(1, order)
    points = batch.points.gather(1, order[..., None].expand(-1, -1, 3)) * mask[..., None]
    parts = batch.required("parts").gather(1, order) * mask
    return PersonBatch(
        points, mask, batch.views, parts=parts, keypoints=batch.keypoints, counts=mask.sum(1), ids=batch.ids
    )
