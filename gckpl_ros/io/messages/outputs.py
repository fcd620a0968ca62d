"""Everything that is published of one cloud; only what somebody takes is made."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final, TypeAlias

import numpy as np
from jaxtyping import Bool, Int64

from gckpl_ros.config import OutputConfig
from gckpl_ros.io.live.interface import OUTPUTS
from gckpl_ros.io.messages.detections import to_detection_array
from gckpl_ros.io.messages.frames import to_odometry, to_transforms
from gckpl_ros.io.messages.markers import BodyMarkers, SkeletonMarkers
from gckpl_ros.io.messages.pointcloud2 import from_points
from gckpl_ros.io.messages.skeletons import to_header, to_skeleton_array
from gckpl_ros.io.messages.typestore import MessageTypes
from gckpl_ros.skeleton import NUM_KEYPOINTS
from gckpl_ros.types import Bodies, Cloud, Frame, Parts, Tracks, TrackState

# Makes a PointCloud2 of points, a header, types and more fields, as pointcloud2.from_points does.
ToCloud: TypeAlias = Callable[..., Any]
# Whoever took these keeps people until told that they are gone.
_REMEMBERED: Final = ("markers", "meshes", "bodies", "people")


class Outputs:
    """Makes messages of frames, in one thread at a time. It knows whose markers are shown: one for each receiver."""

    def __init__(self, types: MessageTypes, config: OutputConfig, to_cloud: ToCloud = from_points) -> None:
        """``to_cloud``: how to make a PointCloud2, with the arguments of pointcloud2.from_points."""
        self._types = types
        self._config = config
        self._to_cloud = to_cloud
        self._markers, self._meshes = SkeletonMarkers(types), BodyMarkers(types)
        self._nobody: Frame | None = None
        made: Mapping[str, Callable[[Cloud, Frame], Any]] = {
            "skeletons": lambda cloud, frame: to_skeleton_array(frame, types),
            "markers": lambda cloud, frame: self._markers(frame),
            "meshes": lambda cloud, frame: self._meshes(frame) if frame.bodies is not None else None,
            "joint_array": lambda cloud, frame: to_joint_array(frame.tracks, types),
            "parts": self._parts,
            "tf": self._transforms,
            "bodies": self._bodies,
            "detections": lambda cloud, frame: to_detections(frame, types),
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
        nothing = None if frame.bodies is None else Bodies.empty()
        self._nobody = Frame(frame.stamp_ns, frame.frame_id, Tracks.empty(), bodies=nothing)
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
        config, pose = self._config, frame.T_odom_cloud
        moves = pose is not None and config.odometry_frame
        if not (config.body_frames or config.link_frames or moves):
            return None
        people = frame if config.body_frames or config.link_frames else replace(frame, tracks=Tracks.empty())
        message = to_transforms(people, self._types, links=config.link_frames)
        if moves and pose is not None:
            message.transforms.append(to_odometry(frame, pose, self._types))
        return message

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


# Skeletons as plain numbers, for consumers without this package's messages.

VALUES: Final = ("x", "y", "z", "confidence", "id")


def to_joint_array(tracks: Tracks, types: MessageTypes) -> Any:
    """A std_msgs/Float32MultiArray person x joint x (x, y, z in m; confidence 0..1; id); nobody makes it empty.

    It has no header: positions are in the cloud's frame at the cloud's time, which ~/skeletons tell. Joints are in the
    order of gckpl_ros/Skeleton's constants. As float32 an id is exact up to 2**24.
    """
    keypoints, confidence = tracks.skeletons.keypoints, tracks.skeletons.confidence[..., None]
    ids = np.broadcast_to(tracks.ids[:, None, None], confidence.shape)
    values = np.concatenate([keypoints, confidence, ids.astype(np.float32)], axis=2)
    return types["std_msgs/msg/Float32MultiArray"](layout=_layout(len(tracks), types), data=values.reshape(-1))


def _layout(people: int, types: MessageTypes) -> Any:
    """A stride counts the values of its whole dimension, as std_msgs/MultiArrayLayout defines it."""
    dimension, values = types["std_msgs/msg/MultiArrayDimension"], len(VALUES)
    return types["std_msgs/msg/MultiArrayLayout"](
        dim=[
            dimension(label="person", size=people, stride=people * NUM_KEYPOINTS * values),
            dimension(label="joint", size=NUM_KEYPOINTS, stride=NUM_KEYPOINTS * values),
            dimension(label="value", size=values, stride=values),
        ],
        data_offset=0,
    )


def to_parts_cloud(cloud: Cloud, parts: Parts, ids: Int64[np.ndarray, " b"], types: MessageTypes, make: ToCloud) -> Any:
    """The points on people: a PointCloud2 in the frame and of the time of the cloud, of all that the network saw.

    Fields: x, y, z (m); part, the likeliest place in PARTS; probability of that part; person, the track's id.
    """
    likeliest = parts.probability.argmax(axis=1)
    fields = {
        "part": likeliest.astype(np.uint8),
        "probability": np.take_along_axis(parts.probability, likeliest[:, None], axis=1)[:, 0],
        "person": ids[parts.person].astype(np.int32),
    }
    return make(cloud.points[parts.index], to_header(cloud.stamp_ns, cloud.frame_id, types), types, fields)


# Standard errors of the built-in detector's boxes (656 people, scenes of the split test): x, y, z in m; no turn known.
_SIGMAS: Final = (0.10, 0.10, 0.11, 0.0, 0.0, 0.0)


def to_detections(frame: Frame, types: MessageTypes) -> Any:
    """The boxes of those who were seen in this cloud, for whoever needs a person detector; ids are those of tracks."""
    seen = np.flatnonzero(frame.tracks.states != TrackState.LOST)
    header, ids = to_header(frame.stamp_ns, frame.frame_id, types), frame.tracks.ids[seen].tolist()
    return to_detection_array(header, frame.tracks.boxes[seen], types, list(map(str, ids)), _SIGMAS)


def to_people(frame: Frame, types: MessageTypes) -> Any:
    """People as points that move, for social costmaps: a people_msgs/People in the cloud's frame (m, m/s).

    All tracks but new ones; a name is a track's id.
    """
    tracks, point = frame.tracks, types["geometry_msgs/msg/Point"]
    rows = zip(
        tracks.ids.tolist(),
        tracks.states.tolist(),
        tracks.boxes.centers.tolist(),
        tracks.velocities.tolist(),
        tracks.boxes.scores.tolist(),
        strict=True,
    )
    return types["people_msgs/msg/People"](
        header=to_header(frame.stamp_ns, frame.frame_id, types),
        people=[
            types["people_msgs/msg/Person"](
                name=str(person),
                position=point(**dict(zip("xyz", center, strict=True))),
                velocity=point(**dict(zip("xyz", velocity, strict=True))),
                reliability=score,
                tagnames=[],
                tags=[],
            )
            for person, state, center, velocity, score in rows
            if state != TrackState.NEW
        ],
    )
