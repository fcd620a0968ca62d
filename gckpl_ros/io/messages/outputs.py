"""Everything that is published of one cloud; only what somebody takes is made."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
from jaxtyping import Bool

from gckpl_ros.config import OutputConfig
from gckpl_ros.io.live.interface import OUTPUTS
from gckpl_ros.io.messages.arrays import ToCloud, to_joint_array, to_parts_cloud
from gckpl_ros.io.messages.frames import to_transforms
from gckpl_ros.io.messages.markers import SkeletonMarkers
from gckpl_ros.io.messages.people import to_people
from gckpl_ros.io.messages.pointcloud2 import from_points
from gckpl_ros.io.messages.skeletons import to_header, to_skeleton_array
from gckpl_ros.io.messages.typestore import MessageTypes
from gckpl_ros.types import Cloud, Frame, Parts, Tracks

# Whoever took these keeps people until told that they are gone.
_REMEMBERED: Final = ("markers", "bodies", "people")


class Outputs:
    """Makes messages of frames, in one thread at a time. It knows whose markers are shown: one for each receiver."""

    def __init__(self, types: MessageTypes, config: OutputConfig, to_cloud: ToCloud = from_points) -> None:
        """``to_cloud``: how to make a PointCloud2, with the arguments of pointcloud2.from_points."""
        self._types = types
        self._config = config
        self._to_cloud = to_cloud
        self._markers = SkeletonMarkers(types)
        self._nobody: Frame | None = None
        made: Mapping[str, Callable[[Cloud, Frame], Any]] = {
            "skeletons": lambda cloud, frame: to_skeleton_array(frame, types),
            "markers": lambda cloud, frame: self._markers(frame),
            "joint_array": lambda cloud, frame: to_joint_array(frame.tracks, types),
            "parts": self._parts,
            "tf": self._transforms,
            "bodies": self._bodies,
            "people": lambda cloud, frame: to_people(frame, types),
            "processing_time": self._processing_time,
        }
        self._made = {name: made[name] for name in OUTPUTS if name in made and OUTPUTS[name].type in types}

    def configure(self, config: OutputConfig) -> None:
        """Take over other values; what is shown stays known."""
        self._config = config

    def encode(self, cloud: Cloud, frame: Frame, wanted: Collection[str]) -> Iterator[tuple[str, Any]]:
        """Name and message of each wanted output, made one by one, in the order of OUTPUTS.

        What cannot be made is left out: bodies without hri_msgs, parts of a frame without parts, tf that the
        configuration turns off; and so is whoever has a value that is not finite.
        """
        frame = _finite(frame)
        self._nobody = Frame(frame.stamp_ns, frame.frame_id, Tracks.empty())
        for name, make in self._made.items():
            if name in wanted and (message := make(cloud, frame)) is not None:
                yield name, message

    def clear(self, wanted: Collection[str] = _REMEMBERED) -> Iterator[tuple[str, Any]]:
        """What makes receivers forget everybody, with the stamp of the last frame: markers deleted, no bodies.

        Markers that are not wanted now are deleted when they are wanted again.
        """
        if self._nobody:
            cloud = Cloud(np.zeros((0, 3), np.float32), self._nobody.stamp_ns, self._nobody.frame_id)
            yield from self.encode(cloud, self._nobody, set(wanted) & set(_REMEMBERED))

    def _parts(self, cloud: Cloud, frame: Frame) -> Any:
        if frame.parts is None:
            return None
        return to_parts_cloud(cloud, frame.parts, frame.tracks.ids, self._types, self._to_cloud)

    def _transforms(self, cloud: Cloud, frame: Frame) -> Any:
        if not (self._config.body_frames or self._config.link_frames):
            return None
        return to_transforms(frame, self._types, links=self._config.link_frames)

    def _bodies(self, cloud: Cloud, frame: Frame) -> Any:
        header = to_header(frame.stamp_ns, frame.frame_id, self._types)
        return self._types[OUTPUTS["bodies"].type](header=header, ids=[str(i) for i in frame.tracks.ids.tolist()])

    def _processing_time(self, cloud: Cloud, frame: Frame) -> Any:
        return self._types[OUTPUTS["processing_time"].type](data=float(sum(frame.timings_ms.values())))


def _finite(frame: Frame) -> Frame:
    """The frame without people who have a value that is not finite: it would spoil every tree of transforms."""
    tracks = frame.tracks
    boxes, skeletons = tracks.boxes, tracks.skeletons
    values = [tracks.velocities, boxes.centers, boxes.sizes, boxes.yaws, boxes.scores]
    values += [skeletons.keypoints, skeletons.confidence, skeletons.visibility]
    kept = np.all([np.isfinite(value).all(axis=tuple(range(1, value.ndim))) for value in values], axis=0)
    if kept.all():
        return frame
    chosen = Tracks(tracks.ids[kept], tracks.states[kept], boxes[kept], skeletons[kept], tracks.velocities[kept])
    parts = _of_people(frame.parts, kept) if frame.parts else None
    people = None if frame.people is None else frame.people.rows(kept[: len(frame.people)])
    return replace(frame, tracks=chosen, parts=parts, people=people)


def _of_people(parts: Parts, kept: Bool[np.ndarray, " b"]) -> Parts:
    """Points of the people who stay, who move up in their order."""
    points = kept[parts.person]
    person = (np.cumsum(kept) - 1)[parts.person[points]]
    return Parts(parts.index[points], person, parts.probability[points])
