"""Skeletons as plain numbers, for consumers without this package's messages."""

from collections.abc import Callable
from typing import Any, Final, TypeAlias

import numpy as np
from jaxtyping import Int64

from gckpl_ros.io.messages.skeletons import to_header
from gckpl_ros.io.messages.typestore import MessageTypes
from gckpl_ros.skeleton import NUM_KEYPOINTS
from gckpl_ros.types import Cloud, Parts, Tracks

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


# The points on people as a cloud that tells the body part of each.

# Makes a PointCloud2 of points, a header, types and more fields, as pointcloud2.from_points does.
ToCloud: TypeAlias = Callable[..., Any]


def to_parts_cloud(cloud: Cloud, parts: Parts, ids: Int64[np.ndarray, " b"], types: MessageTypes, make: ToCloud) -> Any:
    """A PointCloud2 in the frame and of the time of the cloud, with a point for each that the network saw.

    Fields: x, y, z (m); part, the likeliest place in PARTS; probability of that part; person, the track's id.
    """
    likeliest = parts.probability.argmax(axis=1)
    fields = {
        "part": likeliest.astype(np.uint8),
        "probability": np.take_along_axis(parts.probability, likeliest[:, None], axis=1)[:, 0],
        "person": ids[parts.person].astype(np.int32),
    }
    return make(cloud.points[parts.index], to_header(cloud.stamp_ns, cloud.frame_id, types), types, fields)
