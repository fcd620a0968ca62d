"""A recording as the pipeline's input: what belongs to a cloud is matched as live, but nothing more can come."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import replace
from time import perf_counter
from typing import Any, Final

from gckpl_ros.config import Config
from gckpl_ros.errors import InputError
from gckpl_ros.io.live.interface import INPUTS, resolve
from gckpl_ros.io.live.live_input import wanted_classes
from gckpl_ros.io.live.matching import MOST_WAITING, Detections, Matcher, Scan, Scans, SkippedError
from gckpl_ros.io.messages.detections import Found, to_boxes
from gckpl_ros.io.messages.detectors import as_detection_array
from gckpl_ros.io.messages.skeletons import stamp_ns
from gckpl_ros.io.messages.tf import TransformBuffer
from gckpl_ros.io.recording.bag import BagReader, Record
from gckpl_ros.io.recording.summary import Tally
from gckpl_ros.reasons import UNREADABLE, UNREADABLE_CLOUD
from gckpl_ros.types import Sample

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
