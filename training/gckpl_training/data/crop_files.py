"""Crop sequences on disk (.npz): tracklets as the network takes them, with labels where they are known.

Arrays: points (b, t, n, 3) m in float16, mask (b, t, n), views (b, t, 3), origins (b, t, 3), dt_s (b, t) where known;
and for fine-tuning keypoints (b, t, 14, 3) m, relative to each frame's origin, keypoint_mask (b, t, 14) where some are
unknown (NaN is too), and labels (b, t, n), the body part of each point, where there are such. See gckpl_ros.batch for
the frames.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from gckpl_ros.batch import PersonBatch
from gckpl_ros.errors import InputError
from gckpl_ros.files import array_names, load_arrays, save_arrays

# Name on disk, type on disk, and shape behind (b, t), of each field of PersonBatch that is kept.
_KEPT: Final[dict[str, tuple[str, Any, tuple[int | str, ...]]]] = {
    "points": ("points", np.float16, ("n", 3)),
    "mask": ("mask", np.bool_, ("n",)),
    "views": ("views", np.float32, (3,)),
    "origins": ("origins", np.float32, (3,)),
    "dt_s": ("dt_s", np.float32, ()),
    "parts": ("labels", np.uint8, ("n",)),
    "keypoints": ("keypoints", np.float32, (14, 3)),
    "keypoint_mask": ("keypoint_mask", np.bool_, (14,)),
}
_NEEDED: Final = ("points", "mask", "views", "origins")
_READ_AS: Final[dict[Any, Any]] = {np.float16: np.float32, np.uint8: np.int64}


def save_crops(path: Path, people: PersonBatch) -> None:
    """Write tracklets and what is known of them, whole or not at all."""
    arrays = {
        name: value.cpu().numpy().astype(dtype)
        for field, (name, dtype, _) in _KEPT.items()
        if (value := getattr(people, field)) is not None
    }
    save_arrays(path, **arrays)


def load_crops(path: Path) -> PersonBatch:
    """Crop sequences, labelled or not; raises InputError when the file holds none."""
    there = set(array_names(path))
    fields = {field: kept for field, kept in _KEPT.items() if field in _NEEDED or kept[0] in there}
    data = load_arrays(path, *(name for name, _, _ in fields.values()))
    _check(path, data)
    arrays = {field: data[name].astype(_READ_AS.get(dtype, dtype)) for field, (name, dtype, _) in fields.items()}
    return _masked(PersonBatch(**{field: torch.from_numpy(array) for field, array in arrays.items()}))


def load_labelled(path: Path) -> PersonBatch:
    """Crop sequences with keypoints, some perhaps unknown; raises InputError when it has none."""
    if "keypoints" not in array_names(path):
        raise InputError(f"{path} has no keypoints: fine-tuning needs labelled crops")
    return load_crops(path)


def _masked(people: PersonBatch) -> PersonBatch:
    """Keypoints that are not finite are unknown."""
    if people.keypoints is None or bool((finite := people.keypoints.isfinite().all(-1)).all()):
        return people
    known = finite if people.keypoint_mask is None else finite & people.keypoint_mask
    return replace(people, keypoint_mask=known)


def _check(path: Path, data: dict[str, np.ndarray]) -> None:
    """Raises InputError where arrays do not belong together."""
    b, t, n = data["mask"].shape if data["mask"].ndim == 3 else (-1, -1, -1)
    shapes = {name: tuple(n if size == "n" else size for size in shape) for name, _, shape in _KEPT.values()}
    if any(array.shape != (b, t, *shapes[name]) for name, array in data.items()):
        raise InputError(
            f"{path}: shapes do not belong together: { {name: array.shape for name, array in data.items()} }"
        )
