"""Simulated crops with known truth that ship: most are rehearsed while learning, the others only guard."""

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final
from zipfile import BadZipFile

import numpy as np
import torch

from gckpl_ros.adapt.batch import CropBatch
from gckpl_ros.errors import InputError
from gckpl_ros.skeleton import NUM_KEYPOINTS, NUM_PARTS

GUARD_EVERY: Final = 4

# Type on disk and shape of one crop; n is the longest crop.
_ARRAYS: Final = {
    "points": (np.float16, ("n", 3)),
    "mask": (np.uint8, ("n",)),
    "views": (np.float32, (3,)),
    "labels": (np.uint8, ("n",)),
    "keypoints": (np.float32, (NUM_KEYPOINTS, 3)),
}


@dataclass(frozen=True)
class Anchors:
    """``replay`` is learnt from, ``guard`` never."""

    replay: CropBatch
    guard: CropBatch

    @staticmethod
    def load(path: Path | None = None) -> "Anchors":
        """Read an .npz file, by default the one that ships; every fourth crop guards. Raises InputError."""
        source = path or shipped_anchors()
        try:
            with source.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                arrays = {name: file[name] for name in _ARRAYS}
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            raise InputError(f"cannot read anchors {source}: {error}; install the package anew") from error
        batch = _batch(arrays, source)
        rows = torch.arange(len(batch))
        guards = rows % GUARD_EVERY == 0
        return Anchors(batch.rows(rows[~guards]), batch.rows(rows[guards]))

    def to(self, device: torch.device | str) -> "Anchors":
        """The same on another device."""
        return Anchors(self.replay.to(device), self.guard.to(device))


def save_anchors(path: Path, crops: CropBatch) -> None:
    """Write labelled crops as ``Anchors.load`` reads them."""
    arrays = {name: getattr(crops, name).cpu().numpy().astype(dtype) for name, (dtype, _) in _ARRAYS.items()}
    np.savez_compressed(path, **arrays)


def shipped_anchors() -> Path:
    """The anchors that ship with the package."""
    return Path(str(files("gckpl_ros.weights") / "anchors.npz"))


def _batch(arrays: dict[str, np.ndarray], source: Path) -> CropBatch:
    wrong = [name for name in arrays if not _fits(name, arrays)]
    if wrong or len(arrays["points"]) < GUARD_EVERY:
        raise InputError(f"anchors {source} hold no usable {', '.join(wrong) or 'crops'}; install the package anew")
    mask = torch.from_numpy(arrays["mask"].astype(bool))
    return CropBatch(
        points=torch.from_numpy(arrays["points"].astype(np.float32)) * mask[..., None],
        mask=mask,
        views=torch.from_numpy(arrays["views"]),
        labels=torch.from_numpy(arrays["labels"].astype(np.int64)),
        keypoints=torch.from_numpy(arrays["keypoints"]),
        counts=mask.sum(1),
    )


def _fits(name: str, arrays: dict[str, np.ndarray]) -> bool:
    """Type and shape, that all is finite, and that labels name parts."""
    array, (dtype, shape) = arrays[name], _ARRAYS[name]
    expected = (len(arrays["points"]), *(arrays["points"].shape[1] if size == "n" else size for size in shape))
    known = name != "labels" or array.max(initial=0) < NUM_PARTS
    return array.dtype == dtype and array.shape == expected and bool(np.isfinite(array).all()) and bool(known)
