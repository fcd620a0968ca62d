"""Values to messages and back, duck-typed: one function for generated messages and for the library rosbags' own."""

import sys
from typing import Any, Final

import numpy as np
from jaxtyping import Float32
from scipy.spatial.transform import Rotation

from gckpl_ros.geometry import quaternion_z
from gckpl_ros.io.messages.typestore import MessageTypes
from gckpl_ros.skeleton import KEYPOINTS
from gckpl_ros.types import Bodies, Boxes, Frame, Skeletons, Tracks

# Coordinates beyond this are no measurement, and their squares overflow; UTM's reach to 1e7 m.
FAR_M: Final = 1e8
_SECOND_NS = 1_000_000_000
_ABSENT = sys.maxsize


def stamp_ns(stamp: Any) -> int:
    """A builtin_interfaces/Time in nanoseconds."""
    return int(stamp.sec) * _SECOND_NS + int(stamp.nanosec)


def to_header(stamp_ns: int, frame_id: str, types: MessageTypes) -> Any:
    """A std_msgs/Header."""
    sec, nanosec = divmod(stamp_ns, _SECOND_NS)
    stamp = types["builtin_interfaces/msg/Time"](sec=sec, nanosec=nanosec)
    return types["std_msgs/msg/Header"](stamp=stamp, frame_id=frame_id)


def to_skeleton_array(frame: Frame, types: MessageTypes) -> Any:
    """A gckpl_ros/SkeletonArray with the stamp and frame of the cloud."""
    return types["gckpl_ros/msg/SkeletonArray"](
        header=to_header(frame.stamp_ns, frame.frame_id, types),
        joint_names=list(KEYPOINTS),
        skeletons=[_to_skeleton(frame, person, types) for person in range(len(frame.tracks))],
    )


def from_skeleton_array(message: Any) -> Frame:
    """The people of a gckpl_ros/SkeletonArray; its joints are put into our order by name, absent ones are NaN."""
    people = message.skeletons
    order = {name: place for place, name in enumerate(message.joint_names)}
    columns = [order.get(name, _ABSENT) for name in KEYPOINTS]
    tracks = Tracks(
        ids=np.array([person.id for person in people], np.int64),
        states=np.array([person.state for person in people], np.int64),
        boxes=_boxes(people),
        skeletons=Skeletons(
            _rows([[_joint(person.positions, column) for column in columns] for person in people], len(KEYPOINTS), 3),
            _rows([_scalars(person.confidences, columns) for person in people], len(KEYPOINTS)),
            _rows([_scalars(person.visibilities, columns) for person in people], len(KEYPOINTS)),
        ),
        velocities=_rows([_xyz(person.velocity) for person in people], 3),
    )
    return Frame(stamp_ns(message.header.stamp), message.header.frame_id, tracks)


def to_points(xyz: Float32[np.ndarray, "n 3"], types: MessageTypes) -> list[Any]:
    """One geometry_msgs/Point for each row."""
    point = types["geometry_msgs/msg/Point"]
    return [point(x=x, y=y, z=z) for x, y, z in xyz.tolist()]


def to_vector(xyz: np.ndarray, types: MessageTypes) -> Any:
    """A geometry_msgs/Vector3."""
    return types["geometry_msgs/msg/Vector3"](x=float(xyz[0]), y=float(xyz[1]), z=float(xyz[2]))


def to_quaternion(xyzw: np.ndarray, types: MessageTypes) -> Any:
    """A geometry_msgs/Quaternion."""
    x, y, z, w = (float(value) for value in xyzw)
    return types["geometry_msgs/msg/Quaternion"](x=x, y=y, z=z, w=w)


def to_bounding_box(boxes: Boxes, person: int, types: MessageTypes) -> Any:
    """A vision_msgs/BoundingBox3D: upright, turned by yaw about z."""
    pose = types["geometry_msgs/msg/Pose"](
        position=to_points(boxes.centers[person : person + 1], types)[0],
        orientation=to_quaternion(quaternion_z(float(boxes.yaws[person])), types),
    )
    return types["vision_msgs/msg/BoundingBox3D"](center=pose, size=to_vector(boxes.sizes[person], types))


def yaw(quaternion: Any) -> float:
    """Heading (rad) of a rotation: where its x axis points, seen from above; roll and pitch are ignored."""
    x, y, z, w = quaternion.x, quaternion.y, quaternion.z, quaternion.w
    return float(np.arctan2(2 * (w * z + x * y), w * w + x * x - y * y - z * z))


def _to_skeleton(frame: Frame, person: int, types: MessageTypes) -> Any:
    tracks, skeletons = frame.tracks, frame.tracks.skeletons
    return types["gckpl_ros/msg/Skeleton"](
        id=int(tracks.ids[person]),
        state=int(tracks.states[person]),
        score=float(tracks.boxes.scores[person]),
        box=to_bounding_box(tracks.boxes, person, types),
        velocity=to_vector(tracks.velocities[person], types),
        positions=to_points(skeletons.keypoints[person], types),
        confidences=skeletons.confidence[person],
        visibilities=skeletons.visibility[person],
        **_body_fields(frame.bodies, int(tracks.ids[person]), types),
    )


def _body_fields(bodies: Bodies | None, identity: int, types: MessageTypes) -> dict[str, Any]:
    """What a Skeleton says of the person's body; empty without one."""
    row = np.flatnonzero(bodies.ids == identity) if bodies else np.zeros(0, np.int64)
    if bodies is None or not len(row):
        nowhere = types["geometry_msgs/msg/Point"](x=0.0, y=0.0, z=0.0)
        return {"rotations": [], "pelvis": nowhere, "shape": np.zeros(0, np.float32), "stature": 0.0}
    quaternions = Rotation.from_matrix(bodies.rotations[row[0]]).as_quat()
    return {
        "rotations": [to_quaternion(quaternion, types) for quaternion in quaternions],
        "pelvis": to_points(bodies.places[row], types)[0],
        "shape": bodies.betas[row[0]],
        "stature": float(bodies.statures[row[0]]),
    }


def _boxes(people: Any) -> Boxes:
    return Boxes(
        _rows([_xyz(person.box.center.position) for person in people], 3),
        _rows([_xyz(person.box.size) for person in people], 3),
        _rows([yaw(person.box.center.orientation) for person in people]),
        _rows([person.score for person in people]),
    )


def _xyz(message: Any) -> tuple[float, float, float]:
    return message.x, message.y, message.z


def _joint(positions: Any, column: int) -> tuple[float, float, float]:
    return _xyz(positions[column]) if column < len(positions) else (np.nan, np.nan, np.nan)


def _scalars(values: Any, columns: list[int]) -> list[float]:
    return [float(values[column]) if column < len(values) else np.nan for column in columns]


def _rows(values: list[Any], *shape: int) -> Float32[np.ndarray, "..."]:
    return np.array(values, np.float32).reshape(len(values), *shape)
