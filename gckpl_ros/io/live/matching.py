"""What belongs to a cloud, live or recorded: the other sensors' clouds, transforms and detections of its time."""

from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

import numpy as np
from jaxtyping import Float32, Float64, Int64

from gckpl_ros.config import ODOMETRY, Config
from gckpl_ros.errors import InputError
from gckpl_ros.geometry import transformed, transformed_boxes
from gckpl_ros.io.messages.detections import Found
from gckpl_ros.io.messages.pointcloud2 import to_points, to_times
from gckpl_ros.io.messages.skeletons import FAR_M, stamp_ns
from gckpl_ros.io.messages.tf import TransformError, Transforms
from gckpl_ros.reasons import (
    BAD_CLOUD,
    LATE_DETECTIONS,
    MISSING,
    NO_POINTS,
    NO_TRANSFORM,
    NO_TRANSFORM_OF_ITS_OWN,
    NOT_NEWER,
    REPLACED,
    Counts,
    Remark,
)
from gckpl_ros.types import Boxes, Cloud, Sample

# A cloud this much older than the one before means that time starts anew, not that a message was late.
RESTART_NS: Final = 1_000_000_000
ODOM: Final = "odom"
MOST_WAITING: Final = 16
_MOST_DETECTIONS: Final = 32
_MOST_FRAMES: Final = 16

Transform = Float64[np.ndarray, "4 4"]


class SkippedError(Exception):
    """This cloud cannot be used: ``reason`` is one of SKIPPED, ``example`` says more."""

    def __init__(self, reason: str, example: str = "") -> None:
        super().__init__(example or reason)
        self.reason = reason
        self.example = example


class NotYetError(Exception):
    """Something that belongs to a cloud may still come."""


@dataclass
class Scan:
    """Clouds of one time, by sensor; ``came_s``: when the first of them came (s); ``epoch``: restarts before it."""

    stamp_ns: int
    came_s: float
    epoch: int
    clouds: dict[int, Any] = field(default_factory=dict)


class Scans:
    """Clouds that wait, those of one time together, in the order of their stamps. Not thread-safe."""

    def __init__(self, tolerance_s: float, counts: Counts) -> None:
        """``tolerance_s``: stamps this near belong together."""
        self._tolerance_ns = tolerance_s * 1e9
        self._counts = counts
        self.epoch = 0
        self.forget()

    def forget(self) -> None:
        """Nothing waits, nothing came."""
        self.waiting: list[Scan] = []
        self._last_ns: dict[int, int] = {}
        self._taken_ns: int | None = None

    def restarts(self, stamp: int, sensor: int) -> bool:
        """Whether a cloud is so much older than its sensor's last one that time starts anew."""
        return stamp <= self._last_ns.get(sensor, stamp) - RESTART_NS

    def restart(self) -> None:
        """Time starts anew."""
        self.forget()
        self.epoch += 1

    def add(self, message: Any, sensor: int, now_s: float) -> None:
        """A cloud waits from now on, unless it is not newer than what was taken."""
        stamp = stamp_ns(message.header.stamp)
        self._last_ns[sensor] = stamp
        if self._taken_ns is not None and stamp <= self._taken_ns:
            self._counts.count(NOT_NEWER)
        else:
            self._place(stamp, message, sensor, now_s)

    def take(self, scan: Scan) -> None:
        """A scan goes; those before it are too late then."""
        self.drop_before(self.waiting.index(scan))
        self.waiting.remove(scan)
        self._taken_ns = scan.stamp_ns

    def drop_before(self, place: int) -> None:
        """Give up those that wait before this place."""
        if place > 0:
            self._counts.count(REPLACED, sum(len(scan.clouds) for scan in self.waiting[:place]))
            del self.waiting[:place]

    def passed(self, scan: Scan, sensor: int) -> bool:
        """Whether a sensor's clouds are beyond a scan already."""
        return self._last_ns.get(sensor, scan.stamp_ns) > scan.stamp_ns + self._tolerance_ns

    def _place(self, stamp: int, message: Any, sensor: int, now_s: float) -> None:
        """Into the nearest scan that lacks this sensor, or into a new one."""
        lacking = [scan for scan in self.waiting if sensor not in scan.clouds]
        scan = min(lacking, key=lambda scan: abs(scan.stamp_ns - stamp), default=None)
        if scan is None or abs(scan.stamp_ns - stamp) > self._tolerance_ns:
            scan = Scan(stamp, now_s, self.epoch)
            self.waiting.append(scan)
        scan.clouds[sensor] = message
        if sensor == min(scan.clouds):
            scan.stamp_ns = stamp
        self.waiting.sort(key=lambda scan: scan.stamp_ns)


class Detections(NamedTuple):
    """Detections of one time in their frame ("": the cloud's); ``frames``: others, of single ones ("": theirs).

    ``read`` makes boxes of them.
    """

    stamp_ns: int
    frame_id: str
    frames: Collection[str]
    read: Callable[[], Found]


@dataclass(frozen=True)
class Match:
    """A scan with all that belongs to it, not decoded yet; its clouds go into ``frame_id`` by ``transforms``.

    ``detections`` None: there is no detector, or it is ``late`` (then nobody is there). ``T_cloud_frames`` has each of
    their frames that has a transform.
    """

    scan: Scan
    frame_id: str
    transforms: dict[int, Transform]
    T_fixed_cloud: Transform | None
    detections: Detections | None
    T_cloud_frames: Mapping[str, Transform]
    late: bool


class Matcher:
    """Knows the transforms and the latest detections. Not thread-safe, but for ``decode``."""

    def __init__(self, config: Config, transforms: Transforms, counts: Counts) -> None:
        self._config = config.input
        self._estimates = config.track.frame == ODOMETRY
        own = config.output.odometry_frame  # what is published here would come back as if wheels told it
        self._fixed_frame = ("" if own else ODOM) if self._estimates else config.track.frame
        self._fixed_known = False
        self._transforms = transforms
        self._counts = counts
        self._first_frame = ""
        self.clear()

    def clear(self) -> None:
        """Forget everything but the first sensor's frame."""
        self._detections: deque[Detections] = deque(maxlen=_MOST_DETECTIONS)

    def start_anew(self, stamp: int) -> None:
        """Time has jumped back to this stamp: forget detections from before the jump."""
        kept = (found for found in self._detections if found.stamp_ns < stamp + RESTART_NS)
        self._detections = deque(kept, _MOST_DETECTIONS)

    def add_cloud(self, message: Any, sensor: int) -> None:
        """Note the first sensor's frame."""
        if sensor == 0:
            self._first_frame = message.header.frame_id

    def add_detections(self, detections: Detections) -> None:
        """Keep detections until their cloud comes."""
        self._detections.append(detections)

    def match(self, scan: Scan, sensors: Collection[int], detector: bool, final: bool) -> Match:
        """All that belongs to a scan; raises NotYetError while something may still come, SkippedError if it is needed.

        ``sensors`` and ``detector``: who delivers at this time. ``final``: nothing more is waited for; a scan goes
        without late sensors and without late detections then, but not without transforms.
        """
        self._check_complete(scan, sensors, final)
        first = scan.clouds.get(0)
        frame_id = self._config.frame or (first.header.frame_id if first else self._first_frame)
        frame_id = frame_id or next(iter(scan.clouds.values())).header.frame_id
        detections = self._nearest_detections(scan, final) if detector else None
        return Match(
            scan,
            frame_id,
            {sensor: self._of_cloud(frame_id, cloud, final) for sensor, cloud in sorted(scan.clouds.items())},
            self._of_fixed(frame_id, scan.stamp_ns, final),
            detections,
            self._of_detections(frame_id, detections, scan, final),
            late=detections is None and detector,
        )

    def decode(self, match: Match) -> Sample:
        """The pipeline's input; raises SkippedError where a cloud cannot be used."""
        origin = tuple(match.transforms[min(match.transforms)][:3, 3].tolist())
        points, times = _merged(match, self._estimates and match.T_fixed_cloud is None)
        cloud = Cloud(points, match.scan.stamp_ns, match.frame_id, origin, times)
        return Sample(cloud, self._boxes(match), match.T_fixed_cloud)

    def _check_complete(self, scan: Scan, sensors: Collection[int], final: bool) -> None:
        if missing := set(sensors) - set(scan.clouds):
            if not final:
                raise NotYetError
            self._counts.count(MISSING, len(missing), f"sensor {min(missing)} of input.points")

    def _nearest_detections(self, scan: Scan, final: bool) -> Detections | None:
        """Those of the scan's time; None if there are none."""
        nearest = min(self._detections, key=lambda found: abs(found.stamp_ns - scan.stamp_ns), default=None)
        if nearest and abs(nearest.stamp_ns - scan.stamp_ns) <= self._config.tolerance_s * 1e9:
            return nearest
        if not final:
            raise NotYetError
        self._counts.count(LATE_DETECTIONS)
        return None

    def _of_fixed(self, frame_id: str, stamp: int, final: bool) -> Transform | None:
        """T_fixed_cloud; None without a fixed frame, and where it is estimated because TF never knew it."""
        if not self._fixed_frame:
            return None
        try:
            T_fixed_cloud = self._lookup(self._fixed_frame, frame_id, stamp, final)
        except (NotYetError, SkippedError):
            if self._estimates and not self._fixed_known:
                return None
            raise
        self._fixed_known = True
        return T_fixed_cloud

    def _of_cloud(self, frame_id: str, cloud: Any, final: bool) -> Transform:
        """T_frame_sensor at the time of the sensor's own cloud."""
        return self._lookup(frame_id, cloud.header.frame_id, stamp_ns(cloud.header.stamp), final)

    def _of_detections(
        self, frame_id: str, detections: Detections | None, scan: Scan, final: bool
    ) -> Mapping[str, Transform]:
        """T_cloud_frame of the detections' frame, which must be there, and of those that single ones have."""
        if detections is None:
            return {}
        found = {}
        for frame in sorted(detections.frames)[:_MOST_FRAMES]:
            try:
                found[frame] = self._lookup(frame_id, frame or detections.frame_id or frame_id, scan.stamp_ns, final)
            except SkippedError:
                if not frame:
                    raise
        return found

    def _lookup(self, target: str, source: str, stamp: int, final: bool) -> Transform:
        if target == source:
            return np.eye(4)
        try:
            return _plausible(self._transforms.lookup(target, source, stamp))
        except TransformError as error:
            if not final:
                raise NotYetError from error
            raise SkippedError(NO_TRANSFORM, f"from {source} to {target}: {error}") from error

    def _boxes(self, match: Match) -> Boxes | None:
        if match.detections is None:
            return Boxes.empty() if match.late else None
        boxes, frames, remarks = match.detections.read()
        known = np.array([frame in match.T_cloud_frames for frame in frames], bool)
        if not known.all():
            remarks = [*remarks, Remark(NO_TRANSFORM_OF_ITS_OWN, int((~known).sum()), frames[int(known.argmin())])]
        for remark in remarks:
            self._counts.count(*remark)
        return _in_one_frame(boxes[known], [frame for frame in frames if frame in match.T_cloud_frames], match)


def _plausible(T: Transform) -> Transform:
    if not (abs(T) < FAR_M).all():
        raise TransformError("it leads beyond all bounds")
    return T


def _merged(match: Match, timed: bool) -> tuple[Float32[np.ndarray, "n 3"], Float32[np.ndarray, " n"] | None]:
    """Finite points of all sensors in one frame, and their times (s after the scan's stamp) if all of them tell."""
    parts, times = [], []
    for sensor, T in match.transforms.items():
        message = match.scan.clouds[sensor]
        points, index = _points(message)
        parts.append(_placed(points, T))
        times.append(to_times(message, index, match.scan.stamp_ns) if timed else None)
    if not sum(map(len, parts)):
        raise SkippedError(NO_POINTS)
    if len(parts) == 1:
        return parts[0], times[0]
    known = [each for each in times if each is not None]
    return np.concatenate(parts), np.concatenate(known) if len(known) == len(parts) else None


def _points(message: Any) -> tuple[Float32[np.ndarray, "n 3"], Int64[np.ndarray, " n"]]:
    try:
        return to_points(message)
    except InputError as error:
        raise SkippedError(BAD_CLOUD, str(error)) from error


def _in_one_frame(boxes: Boxes, frames: Sequence[str], match: Match) -> Boxes:
    """Boxes of several frames in the cloud's; those that are in it already stay as they are."""
    centers, yaws = boxes.centers.copy(), boxes.yaws.copy()
    for frame in set(frames):
        if not (np.eye(4) == (T := match.T_cloud_frames[frame])).all():
            rows = np.array([each == frame for each in frames], bool)
            moved = transformed_boxes(T, boxes[rows])
            centers[rows], yaws[rows] = moved.centers, moved.yaws
    return replace(boxes, centers=centers, yaws=yaws)


def _placed(points: Float32[np.ndarray, "n 3"], T: Float64[np.ndarray, "4 4"]) -> Float32[np.ndarray, "n 3"]:
    return points if (np.eye(4) == T).all() else transformed(T.astype(np.float32), points)
