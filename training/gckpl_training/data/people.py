"""People to learn from: person sequences on disk, and those whom the pipeline tracks in recordings."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from gckpl_ros.adapt.collector import LEAST_POINTS, LEAST_SEEN, Collector, counting
from gckpl_ros.batch import PersonBatch
from gckpl_ros.config import Config
from gckpl_ros.errors import InputError
from gckpl_ros.io.recording.clouds import open_recording
from gckpl_ros.io.recording.replay import RecordedInput
from gckpl_ros.io.recording.summary import Tally
from gckpl_ros.people.tracklets import Tracklet, unpack
from gckpl_ros.pipeline import Pipeline
from gckpl_ros.runner import Observer, Runner
from gckpl_ros.types import Frame, Sample
from gckpl_training.data.sequences import Sequences, Shards, open_shards, shard_files, stored, write_shard


def save_people(path: Path, people: PersonBatch) -> None:
    """Write tracklets and what is known of them as one shard, points in half precision as they are collected."""
    write_shard(path, Sequences.of(people, points_as="float16"))


def load_people(path: Path, frames: int = 0) -> PersonBatch:
    """Person sequences as tracklets, longer ones cut into ``frames`` where that is asked; InputError without any.

    Damaged shards are left out, and named on stderr.
    """
    found = _opened(path)
    longest = max(int(shard.lengths.max(initial=1)) for shard in found.shards)
    return _masked(Sequences.together(found.shards, min(frames or longest, longest)))


def load_labelled(path: Path) -> PersonBatch:
    """The frames with keypoints, some perhaps unknown, of person sequences; raises InputError when there are none."""
    return _masked(Sequences.together(labelled_shards(path)))


def labelled_shards(path: Path) -> list[Sequences]:
    """The frames with keypoints of each shard that has some; raises InputError when there are none."""
    found = []
    for shard in _opened(path).shards:
        if "keypoints" in shard:
            known = np.isfinite(shard["keypoints"]).all(-1)
            known &= shard.arrays.get("keypoint_mask", True)
            if known.any():
                found.append(shard.keep(known.any(1)))
    if not found:
        raise InputError(f"{path} has no keypoints: labelled people are needed")
    return found


def _opened(path: Path) -> Shards:
    """The shards that can be read; the others are named on stderr."""
    found = open_shards([path])
    for reason in found.skipped.values():
        Console(stderr=True).print(f"skipped: {reason}", soft_wrap=True)
    return found


def _masked(people: PersonBatch) -> PersonBatch:
    """Keypoints that are not finite are unknown."""
    if people.keypoints is None or bool((finite := people.keypoints.isfinite().all(-1)).all()):
        return people
    known = finite if people.keypoint_mask is None else finite & people.keypoint_mask
    return replace(people, keypoint_mask=known)


def save_tracked(path: Path, recording: Path, weights: str = "", frame: str = "", frames: int = 10) -> int:
    """Write everybody whom the pipeline tracks in a recording as one shard; how many. InputError without anybody."""
    seen = tracked_people(recording, weights, frame, frames)
    if not seen:
        raise InputError(f"nobody is seen for {frames} clouds")
    arrays = {"track_ids": np.array([one.person for one in seen]), "places": np.stack([one.place for one in seen])}
    packed = Sequences.of(unpack(seen), points_as="float16")
    about = {"source": recording.name, "frame": frame or "the sensor's"}
    write_shard(path, Sequences({**packed.arrays, **stored(arrays)}, about))
    return len(seen)


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
    """Everybody in recordings and person sequences; raises InputError where nobody is in any.

    Longer sequences are cut into tracklets of so many frames; those with few points are left out, as of recordings.
    """
    found: list[PersonBatch] = []
    for path in data:
        if shard_files(path):
            found.append(_seen_enough(load_people(path, frames)))
        elif seen := tracked_people(path, weights, frame, frames):
            found.append(unpack(seen))
    if not any(map(len, found)):
        raise InputError(f"nobody to learn from in {', '.join(map(str, data))}: nobody is seen for {frames} clouds")
    if len({some.frames for some in found}) > 1:
        raise InputError(
            f"sequences of {sorted({some.frames for some in found})} frames cannot be learnt from together"
        )
    return PersonBatch.join(found)


def _seen_enough(people: PersonBatch) -> PersonBatch:
    """Whom the collector would have kept."""
    enough = (people.mask.sum(-1) >= LEAST_POINTS).float().mean(1) >= LEAST_SEEN
    return people if enough.all() else people.rows(enough)


def tracked_people(recording: Path, weights: str = "", frame: str = "", frames: int = 10) -> list[Tracklet]:
    """Everybody whom the pipeline tracks in a recording for so many clouds, in axes of the fixed ``frame``."""
    config = Config.parse({"estimate": {"weights": weights}, "track": {"frame": frame}})
    recorder = Recorder(frames)
    runner = Runner(Pipeline(config), [recorder])
    with open_recording(recording) as bag:
        source = RecordedInput(bag, config, Tally())
        records, clouds = bag.records(source.topics), sum(map(bag.count, source.topics))
        shown = track(records, f"people in {recording.name}", clouds, transient=True)
        for _ in runner.run(source.samples(shown)):
            pass
    return recorder.seen
