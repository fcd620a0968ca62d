"""Live clouds as the pipeline's input: the newest cloud that has all that belongs to it."""

from collections.abc import Callable
from threading import Condition
from time import monotonic, perf_counter
from typing import Any, Final

import numpy as np
from jaxtyping import Float32, Float64

from gckpl_ros.config import Config
from gckpl_ros.errors import InputError
from gckpl_ros.io.detections import to_boxes, transform_boxes
from gckpl_ros.io.matching import Match, Matcher, NotYetError, Scan
from gckpl_ros.io.messages import stamp_ns
from gckpl_ros.io.pointcloud2 import to_points
from gckpl_ros.io.sample import NO_POINTS, NOT_NEWER, RESTART_NS, Sample, SkippedError
from gckpl_ros.io.status import Status
from gckpl_ros.io.tf import Transforms
from gckpl_ros.types import Boxes, Cloud

REPLACED: Final = "replaced by a newer cloud"
TIME_WENT_BACK: Final = "waited when time went back"
_MOST_WAITING: Final = 16
_POLL_S: Final = 0.005  # transforms come without a sign


class LiveInput:
    """Takes messages from any thread and gives samples to one: the newest that is ready, while older ones are counted.

    A cloud waits at most ``wait_s`` for its detections, for transforms and for the other sensors. Then it goes without
    those sensors, without people if its detections are late, and is skipped if a transform is missing. Whoever was
    silent for ``silence_s`` is not waited for; without a detector the pipeline finds people itself. A cloud that is
    a second older than its sensor's last one means that time starts anew: everything waiting is forgotten.
    """

    def __init__(
        self, config: Config, transforms: Transforms, status: Status, clock: Callable[[], float] = monotonic
    ) -> None:
        """``clock``: seconds by which all waiting is measured."""
        self._tolerance_ns = config.input.tolerance_s * 1e9
        self._classes = () if "" in config.input.classes else config.input.classes
        self._transforms = transforms
        self._status = status
        self._clock = clock
        self._matcher = Matcher(config, transforms, status, clock)
        self._changed = Condition()
        self.clear()

    def clear(self) -> None:
        """Forget all that waits, as before the first message."""
        with self._changed:
            self._matcher.clear()
            self._forget_clouds()
            self._restarted = False

    def add_cloud(self, message: Any, sensor: int = 0) -> None:
        """A sensor_msgs/PointCloud2 of the sensor at this place in ``input.points``."""
        stamp = stamp_ns(message.header.stamp)
        self._status.received()
        with self._changed:
            if stamp <= self._last_ns.get(sensor, stamp) - RESTART_NS:
                self._start_anew(stamp)
            self._last_ns[sensor] = stamp
            self._matcher.heard_cloud(message, sensor)
            if self._taken_ns is not None and stamp <= self._taken_ns:
                self._status.skip(NOT_NEWER)
                return
            self._place(stamp, message, sensor)
            self._changed.notify_all()

    def add_detections(self, message: Any) -> None:
        """A vision_msgs/Detection3DArray."""
        with self._changed:
            self._matcher.heard_detections(message)
            self._changed.notify_all()

    def take(self, timeout_s: float) -> Sample | None:
        """The newest sample that is ready; None if there is none for so long. Unusable clouds are counted."""
        until_s = self._clock() + timeout_s
        while match := self._next(until_s):
            try:
                return self._sample(match)
            except SkippedError as error:
                self._status.skip(error.reason)
        return None

    def _forget_clouds(self) -> None:
        self._waiting: list[Scan] = []
        self._last_ns: dict[int, int] = {}
        self._taken_ns: int | None = None

    def _start_anew(self, stamp: int) -> None:
        self._status.skip(TIME_WENT_BACK, sum(len(scan.clouds) for scan in self._waiting))
        self._forget_clouds()
        self._matcher.start_anew(stamp)
        self._transforms.clear()
        self._restarted = True

    def _place(self, stamp: int, message: Any, sensor: int) -> None:
        """Into the nearest scan that lacks this sensor, or into a new one."""
        lacking = [scan for scan in self._waiting if sensor not in scan.clouds]
        scan = min(lacking, key=lambda scan: abs(scan.stamp_ns - stamp), default=None)
        if scan is None or abs(scan.stamp_ns - stamp) > self._tolerance_ns:
            scan = Scan(stamp, self._clock())
            self._waiting.append(scan)
        scan.clouds[sensor] = message
        if sensor == min(scan.clouds):
            scan.stamp_ns = stamp
        self._waiting.sort(key=lambda scan: scan.stamp_ns)
        self._drop_before(len(self._waiting) - _MOST_WAITING)

    def _drop_before(self, place: int) -> None:
        if place > 0:
            self._status.skip(REPLACED, sum(len(scan.clouds) for scan in self._waiting[:place]))
            del self._waiting[:place]

    def _next(self, until_s: float) -> Match | None:
        with self._changed:
            while not (match := self._newest_ready()):
                left_s = until_s - self._clock()
                if left_s <= 0:
                    return None
                self._changed.wait(min(left_s, _POLL_S) if self._waiting else left_s)
            return match

    def _newest_ready(self) -> Match | None:
        for scan in reversed(list(self._waiting)):
            try:
                match = self._matcher.match(scan)
            except NotYetError:
                continue
            except SkippedError as error:
                self._status.skip(error.reason, len(scan.clouds))
                self._waiting.remove(scan)
                continue
            except Exception:
                self._waiting.remove(scan)  # whatever is wrong with it must not come again and again
                raise
            self._drop_before(self._waiting.index(scan))
            self._waiting.remove(scan)
            self._taken_ns = scan.stamp_ns
            return match
        return None

    def _sample(self, match: Match) -> Sample:
        start, wait_ms = perf_counter(), 1e3 * (self._clock() - match.scan.came_s)
        with self._changed:
            restarted, self._restarted = self._restarted, False
        origin = tuple(match.transforms[min(match.transforms)][:3, 3].tolist())
        cloud = Cloud(_merged(match), match.scan.stamp_ns, match.frame_id, origin)
        boxes = self._boxes(match)
        return Sample(cloud, boxes, match.T_fixed_cloud, restarted, 1e3 * (perf_counter() - start), wait_ms)

    def _boxes(self, match: Match) -> Boxes | None:
        if match.detections is None:
            return Boxes.empty() if match.late else None
        boxes, dropped = to_boxes(match.detections, self._classes)
        self._status.drop(dropped)
        return boxes if match.T_cloud_detections is None else transform_boxes(boxes, match.T_cloud_detections)


def _merged(match: Match) -> Float32[np.ndarray, "n 3"]:
    """Finite points of all sensors in one frame."""
    parts = [_moved(_points(match.scan.clouds[sensor]), T) for sensor, T in match.transforms.items()]
    if not sum(map(len, parts)):
        raise SkippedError(NO_POINTS)
    return np.concatenate(parts) if len(parts) > 1 else parts[0]


def _points(message: Any) -> Float32[np.ndarray, "n 3"]:
    try:
        return to_points(message)[0]
    except InputError as error:
        raise SkippedError(str(error)) from error


def _moved(points: Float32[np.ndarray, "n 3"], T: Float64[np.ndarray, "4 4"]) -> Float32[np.ndarray, "n 3"]:
    if (np.eye(4) == T).all():
        return points
    moved: np.ndarray = points @ T[:3, :3].T.astype(np.float32) + T[:3, 3].astype(np.float32)
    return moved
