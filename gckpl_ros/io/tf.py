"""A tree of transforms over time, from recorded tf2_msgs/TFMessage: like tf2's buffer, without ROS."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float64
from scipy.spatial.transform import Rotation, Slerp

from gckpl_ros.io.messages import stamp_ns as to_ns


class TransformError(LookupError):
    """No transform between two frames at this time: the message says which link is missing, or when it is known."""


@dataclass
class _Link:
    """T_parent_child over time: stamps (ns), translations (m), quaternions (xyzw); a static link has no stamps."""

    parent: str
    static: bool
    samples: dict[int, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    _stamps: list[int] = field(default_factory=list)

    def add(self, stamp_ns: int, translation: np.ndarray, quaternion: np.ndarray) -> None:
        self.samples[stamp_ns] = translation, quaternion
        self._stamps = []

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
    """All transforms of a recording; add its messages, then look up. A frame's latest parent counts."""

    def __init__(self) -> None:
        self._links: dict[str, _Link] = {}

    def add(self, message: Any, static: bool) -> None:
        """Take over a tf2_msgs/TFMessage; transforms that are not finite or not rotations are left out."""
        for stamped in message.transforms:
            child, parent = stamped.child_frame_id.strip("/"), stamped.header.frame_id.strip("/")
            t, q = stamped.transform.translation, stamped.transform.rotation
            translation, quaternion = np.array([t.x, t.y, t.z]), np.array([q.x, q.y, q.z, q.w])
            norm = float(np.linalg.norm(quaternion))
            if not (np.isfinite(translation).all() and 0.5 < norm < 2):
                continue
            link = self._links.get(child)
            if link is None or link.parent != parent:
                link = self._links[child] = _Link(parent, static)
            link.add(to_ns(stamped.header.stamp), translation, quaternion / norm)

    def lookup(self, target: str, source: str, stamp_ns: int) -> Float64[np.ndarray, "4 4"]:
        """T_target_source at a time; raises TransformError for unknown or unconnected frames and outside the times."""
        target, source = target.strip("/"), source.strip("/")
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
