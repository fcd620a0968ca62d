"""People to learn from, out of recordings: what the pipeline tracks in them, as crop sequences."""

from pathlib import Path

from rich.progress import track

from gckpl_ros.adapt.collector import Collector
from gckpl_ros.batch import PersonBatch
from gckpl_ros.config import Config
from gckpl_ros.errors import InputError
from gckpl_ros.io.recording.bag import BagReader
from gckpl_ros.io.recording.recorded_input import RecordedInput
from gckpl_ros.io.recording.summary import Tally
from gckpl_ros.people.tracklets import Tracklet, unpack
from gckpl_ros.pipeline import Pipeline
from gckpl_ros.runner import Observer, Runner
from gckpl_ros.types import Frame, Sample
from gckpl_training.data.crop_files import load_crops


class Recorder(Observer):
    """Keeps everybody whom the pipeline tracks for so many clouds."""

    def __init__(self, frames: int) -> None:
        self._collector = Collector(frames)
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
