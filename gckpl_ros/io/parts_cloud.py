"""The points on people as a cloud that tells the body part of each."""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Int64

from gckpl_ros.io.messages import to_header
from gckpl_ros.io.typestore import MessageTypes
from gckpl_ros.types import Cloud, Parts

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
