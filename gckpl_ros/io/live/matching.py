"""What belongs to a live cloud: the other sensors' clouds, transforms and detections of its time."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Condition
from time import monotonic, perf_counter
from typing import Any, Final

import numpy as np
from jaxtyping import Float32, Float64

from gckpl_ros.config import Config
from gckpl_ros.errors import InputError
from gckpl_ros.io.live.sample import (
    NO_DETECTIONS_OF_ITS_TIME,
    NO_POINTS,
    NOT_NEWER,
    RESTART_NS,
    SkippedError,
    no_transform,
)
from gckpl_ros.io.live.status import Status
from gckpl_ros.io.messages.detections import to_boxes, transform_boxes
from gckpl_ros.io.messages.pointcloud2 import to_points
from gckpl_ros.io.messages.skeletons import FAR_M, stamp_ns
from gckpl_ros.io.messages.tf import TransformError, Transforms
from gckpl_ros.types import Boxes, Cloud, Sample

MISSING: Final = "cloud of another sensor is missing"
_MOST_DETECTIONS: Final = 32

Transform = Float64[np.ndarray, "4 4"]


class NotYetError(Exception):
    """Something that belongs to a cloud may still come."""


@dataclass
class Scan:
    """Clouds of one time, by sensor; ``came_s``: when the first of them came (s)."""

    stamp_ns: int
    came_s: float
    clouds: dict[int, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Match:
    """A scan with all that belongs to it, not decoded yet; its clouds go into ``frame_id`` by ``transforms``.

    ``detections`` None: there is no detector; empty messages do not exist, a late detector is ``late``.
    """

    scan: Scan
    frame_id: str
    transforms: dict[int, Transform]
    T_fixed_cloud: Transform | None
    detections: Any
    T_cloud_detections: Transform | None
    late: bool


class Matcher:
    """Remembers who was heard and when, and the latest detections. Not thread-safe."""

    def __init__(self, config: Config, transforms: Transforms, status: Status, clock: Callable[[], float]) -> None:
        self._config = config.input
        self._fixed_frame = config.track.frame
        self._transforms = transforms
        self._status = status
        self._clock = clock
        self._first_frame = ""
        self.clear()

    def clear(self) -> None:
        """Forget everything but the first sensor's frame."""
        self._heard_s: dict[int, float] = {}
        self._detector_heard_s = -np.inf
        self._detections: deque[tuple[int, Any]] = deque(maxlen=_MOST_DETECTIONS)

    def start_anew(self, stamp: int) -> None:
        """Time has jumped back to this stamp: forget detections from before the jump."""
        self._detections = deque(
            (found for found in self._detections if found[0] < stamp + RESTART_NS), _MOST_DETECTIONS
        )

    def heard_cloud(self, message: Any, sensor: int) -> None:
        """A sensor is alive."""
        self._heard_s[sensor] = self._clock()
        if sensor == 0:
            self._first_frame = message.header.frame_id

    def heard_detections(self, message: Any) -> None:
        """Keep detections until their cloud comes."""
        self._detector_heard_s = self._clock()
        self._detections.append((stamp_ns(message.header.stamp), message))

    def match(self, scan: Scan) -> Match:
        """All that belongs to a scan; raises NotYetError while something may still come, SkippedError if it is needed.

        After ``wait_s`` a scan goes without late sensors and without late detections, but not without transforms.
        """
        now_s = self._clock()
        expired = now_s - scan.came_s >= self._config.wait_s
        self._check_complete(scan, now_s, expired)
        frame_id = self._config.frame or self._first_frame or next(iter(scan.clouds.values())).header.frame_id
        detections = self._nearest_detections(scan, now_s, expired)
        return Match(
            scan,
            frame_id,
            {sensor: self._of_cloud(frame_id, cloud, expired) for sensor, cloud in sorted(scan.clouds.items())},
            self._lookup(self._fixed_frame, frame_id, scan.stamp_ns, expired) if self._fixed_frame else None,
            detections,
            self._of_detections(frame_id, detections, scan, expired),
            late=detections is None and self._detector_alive(now_s),
        )

    def _check_complete(self, scan: Scan, now_s: float, expired: bool) -> None:
        alive = {sensor for sensor, heard_s in self._heard_s.items() if now_s - heard_s <= self._config.silence_s}
        if missing := alive - set(scan.clouds):
            if not expired:
                raise NotYetError
            self._status.drop({MISSING: len(missing)})

    def _detector_alive(self, now_s: float) -> bool:
        return now_s - self._detector_heard_s <= self._config.silence_s

    def _nearest_detections(self, scan: Scan, now_s: float, expired: bool) -> Any:
        """Those of the scan's time; None if there are none."""
        if not self._detector_alive(now_s):
            return None
        stamp, message = min(self._detections, key=lambda found: abs(found[0] - scan.stamp_ns), default=(0, None))
        if message is not None and abs(stamp - scan.stamp_ns) <= self._config.tolerance_s * 1e9:
            return message
        if not expired:
            raise NotYetError
        self._status.drop({NO_DETECTIONS_OF_ITS_TIME: 1})
        return None

    def _of_cloud(self, frame_id: str, cloud: Any, expired: bool) -> Transform:
        """T_frame_sensor at the time of the sensor's own cloud."""
        return self._lookup(frame_id, cloud.header.frame_id, stamp_ns(cloud.header.stamp), expired)

    def _of_detections(self, frame_id: str, detections: Any, scan: Scan, expired: bool) -> Transform | None:
        if detections is None or not detections.header.frame_id:
            return None
        return self._lookup(frame_id, detections.header.frame_id, scan.stamp_ns, expired)

    def _lookup(self, target: str, source: str, stamp: int, expired: bool) -> Transform:
        if target == source:
            return np.eye(4)
        try:
            return _plausible(self._transforms.lookup(target, source, stamp))
        except TransformError as error:
            if not expired:
                raise NotYetError from error
            raise SkippedError(no_transform(source, target), str(error)) from error


def _plausible(T: Transform) -> Transform:
    if not (abs(T) < FAR_M).all():
        raise TransformError("it leads beyond all bounds")
    return T


# Live clouds as the pipeline's input: the newest cloud that has all that belongs to it.

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
