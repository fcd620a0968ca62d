"""What belongs to a live cloud: the other sensors' clouds, transforms and detections of its time."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from jaxtyping import Float64

from gckpl_ros.config import Config
from gckpl_ros.io.messages import FAR_M, stamp_ns
from gckpl_ros.io.sample import NO_DETECTIONS_OF_ITS_TIME, RESTART_NS, SkippedError, no_transform
from gckpl_ros.io.status import Status
from gckpl_ros.io.tf import TransformError, Transforms

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
