"""Messages for tests of replay and live inputs, made by the library rosbags: somebody at a place, boxes, transforms."""

import numpy as np

from gckpl_ros.io.messages.pointcloud2 import from_points
from gckpl_ros.io.messages.skeletons import to_header
from gckpl_ros.io.messages.typestore import typestore

TYPES = typestore().types
SCAN_NS = 100_000_000
START_NS = 1_700_000_000_000_000_000
PERSON = np.array([6.0, 1.0, 0.0])


def header(i, frame="lidar", offset_ns=0):
    """Of scan number i, which may be a fraction."""
    return to_header(START_NS + round(i * SCAN_NS) + offset_ns, frame, TYPES)


def cloud(i, points=None, frame="lidar", at=PERSON):
    """Points of somebody at a place."""
    somebody = at + np.random.default_rng(int(i)).uniform([-0.2, -0.2, -0.8], [0.2, 0.2, 0.8], (60, 3))
    return from_points((somebody if points is None else np.array(points)).astype(np.float32), header(i, frame), TYPES)


def detections(i, *names, frame="lidar", at=PERSON, offset_ns=0):
    """A box of 1.8 m for each name, all at one place."""
    pose = TYPES["geometry_msgs/msg/Pose"](
        position=TYPES["geometry_msgs/msg/Point"](*map(float, at)),
        orientation=TYPES["geometry_msgs/msg/Quaternion"](x=0.0, y=0.0, z=0.0, w=1.0),
    )
    hypothesis = TYPES["vision_msgs/msg/ObjectHypothesis"]
    covariance = TYPES["geometry_msgs/msg/PoseWithCovariance"](pose=pose, covariance=np.zeros(36))
    size = TYPES["geometry_msgs/msg/Vector3"](x=0.6, y=0.6, z=1.8)
    found = [
        TYPES["vision_msgs/msg/Detection3D"](
            header=header(i, frame),
            results=[TYPES["vision_msgs/msg/ObjectHypothesisWithPose"](hypothesis(name, 0.9), covariance)],
            bbox=TYPES["vision_msgs/msg/BoundingBox3D"](center=pose, size=size),
            id="",
        )
        for name in names
    ]
    return TYPES["vision_msgs/msg/Detection3DArray"](header=header(i, frame, offset_ns), detections=found)


def transforms(i, parent, child, x, yaw=0.0):
    """T_parent_child: x to the front, turned by yaw about z."""
    return TYPES["tf2_msgs/msg/TFMessage"](
        transforms=[
            TYPES["geometry_msgs/msg/TransformStamped"](
                header=header(i, parent),
                child_frame_id=child,
                transform=TYPES["geometry_msgs/msg/Transform"](
                    translation=TYPES["geometry_msgs/msg/Vector3"](x=float(x), y=0.0, z=0.0),
                    rotation=TYPES["geometry_msgs/msg/Quaternion"](
                        x=0.0, y=0.0, z=float(np.sin(yaw / 2)), w=float(np.cos(yaw / 2))
                    ),
                ),
            )
        ]
    )


def of_yolo(array):
    """The boxes of a Detection3DArray as yolo_ros tells them: in a frame of their own, not in the image's."""
    point, yolo = (lambda: TYPES["yolo_msgs/msg/Point2D"](x=0.0, y=0.0)), "yolo_msgs/msg/"
    found = [
        TYPES[f"{yolo}Detection"](
            class_id=0,
            class_name=each.results[0].hypothesis.class_id,
            score=each.results[0].hypothesis.score,
            id="",
            bbox=TYPES[f"{yolo}BoundingBox2D"](
                center=TYPES[f"{yolo}Pose2D"](position=point(), theta=0.0),
                size=TYPES[f"{yolo}Vector2"](x=0.0, y=0.0),
            ),
            bbox3d=TYPES[f"{yolo}BoundingBox3D"](
                center=each.bbox.center, size=each.bbox.size, frame_id=array.header.frame_id
            ),
            mask=TYPES[f"{yolo}Mask"](height=0, width=0, data=[]),
            keypoints=TYPES[f"{yolo}KeyPoint2DArray"](data=[]),
            keypoints3d=TYPES[f"{yolo}KeyPoint3DArray"](data=[], frame_id=""),
        )
        for each in array.detections
    ]
    image = TYPES["std_msgs/msg/Header"](stamp=array.header.stamp, frame_id="camera_optical_frame")
    return TYPES[f"{yolo}DetectionArray"](header=image, detections=found)
