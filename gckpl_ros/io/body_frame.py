"""REP-155 body frames: mid-hips, x forward out of the body, y left, z to the head."""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Float64
from scipy.spatial.transform import Rotation

from gckpl_ros.io.messages import to_header, to_quaternion, to_vector
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


def to_transforms(frame: Frame, types: MessageTypes) -> Any:
    """A tf2_msgs/TFMessage with body_<id> of every person, child of the cloud's frame."""
    header = to_header(frame.stamp_ns, frame.frame_id, types)
    frames, valid = body_frames(frame.tracks.skeletons.keypoints)
    quaternions = Rotation.from_matrix(frames[:, :3, :3]).as_quat()
    transforms = [
        types["geometry_msgs/msg/TransformStamped"](
            header=header,
            child_frame_id=f"{REP155_BODY}_{frame.tracks.ids[person]}",
            transform=types["geometry_msgs/msg/Transform"](
                translation=to_vector(frames[person, :3, 3], types),
                rotation=to_quaternion(quaternions[person], types),
            ),
        )
        for person in np.flatnonzero(valid)
    ]
    return types["tf2_msgs/msg/TFMessage"](transforms=transforms)
