"""Crop sequences on disk (.npz): tracklets as the network takes them, with labels where they are known.

Arrays: points (b, t, n, 3) m in float16, mask (b, t, n), views (b, t, 3), origins (b, t, 3); and for fine-tuning labels
(b, t, n) and keypoints (b, t, 14, 3) m, relative to each frame's origin. See gckpl_ros.people.tracklets for the frames.
"""

from dataclasses import fields
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gckpl_ros.errors import InputError
from gckpl_ros.files import array_names, load_arrays, save_arrays
from gckpl_ros.people.tracklets import Tracklets
from gckpl_training.simulate.passers import LabelledTracklets

_KEYS = tuple(one.name for one in fields(Tracklets))


def save_crops(path: Path, tracklets: Tracklets, labels: Tensor | None = None, keypoints: Tensor | None = None) -> None:
    """Write the file whole or not at all."""
    arrays = {key: getattr(tracklets, key).cpu().numpy() for key in _KEYS}
    arrays["points"] = arrays["points"].astype(np.float16)
    if labels is not None and keypoints is not None:
        arrays |= {"labels": labels.cpu().numpy().astype(np.uint8), "keypoints": keypoints.cpu().numpy()}
    save_arrays(path, **arrays)


def load_crops(path: Path) -> Tracklets:
    """Crop sequences, labelled or not; raises InputError when the file holds none."""
    return _tracklets(load_arrays(path, *_KEYS), path)


def load_labelled(path: Path) -> LabelledTracklets:
    """Crop sequences with labels; raises InputError when it has none."""
    if missing := {"labels", "keypoints"} - set(array_names(path)):
        raise InputError(f"{path} has no {' and no '.join(sorted(missing))}: fine-tuning needs labelled crops")
    data = load_arrays(path, *_KEYS, "labels", "keypoints")
    labels, keypoints = torch.from_numpy(data["labels"]).long(), torch.from_numpy(data["keypoints"]).float()
    return LabelledTracklets(_tracklets(data, path), labels, keypoints)


def _tracklets(data: dict[str, np.ndarray], path: Path) -> Tracklets:
    points, mask, views, origins = (data[key] for key in _KEYS)
    frames = points.shape[:2]
    if (
        points.ndim != 4
        or mask.shape != points.shape[:3]
        or views.shape != (*frames, 3)
        or origins.shape != views.shape
    ):
        shapes = {key: data[key].shape for key in _KEYS}
        raise InputError(f"{path}: shapes do not belong together: {shapes}")
    values = [torch.from_numpy(array.astype(np.float32)) for array in (points, views, origins)]
    return Tracklets(values[0], torch.from_numpy(mask.astype(bool)), values[1], values[2])
