"""A recording as the pipeline's input: each cloud with its detections and its place in the fixed frame."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import Final

import numpy as np
from jaxtyping import Float64

from gckpl_ros.errors import InputError
from gckpl_ros.io.live.sample import (
    NO_DETECTIONS_OF_ITS_TIME,
    NO_POINTS,
    NOT_NEWER,
    RESTART_NS,
    SkippedError,
    no_transform,
)
from gckpl_ros.io.messages.detections import to_boxes, transform_boxes
from gckpl_ros.io.messages.pointcloud2 import to_points
from gckpl_ros.io.messages.skeletons import stamp_ns
from gckpl_ros.io.messages.tf import TransformBuffer, TransformError
from gckpl_ros.io.recording.bag import BagReader, Record
from gckpl_ros.io.recording.summary import Tally
from gckpl_ros.types import Boxes, Cloud, Sample

CLOUD_TYPE: Final = "sensor_msgs/msg/PointCloud2"
DETECTIONS_TYPE: Final = "vision_msgs/msg/Detection3DArray"
TF_TYPE: Final = "tf2_msgs/msg/TFMessage"
NO_DETECTIONS: Final = "none"


@dataclass(frozen=True)
class Options:
    """What to take of a recording.

    Topics: empty means found by type; detections "none" means not used. ``classes``: detections of other classes are
    dropped; none given: all are people. ``tolerance_ms``: how far the stamps of cloud and detections may be apart;
    None: half a scan. ``include_cloud``: clouds and transforms are copied into the output.
    """

    topic: str = ""
    detections: str = ""
    classes: tuple[str, ...] = ("pedestrian", "person")
    tolerance_ms: float | None = None
    include_cloud: bool = False


class ReplayInput:
    """Makes samples of recorded clouds; ``tally`` counts what was not used, by reason."""

    def __init__(self, bag: BagReader, options: Options, fixed_frame: str, tally: Tally) -> None:
        """Choose the topics and read transforms and detections ahead; raises InputError if a topic is not there."""
        self._bag = bag
        self._options = options
        self._fixed_frame = fixed_frame
        self.topic = bag.topic(CLOUD_TYPE, options.topic)
        self.detections = _detections_topic(bag, options.detections)
        self._tally = tally
        self._transforms = TransformBuffer()
        self._found: dict[int, tuple[str, Boxes]] = {}
        self._read_ahead()
        self._stamps = sorted(self._found)
        half_scan_ms = bag.period_ns(self.topic) / 2e6
        self._tolerance_ns = 1e6 * (half_scan_ms if options.tolerance_ms is None else options.tolerance_ms)
        self._last_ns: int | None = None

    def samples(self, records: Iterable[Record]) -> Iterator[Sample]:
        """A sample of each record that is a cloud; those that cannot be used are counted."""
        for record in records:
            if record.topic == self.topic:
                self._tally.clouds += 1
                try:
                    yield self._sample(record)
                except SkippedError as error:
                    self._tally.skip(error.reason, str(error))

    def _sample(self, record: Record) -> Sample:
        start = perf_counter()
        cloud = self._cloud(record)
        restarted = self._in_order(cloud.stamp_ns)
        boxes = self._boxes(cloud) if self.detections else None
        T_fixed_cloud = self._transform(self._fixed_frame, cloud) if self._fixed_frame else None
        decode_ms = 1e3 * (perf_counter() - start)
        return Sample(cloud, boxes, T_fixed_cloud, restarted, decode_ms, received_ns=record.received_ns)

    def _read_ahead(self) -> None:
        transforms = set(self._bag.of_type(TF_TYPE)) if self._fixed_frame or self.detections else set()
        for record in self._bag.records(transforms | ({self.detections} if self.detections else set())):
            try:
                message = self._bag.decode(record)
            except InputError:
                self._tally.dropped[f"message on {record.topic} that cannot be read"] += 1
                continue
            if record.topic in transforms:
                self._transforms.add(message, static=record.topic.endswith("tf_static"))
            else:
                boxes, dropped = to_boxes(message, self._options.classes)
                self._tally.dropped.update(dropped)
                self._found[stamp_ns(message.header.stamp)] = message.header.frame_id, boxes

    def _cloud(self, record: Record) -> Cloud:
        try:
            message = self._bag.decode(record)
            points, _ = to_points(message)
        except InputError as error:
            raise SkippedError(str(error)) from error
        if not len(points):
            raise SkippedError(NO_POINTS)
        return Cloud(points, stamp_ns(message.header.stamp), message.header.frame_id)

    def _in_order(self, stamp: int) -> bool:
        """Whether the time starts anew; raises SkippedError for a cloud that is not newer than the last one."""
        late_ns = -1 if self._last_ns is None else self._last_ns - stamp
        if 0 <= late_ns < RESTART_NS:
            raise SkippedError(NOT_NEWER)
        self._last_ns = stamp
        return late_ns >= RESTART_NS

    def _boxes(self, cloud: Cloud) -> Boxes:
        """Those with the nearest stamp; nobody where that is too far."""
        place = bisect_left(self._stamps, cloud.stamp_ns)
        near = min(self._stamps[max(0, place - 1) : place + 1], key=lambda s: abs(s - cloud.stamp_ns), default=None)
        if near is None or abs(near - cloud.stamp_ns) > self._tolerance_ns:
            self._tally.dropped[NO_DETECTIONS_OF_ITS_TIME] += 1
            return Boxes.empty()
        frame_id, boxes = self._found[near]
        if frame_id in ("", cloud.frame_id):
            return boxes
        return transform_boxes(boxes, np.linalg.inv(self._transform(frame_id, cloud)))

    def _transform(self, target: str, cloud: Cloud) -> Float64[np.ndarray, "4 4"]:
        try:
            return self._transforms.lookup(target, cloud.frame_id, cloud.stamp_ns)
        except TransformError as error:
            raise SkippedError(no_transform(cloud.frame_id, target), str(error)) from error


def _detections_topic(bag: BagReader, name: str) -> str:
    if name == NO_DETECTIONS or not (name or bag.of_type(DETECTIONS_TYPE)):
        return ""
    return bag.topic(DETECTIONS_TYPE, name, option="--detections")
