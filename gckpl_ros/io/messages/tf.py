"""A tree of transforms over time, from tf2_msgs/TFMessage: like tf2's buffer, without ROS."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from threading import RLock
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64
from scipy.spatial.transform import Rotation, Slerp

from gckpl_ros.io.messages.skeletons import stamp_ns as to_ns

_PRUNE_EVERY = 256


class TransformError(LookupError):
    """No transform between two frames at this time: the message says which link is missing, or when it is known."""


@runtime_checkable
class Transforms(Protocol):
    """What live inputs ask for transforms: a TransformBuffer, or tf2's own where ROS is installed."""

    def lookup(self, target: str, source: str, stamp_ns: int) -> Float64[np.ndarray, "4 4"]:
        """T_target_source at a time; raises TransformError where it is not known."""
        ...

    def clear(self) -> None:
        """Forget all but static transforms: time starts anew."""
        ...


@dataclass
class _Link:
    """T_parent_child over time: stamps (ns), translations (m), quaternions (xyzw); a static link has no stamps."""

    parent: str
    static: bool
    samples: dict[int, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    _stamps: list[int] = field(default_factory=list)

    def add(self, stamp_ns: int, translation: np.ndarray, quaternion: np.ndarray, keep_ns: float) -> None:
        self.samples[stamp_ns] = translation, quaternion
        self._stamps = []
        # in order of arrival: once in a while those that are too old go, so that memory is bounded and adding is cheap
        if len(self.samples) % _PRUNE_EVERY == 0:
            oldest_ns = max(self.samples) - keep_ns
            self.samples = {stamp: sample for stamp, sample in self.samples.items() if stamp >= oldest_ns}

    def at(self, stamp_ns: int) -> tuple[np.ndarray, np.ndarray]:
        """Translation and quaternion, linear and spherical between the neighbours; raises TransformError outside."""
        if stamp_ns in self.samples:
            return self.samples[stamp_ns]
        self._stamps = self._stamps or sorted(self.samples)
        if self.static:
            return self.samples[self._stamps[-1]]
        place = int(np.searchsorted(self._stamps, stamp_ns))
        if not 0 < place < len(self._stamps):
            span = f"{self._stamps[0] / 1e9:.3f} s to {self._stamps[-1] / 1e9:.3f} s"
            raise TransformError(f"at {stamp_ns / 1e9:.3f} s it is outside of what was recorded ({span})")
        before, after = self._stamps[place - 1], self._stamps[place]
        return _between(self.samples[before], self.samples[after], (stamp_ns - before) / (after - before))


class TransformBuffer:
    """Transforms by their messages, from any thread. A frame's latest parent counts.

    ``keep_s``: what is so much older than a link's newest transform is forgotten; a recording keeps everything.
    """

    def __init__(self, keep_s: float = float("inf")) -> None:
        self._keep_ns = keep_s * 1e9
        self._links: dict[str, _Link] = {}
        self._lock = RLock()

    def clear(self) -> None:
        """Forget all but static transforms: time starts anew."""
        with self._lock:
            self._links = {child: link for child, link in self._links.items() if link.static}

    def add(self, message: Any, static: bool) -> None:
        """Take over a tf2_msgs/TFMessage; transforms that are not finite or not rotations are left out."""
        with self._lock:
            for stamped in message.transforms:
                self._add(stamped, static)

    def _add(self, stamped: Any, static: bool) -> None:
        child, parent = stamped.child_frame_id.strip("/"), stamped.header.frame_id.strip("/")
        t, q = stamped.transform.translation, stamped.transform.rotation
        translation, quaternion = np.array([t.x, t.y, t.z]), np.array([q.x, q.y, q.z, q.w])
        norm = float(np.linalg.norm(quaternion))
        if not (np.isfinite(translation).all() and 0.5 < norm < 2):
            return
        link = self._links.get(child)
        if link is None or link.parent != parent:
            self._forget_before(to_ns(stamped.header.stamp) - self._keep_ns)
            link = self._links[child] = _Link(parent, static)
        link.add(to_ns(stamped.header.stamp), translation, quaternion / norm, self._keep_ns)

    def _forget_before(self, oldest_ns: float) -> None:
        """Frames of people who have left would stay for ever."""
        self._links = {
            child: link for child, link in self._links.items() if link.static or max(link.samples) >= oldest_ns
        }

    def lookup(self, target: str, source: str, stamp_ns: int) -> Float64[np.ndarray, "4 4"]:
        """T_target_source at a time; raises TransformError for unknown or unconnected frames and outside the times."""
        with self._lock:
            return self._lookup(target.strip("/"), source.strip("/"), stamp_ns)

    def _lookup(self, target: str, source: str, stamp_ns: int) -> Float64[np.ndarray, "4 4"]:
        from_target, from_source = list(self._up(target)), list(self._up(source))
        common = next((frame for frame in from_source if frame in from_target), None)
        if common is None:
            raise TransformError(f"no transform from {source} to {target}: {self._unconnected(target, source)}")
        T_common_target = self._climb(target, common, stamp_ns)
        T_target_source: np.ndarray = np.linalg.inv(T_common_target) @ self._climb(source, common, stamp_ns)
        return T_target_source

    def _up(self, frame: str) -> Iterator[str]:
        """The frame, its parent, and so on to the root; a circle ends where it closes."""
        seen: set[str] = set()
        while frame not in seen:
            yield frame
            seen.add(frame)
            if frame not in self._links:
                return
            frame = self._links[frame].parent

    def _climb(self, frame: str, ancestor: str, stamp_ns: int) -> Float64[np.ndarray, "4 4"]:
        """T_ancestor_frame."""
        T_ancestor_frame = np.eye(4)
        while frame != ancestor:
            link = self._links[frame]
            try:
                T_ancestor_frame = _matrix(*link.at(stamp_ns)) @ T_ancestor_frame
            except TransformError as error:
                raise TransformError(f"transform from {frame} to {link.parent}: {error}") from None
            frame = link.parent
        return T_ancestor_frame

    def _unconnected(self, target: str, source: str) -> str:
        known = set(self._links) | {link.parent for link in self._links.values()}
        unknown = [frame for frame in (target, source) if frame not in known]
        frames = ", ".join(sorted(known)) or "none"
        return f"{' and '.join(unknown) or 'their trees'} not {'known' if unknown else 'connected'} (frames: {frames})"


def _between(
    before: tuple[np.ndarray, np.ndarray], after: tuple[np.ndarray, np.ndarray], share: float
) -> tuple[np.ndarray, np.ndarray]:
    rotations = Rotation.from_quat(np.stack([before[1], after[1]]))
    return before[0] + share * (after[0] - before[0]), Slerp([0, 1], rotations)(share).as_quat()


def _matrix(translation: np.ndarray, quaternion: np.ndarray) -> Float64[np.ndarray, "4 4"]:
    T_parent_child = np.eye(4)
    T_parent_child[:3, :3] = Rotation.from_quat(quaternion).as_matrix()
    T_parent_child[:3, 3] = translation
    return T_parent_child
