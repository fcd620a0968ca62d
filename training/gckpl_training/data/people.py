"""People to learn from: crop sequences on disk (.npz), and those whom the pipeline tracks in recordings.

The files hold tracklets as the network takes them, with labels where they are known.

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
from rich.progress import track

from gckpl_ros.adapt.collector import Collector, counting
from gckpl_ros.batch import PersonBatch
from gckpl_ros.config import Config
from gckpl_ros.errors import InputError
from gckpl_ros.files import array_names, load_arrays, save_arrays
from gckpl_ros.io.recording.bag import BagReader
from gckpl_ros.io.recording.replay import RecordedInput
from gckpl_ros.io.recording.summary import Tally
from gckpl_ros.people.tracklets import Tracklet, unpack
from gckpl_ros.pipeline import Pipeline
from gckpl_ros.runner import Observer, Runner
from gckpl_ros.types import Frame, Sample

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


class Recorder(Observer):
    """Keeps everybody whom the pipeline tracks for so many clouds."""

    def __init__(self, frames: int) -> None:
        self._collector = Collector(counting(frames))
        self.seen: list[Tracklet] = []

    def observe(self, sample: Sample, frame: Frame) -> None:
        """Take the tracked people of one cloud."""
        self._collector.add(*frame.tracked(), frame.stamp_ns, sample.pose)
        self.seen += self._collector.take(len(self._collector))

    def end_tracks(self) -> None:
        """Nobody goes on."""
        self._collector.end()

    def configure(self, config: Config) -> None:
        """Nothing to take over."""


def read_people(data: tuple[Path, ...], weights: str = "", frame: str = "", frames: int = 10) -> PersonBatch:
    """Everybody in recordings and crop files; raises InputError where one cannot be read, or nobody is in any."""
    found: list[PersonBatch] = []
    for path in data:
        if path.suffix == ".npz":
            found.append(load_crops(path))
        elif seen := tracked_people(path, weights, frame, frames):
            found.append(unpack(seen))
    if not any(map(len, found)):
        raise InputError(f"nobody to learn from in {', '.join(map(str, data))}: nobody is seen for {frames} clouds")
    if len({some.frames for some in found}) > 1:
        raise InputError(
            f"sequences of {sorted({some.frames for some in found})} frames cannot be learnt from together"
        )
    return PersonBatch.join(found)


def tracked_people(recording: Path, weights: str = "", frame: str = "", frames: int = 10) -> list[Tracklet]:
    """Everybody whom the pipeline tracks in a recording for so many clouds, in axes of the fixed ``frame``."""
    config = Config.parse({"estimate": {"weights": weights}, "track": {"frame": frame}})
    recorder = Recorder(frames)
    runner = Runner(Pipeline(config), [recorder])
    with BagReader(recording) as bag:
        source = RecordedInput(bag, config, Tally())
        records, clouds = bag.records(source.topics), sum(map(bag.count, source.topics))
        shown = track(records, f"people in {recording.name}", clouds, transient=True)
        for _ in runner.run(source.samples(shown)):
            pass
    return recorder.seen
