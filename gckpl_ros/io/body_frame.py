"""REP-155 frames of people as TF: the body is at the mid-hips, x forward out of it, y left, z to the head."""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Float64
from scipy.spatial.transform import Rotation

from gckpl_ros.io.link_frames import PARENTS, link_frames
from gckpl_ros.io.messages import to_header
from gckpl_ros.io.typestore import MessageTypes
from gckpl_ros.skeleton import INDEX, REP155_BODY
from gckpl_ros.types import Frame

_HIPS = [INDEX["left_hip"], INDEX["right_hip"]]
_SHOULDERS = [INDEX["left_shoulder"], INDEX["right_shoulder"]]


def body_frames(
    keypoints: Float32[np.ndarray, "b 14 3"],
) -> tuple[Float64[np.ndarray, "b 4 4"], Bool[np.ndarray, " b"]]:
    """T_cloud_body of each person, and whether there is one: hips and shoulders in one line span no body."""
    hips, shoulders = keypoints[:, _HIPS].astype(np.float64), keypoints[:, _SHOULDERS].astype(np.float64)
    up = shoulders.mean(1) - hips.mean(1)
    left = (hips[:, 0] - hips[:, 1]) + (shoulders[:, 0] - shoulders[:, 1])
    forward = np.cross(left, up)
    valid = np.linalg.norm(forward, axis=1) > 1e-6
    forward, up = forward[valid], up[valid]
    x = forward / np.linalg.norm(forward, axis=1, keepdims=True)
    z = up / np.linalg.norm(up, axis=1, keepdims=True)
    frames = np.tile(np.eye(4), (len(keypoints), 1, 1))
    frames[valid, :3, :3] = np.stack([x, np.cross(z, x), z], axis=2)
    frames[:, :3, 3] = hips.mean(1)
    return frames, valid


def to_transforms(frame: Frame, types: MessageTypes, links: bool = False) -> Any:
    """A tf2_msgs/TFMessage with body_<id> of every person, child of the cloud's frame; ``links``: and all its links."""
    T_cloud_body, valid = body_frames(frame.tracks.skeletons.keypoints)
    T_cloud_body, ids = T_cloud_body[valid], frame.tracks.ids[valid].tolist()
    header = to_header(frame.stamp_ns, frame.frame_id, types)
    quaternions = Rotation.from_matrix(T_cloud_body[:, :3, :3]).as_quat().tolist()
    transforms = [
        _to_stamped(header, f"{REP155_BODY}_{person}", translation, quaternion, types)
        for person, translation, quaternion in zip(ids, T_cloud_body[:, :3, 3].tolist(), quaternions, strict=True)
    ]
    if links and ids:
        transforms += _to_links(ids, frame.tracks.skeletons.keypoints[valid], T_cloud_body, header, types)
    return types["tf2_msgs/msg/TFMessage"](transforms=transforms)


def _to_links(
    ids: list[int],
    keypoints: Float32[np.ndarray, "b 14 3"],
    T_cloud_body: Float64[np.ndarray, "b 4 4"],
    header: Any,
    types: MessageTypes,
) -> list[Any]:
    parent_header = types["std_msgs/msg/Header"]
    rows = zip(ids, *(values.tolist() for values in link_frames(keypoints, T_cloud_body)), strict=True)
    return [
        _to_stamped(
            parent_header(stamp=header.stamp, frame_id=f"{parent}_{person}"),
            f"{link}_{person}",
            translation,
            quaternion,
            types,
        )
        for person, translations, quaternions, valid in rows
        for (link, parent), translation, quaternion, has in zip(
            PARENTS.items(), translations, quaternions, valid, strict=True
        )
        if has
    ]


def _to_stamped(header: Any, child: str, translation: list[float], quaternion: list[float], types: MessageTypes) -> Any:
    x, y, z = translation
    qx, qy, qz, qw = quaternion
    return types["geometry_msgs/msg/TransformStamped"](
        header=header,
        child_frame_id=child,
        transform=types["geometry_msgs/msg/Transform"](
            translation=types["geometry_msgs/msg/Vector3"](x=x, y=y, z=z),
            rotation=types["geometry_msgs/msg/Quaternion"](x=qx, y=qy, z=qz, w=qw),
        ),
    )
