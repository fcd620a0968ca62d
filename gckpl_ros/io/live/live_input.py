"""Live clouds as the pipeline's input: the newest cloud that has all that belongs to it."""

from collections.abc import Callable, Collection
from dataclasses import replace
from functools import partial
from threading import Condition
from time import monotonic, perf_counter
from typing import Any, Final

import numpy as np

from gckpl_ros.config import Config
from gckpl_ros.io.live.matching import MOST_WAITING, Detections, Match, Matcher, NotYetError, Scan, Scans, SkippedError
from gckpl_ros.io.live.status import Status
from gckpl_ros.io.messages.detections import as_detection_array, own_frame, to_boxes
from gckpl_ros.io.messages.skeletons import stamp_ns
from gckpl_ros.io.messages.tf import Transforms
from gckpl_ros.reasons import TIME_WENT_BACK
from gckpl_ros.types import Sample

_POLL_S: Final = 0.005  # transforms come without a sign


class LiveInput:
    """Takes messages from any thread and gives samples to one: the newest that is ready, while older ones are counted.

    A cloud waits at most ``wait_s`` for its detections, for transforms and for the other sensors. Then it goes without
    those sensors, without people if its detections are late, and is skipped if a transform is missing. Whoever was
    silent for ``silence_s`` is not waited for; without a detector the pipeline finds people itself. A detector that
    appears is waited for before it has said anything: what it says of a cloud comes after the cloud. A cloud that is
    a second older than its sensor's last one means that time starts anew: everything waiting is forgotten.
    """

    def __init__(
        self, config: Config, transforms: Transforms, status: Status, clock: Callable[[], float] = monotonic
    ) -> None:
        """``clock``: seconds by which all waiting is measured."""
        self._config = config.input
        self._classes = wanted_classes(config)
        self._transforms = transforms
        self._status = status
        self._clock = clock
        self._matcher = Matcher(config, transforms, status)
        self._scans = Scans(config.input.tolerance_s, status)
        self._changed = Condition()
        self._detectors: Callable[[], int] = lambda: 0
        self.clear()

    def clear(self) -> None:
        """Forget all that waits, as before the first message."""
        with self._changed:
            self._matcher.clear()
            self._scans.forget()
            self._epoch = self._scans.epoch
            self._came_s: dict[int, float] = {}
            self._detector_came_s = -np.inf
            self._detector_there = False

    def expect_detections(self, publishers: Callable[[], int]) -> None:
        """Who counts the publishers of detections that are there: quick, and from any thread."""
        self._detectors = publishers

    def add_cloud(self, message: Any, sensor: int = 0) -> None:
        """A sensor_msgs/PointCloud2 of the sensor at this place in ``input.points``."""
        stamp = stamp_ns(message.header.stamp)
        self._status.received()
        with self._changed:
            if self._scans.restarts(stamp, sensor):
                self._start_anew(stamp)
            self._came_s[sensor] = self._clock()
            self._matcher.add_cloud(message, sensor)
            self._scans.add(message, sensor, self._clock())
            self._scans.drop_before(len(self._scans.waiting) - MOST_WAITING)
            self._changed.notify_all()

    def add_detections(self, message: Any) -> None:
        """A vision_msgs/Detection3DArray, or what ``input.detections_type`` names."""
        message = as_detection_array(message)
        with self._changed:
            self._detector_came_s = self._clock()
            header, read = message.header, partial(to_boxes, message, self._classes)
            frames = {own_frame(detection, message) for detection in message.detections} or {""}
            self._matcher.add_detections(Detections(stamp_ns(header.stamp), header.frame_id, frames, read))
            self._changed.notify_all()

    def take(self, timeout_s: float) -> Sample | None:
        """The newest sample that is ready; None if there is none for so long. Unusable clouds are counted."""
        until_s = self._clock() + timeout_s
        while match := self._next(until_s):
            try:
                return self._sample(match)
            except SkippedError as error:
                self._status.count(error.reason, example=error.example)
        return None

    def _start_anew(self, stamp: int) -> None:
        self._status.count(TIME_WENT_BACK, sum(len(scan.clouds) for scan in self._scans.waiting))
        self._scans.restart()
        self._matcher.start_anew(stamp)
        self._transforms.clear()

    def _next(self, until_s: float) -> Match | None:
        with self._changed:
            while not (match := self._newest_ready()):
                left_s = until_s - self._clock()
                if left_s <= 0:
                    return None
                self._changed.wait(min(left_s, _POLL_S) if self._scans.waiting else left_s)
            return match

    def _newest_ready(self) -> Match | None:
        if not self._scans.waiting:
            return None
        now_s = self._clock()
        sensors = {sensor for sensor, came_s in self._came_s.items() if now_s - came_s <= self._config.silence_s}
        detector = self._detects(now_s)
        for scan in reversed(list(self._scans.waiting)):
            try:
                match = self._matcher.match(scan, sensors, detector, now_s - scan.came_s >= self._config.wait_s)
            except NotYetError:
                continue
            except SkippedError as error:
                self._status.count(error.reason, len(scan.clouds), error.example)
                self._scans.waiting.remove(scan)
                continue
            except Exception:
                self._scans.waiting.remove(scan)  # whatever is wrong with it must not come again and again
                raise
            self._scans.take(scan)
            return match
        return None

    def _detects(self, now_s: float) -> bool:
        """Whether detections may still come: somebody who publishes them has appeared or spoken lately."""
        there = self._detectors() > 0
        if there and not self._detector_there:
            self._detector_came_s = now_s
        self._detector_there = there
        return now_s - self._detector_came_s <= self._config.silence_s

    def _sample(self, match: Match) -> Sample:
        start, wait_ms = perf_counter(), 1e3 * (self._clock() - match.scan.came_s)
        sample, restarted = self._matcher.decode(match), self._restarted(match.scan)
        decode_ms = 1e3 * (perf_counter() - start)
        return replace(sample, restarted=restarted, decode_ms=decode_ms, wait_ms=wait_ms)

    def _restarted(self, scan: Scan) -> bool:
        """Whether time has started anew since the last sample."""
        with self._changed:
            restarted, self._epoch = scan.epoch != self._epoch, scan.epoch
            return restarted


def wanted_classes(config: Config) -> Collection[str]:
    """Classes of detections that are people; none: all are."""
    return () if "" in config.input.classes else config.input.classes
