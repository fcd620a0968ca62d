"""A recording with clouds in, a recording with skeletons out.

What belongs to a cloud is matched as live, but nothing more can come.
"""

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any, Final, TypeAlias

from gckpl_ros.adapt import load_adapter
from gckpl_ros.config import Config
from gckpl_ros.errors import InputError
from gckpl_ros.io.live.interface import INPUTS, OUTPUTS, resolve
from gckpl_ros.io.live.live_input import wanted_classes
from gckpl_ros.io.live.matching import MOST_WAITING, Detections, Matcher, Scan, Scans, SkippedError
from gckpl_ros.io.messages.detections import Found, as_detection_array, to_boxes
from gckpl_ros.io.messages.outputs import Outputs
from gckpl_ros.io.messages.skeletons import stamp_ns
from gckpl_ros.io.messages.tf import TransformBuffer
from gckpl_ros.io.recording.bag import BagReader, BagWriter, Record
from gckpl_ros.io.recording.clouds import open_recording
from gckpl_ros.io.recording.summary import Summary, Tally
from gckpl_ros.pipeline import Pipeline
from gckpl_ros.reasons import UNREADABLE, UNREADABLE_CLOUD
from gckpl_ros.runner import Runner, Sink
from gckpl_ros.types import Frame, Sample

CLOUD_TYPE: Final = INPUTS["points"].type
TF_TYPE: Final = INPUTS["tf"].type


class RecordedInput:
    """Makes samples of recorded clouds, by the parameters ``input.*`` and ``track.frame``.

    ``wait_s`` and ``silence_s`` mean nothing here: whoever is in the recording is there all the time. ``notes``: what
    was taken in place of a topic that is not in the recording. ``tally`` counts what was not used, by reason.
    """

    def __init__(self, bag: BagReader, config: Config, tally: Tally) -> None:
        """Choose the topics and read transforms and detections ahead; raises InputError if a topic is not there."""
        self._bag = bag
        self._tally = tally
        self.notes: list[str] = []
        self.topics = self._cloud_topics(config.input.points)
        self.detections = self._detections_topic(config.input.detections, config.input.detections_type)
        self._left = {sensor: bag.count(topic) for sensor, topic in enumerate(self.topics)}
        self._sensors = {sensor for sensor, count in self._left.items() if count}
        self._transforms = TransformBuffer()
        self._matcher = Matcher(config, self._transforms, tally)
        self._scans = Scans(config.input.tolerance_s, tally)
        self._epoch, self._received_ns = self._scans.epoch, 0
        moves = bool(config.track.frame or config.input.frame or self.detections or len(self.topics) > 1)
        self._found = self._read_ahead(config, set(bag.of_type(TF_TYPE)) if moves else set())
        self._stamps = [found.stamp_ns for found in self._found]

    def samples(self, records: Iterable[Record]) -> Iterator[Sample]:
        """Samples of all clouds among the records, in the order of their stamps; unusable clouds are counted."""
        for record in records:
            if record.topic in self.topics:
                yield from self._add(record, self.topics.index(record.topic))
        yield from self._go(self._scans.waiting, 0.0)

    def _add(self, record: Record, sensor: int) -> Iterator[Sample]:
        """Samples of the scans that are settled by a cloud."""
        start = perf_counter()
        self._tally.clouds += 1
        self._left[sensor] -= 1
        self._received_ns = record.received_ns
        try:
            message = self._bag.decode(record)
        except InputError as error:
            self._tally.count(UNREADABLE_CLOUD, example=str(error))
            return
        stamp = stamp_ns(message.header.stamp)
        if self._scans.restarts(stamp, sensor):
            yield from self._go(self._scans.waiting, start)
            self._scans.restart()
            self._matcher.start_anew(stamp)
        self._matcher.add_cloud(message, sensor)
        self._scans.add(message, sensor, 0.0)
        settled = [place for place, scan in enumerate(self._scans.waiting) if self._settled(scan, place)]
        yield from self._go(self._scans.waiting[: settled[-1] + 1 if settled else 0], start)

    def _settled(self, scan: Scan, place: int) -> bool:
        """Whether no cloud can join a scan any more, or too many wait already."""
        missing = self._sensors - set(scan.clouds)
        too_many = len(self._scans.waiting) - place > MOST_WAITING
        return too_many or all(not self._left[sensor] or self._scans.passed(scan, sensor) for sensor in missing)

    def _go(self, scans: list[Scan], start: float) -> Iterator[Sample]:
        """Samples of scans, oldest first; ``start``: when the work on the first began (perf_counter, s)."""
        for scan in list(scans):
            start = start or perf_counter()
            self._scans.take(scan)
            self._feed(scan.stamp_ns)
            try:
                match = self._matcher.match(scan, self._sensors, bool(self.detections), final=True)
                sample = self._matcher.decode(match)
            except SkippedError as error:
                self._tally.count(error.reason, len(scan.clouds), error.example)
                continue
            restarted, self._epoch = scan.epoch != self._epoch, scan.epoch
            decode_ms = 1e3 * (perf_counter() - start)
            yield replace(sample, restarted=restarted, decode_ms=decode_ms, received_ns=self._received_ns)
            start = 0.0

    def _feed(self, stamp: int) -> None:
        """The detections around a stamp come just before they are needed."""
        place = bisect_left(self._stamps, stamp)
        for found in self._found[max(0, place - 1) : place + 1]:
            self._matcher.add_detections(found)

    def _read_ahead(self, config: Config, transforms: set[str]) -> list[Detections]:
        """All transforms, and all detections in the order of their stamps; of one stamp the last counts."""
        by_stamp: dict[int, Detections] = {}
        classes = wanted_classes(config)
        for record in self._bag.records(transforms | ({self.detections} if self.detections else set())):
            try:
                message = self._bag.decode(record)
            except InputError:
                self._tally.count(UNREADABLE, example=record.topic)
                continue
            if record.topic in transforms:
                self._transforms.add(message, static=record.topic.endswith("tf_static"))
            else:
                message = as_detection_array(message)
                found = _detections(message, to_boxes(message, classes))
                by_stamp[found.stamp_ns] = found
        return [by_stamp[stamp] for stamp in sorted(by_stamp)]

    def _cloud_topics(self, points: tuple[str, ...]) -> list[str]:
        """The configured topics; of a single one that is not there, the only one of its type takes the place."""
        topics = [resolve(name) for name in points]
        if len(topics) == 1:
            return [self._present(topics[0], CLOUD_TYPE, "--topic")]
        return [self._bag.topic(CLOUD_TYPE, topic) for topic in topics]

    def _detections_topic(self, name: str, kind: str) -> str:
        """The configured topic, or the only one of its type; empty where there are no detections."""
        if not name or not self._bag.of_type(kind):
            return ""
        return self._present(resolve(name), kind, "--detections")

    def _present(self, topic: str, kind: str, option: str) -> str:
        if topic in self._bag.of_type(kind):
            return topic
        only = self._bag.topic(kind, option=option)
        self.notes.append(f"{only} in place of {topic}, which has no {kind.rpartition('/')[2]}")
        return only


def _detections(message: Any, found: Found) -> Detections:
    return Detections(stamp_ns(message.header.stamp), message.header.frame_id, set(found.frames) or {""}, lambda: found)


# What the live node publishes too, on the topics that it has by default.
_TOPICS = {name: resolve(OUTPUTS[name].topic) for name in ("skeletons", "markers", "tf")}
SKELETONS, MARKERS = _TOPICS["skeletons"], _TOPICS["markers"]

Progress: TypeAlias = Callable[[Iterable[Record], int], Iterable[Record]]


class _Written:
    """The sink of a replay: what is published live goes into a recording, received when its cloud was."""

    def __init__(self, writer: BagWriter, outputs: Outputs) -> None:
        self._writer = writer
        self._outputs = outputs

    def wanted(self) -> Collection[str]:
        """Always the same."""
        return _TOPICS

    def write(self, sample: Sample, frame: Frame) -> None:
        """All outputs of a frame."""
        for name, message in self._outputs.encode(sample.cloud, frame, _TOPICS):
            self._writer.write(_TOPICS[name], sample.received_ns, message)


def replay(
    source: Path,
    out: Path,
    config: Config,
    include_cloud: bool = False,
    sinks: Sequence[Sink] = (),
    progress: Progress = lambda records, total: records,
    save_weights: Path | None = None,
) -> Summary:
    """Skeletons of every cloud in ``source`` into ``out`` (.mcap); the same input makes the same bytes.

    ``include_cloud``: clouds and transforms are copied into it. ``sinks`` take every frame too. Clouds that cannot be
    used are skipped and counted. With ``adapt.enabled`` it learns between clouds, and what was learnt goes to
    ``save_weights``. Raises InputError if the recording, the topics, the weights or the place of the output are wrong,
    or if not a single cloud can be used; then there is no output.
    """
    if save_weights and not config.adapt.enabled:
        raise InputError("--save-weights: nothing is learnt without --set adapt.enabled=true")
    if source.resolve() == out.resolve():
        raise InputError(f"{out} is the recording to be read: give the output another name")
    with open_recording(source) as bag:
        tally = Tally()
        replayed = RecordedInput(bag, config, tally)
        topic = ", ".join(replayed.topics)
        copied = dict.fromkeys(replayed.topics, CLOUD_TYPE) if include_cloud else {}
        copied |= dict.fromkeys(bag.of_type(TF_TYPE), TF_TYPE) if include_cloud else {}
        topics = {*replayed.topics, *copied}
        pipeline = Pipeline(config)
        adapter = load_adapter(config, pipeline.network)
        written = {topic: OUTPUTS[name].type for name, topic in _TOPICS.items()}
        outputs = config.output.model_copy(update={"odometry_frame": True})
        with BagWriter(out, written | copied) as writer:
            runner = Runner(pipeline, [adapter], [_Written(writer, Outputs(writer.types, outputs)), *sinks])
            records = progress(bag.records(topics), sum(map(bag.count, topics)))
            for _, frame in runner.run(replayed.samples(_copied(records, copied, writer))):
                adapter.keep_pace()
                tally.add(frame)
            tally.check(source, topic)
        adapter.stop()
    if save_weights:
        adapter.save(save_weights)
    return tally.summary(source, out, topic, adapter.status, replayed.notes)


def _copied(records: Iterable[Record], topics: Collection[str], writer: BagWriter) -> Iterator[Record]:
    """The records, of which some go into the output as they are."""
    for record in records:
        if record.topic in topics:
            writer.write_raw(*record)
        yield record
