"""Skeletons as plain numbers, for consumers without this package's messages."""

from typing import Any, Final

import numpy as np

from gckpl_ros.io.typestore import MessageTypes
from gckpl_ros.skeleton import NUM_KEYPOINTS
from gckpl_ros.types import Tracks

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
