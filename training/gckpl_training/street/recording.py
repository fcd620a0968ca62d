"""The demo street as messages: clouds, transforms, truth and what a detector finds, and a recording of them."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from rich.progress import track
from scipy.spatial.transform import Rotation

from gckpl_ros.io.messages.detections import to_detection_array
from gckpl_ros.io.messages.pointcloud2 import from_points
from gckpl_ros.io.messages.skeletons import to_header, to_quaternion, to_skeleton_array, to_vector
from gckpl_ros.io.messages.typestore import MessageTypes
from gckpl_ros.io.recording.bag import BagWriter
from gckpl_ros.skeleton import KEYPOINTS
from gckpl_ros.types import Boxes, Frame, Skeletons, Tracks, TrackState
from gckpl_training.street.street import LIDAR_FRAME, START_NS, Scan, Street

CLOUD, TRUTH, DETECTIONS, STATIC = "/lidar/points", "/truth/skeletons", "/detections", "/tf_static"
TOPICS = {
    STATIC: "tf2_msgs/msg/TFMessage",
    "/tf": "tf2_msgs/msg/TFMessage",
    CLOUD: "sensor_msgs/msg/PointCloud2",
    TRUTH: "gckpl_ros/msg/SkeletonArray",
}
# What a good detector on LiDAR gets wrong; people with fewer returns than this are missed.
CENTER_SIGMA_M, SIZE_SIGMA, YAW_SIGMA_RAD, MISS_CHANCE, MIN_POINTS = 0.06, 0.08, 0.15, 0.04, 10


def write_street(
    out: Path, sensor: str = "spinner32", seconds: float = 15.0, seed: int = 0, detections: bool = False
) -> Path:
    """Write a recording of the simulated street, optionally with the boxes of a detector; returns its path."""
    with simulated(sensor, seconds, seed, detections) as scans:
        _write(BagWriter(out, topics(detections)), scans)
    return out


@contextmanager
def simulated(
    sensor: str, seconds: float, seed: int, detections: bool
) -> Iterator[Iterator[tuple[Scan, Boxes | None]]]:
    """Every scan, and the boxes that a detector finds in it; simulated in one thread.

    A scan is many small operations: threads bring little, and on a busy machine waiting for them costs tenfold.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.no_grad():
            yield _scans(seed, sensor, seconds, detections)
    finally:
        torch.set_num_threads(threads)


def topics(detections: bool) -> dict[str, str]:
    """The type of each topic."""
    return TOPICS | ({DETECTIONS: "vision_msgs/msg/Detection3DArray"} if detections else {})


def _scans(seed: int, sensor: str, seconds: float, detections: bool) -> Iterator[tuple[Scan, Boxes | None]]:
    street, rng = Street(seed, sensor, seconds), np.random.default_rng(seed)
    for scan in track(street.scans(), "scans", len(street), transient=True):
        yield scan, detect(scan, rng) if detections else None


def _write(writer: BagWriter, scans: Iterable[tuple[Scan, Boxes | None]]) -> None:
    with writer:
        for scan, found in scans:
            if scan.cloud.stamp_ns == START_NS:
                writer.write(STATIC, START_NS, static_transforms(scan, writer.types))
            for topic, message in messages(scan, found, writer.types):
                writer.write(topic, scan.cloud.stamp_ns, message)


def truth(scan: Scan) -> Frame:
    """The truth of a scan as a frame: confidence 1, visibility 1 where a return lies on the joint's part."""
    people = len(scan.ids)
    seen = np.zeros((people, len(KEYPOINTS)), np.float32)
    on_body = (scan.person >= 0) & (scan.part < len(KEYPOINTS))
    seen[scan.person[on_body], scan.part[on_body]] = 1
    skeletons = Skeletons(scan.keypoints, np.ones_like(seen), seen)
    states = np.full(people, TrackState.TRACKED, np.int64)
    tracks = Tracks(scan.ids, states, scan.boxes, skeletons, scan.velocities)
    return Frame(scan.cloud.stamp_ns, scan.cloud.frame_id, tracks)


def detect(scan: Scan, rng: np.random.Generator) -> Boxes:
    """Boxes of the people that can be seen, with a detector's errors of place, size and heading, and some missed."""
    people = len(scan.ids)
    found = (scan.points_per_person >= MIN_POINTS) & (rng.random(people) >= MISS_CHANCE)
    noisy = Boxes(
        _float32(scan.boxes.centers + rng.normal(0, CENTER_SIGMA_M, (people, 3))),
        _float32(scan.boxes.sizes * (1 + np.clip(rng.normal(0, SIZE_SIGMA, (people, 3)), -0.3, 0.3))),
        _float32(scan.boxes.yaws + rng.normal(0, YAW_SIGMA_RAD, people)),
        _float32(rng.uniform(0.6, 0.95, people)),
    )
    return noisy[found]


def messages(scan: Scan, found: Boxes | None, types: MessageTypes) -> Iterator[tuple[str, Any]]:
    """Topic and message of all that belongs to a scan, with the stamp of its cloud."""
    header = to_header(scan.cloud.stamp_ns, scan.cloud.frame_id, types)
    T_odom_base = scan.T_odom_sensor.copy()
    T_odom_base[2, 3] = 0
    yield "/tf", _transforms([("odom", "base_link", T_odom_base)], scan, types)
    yield CLOUD, from_points(scan.cloud.points, header, types, {"intensity": scan.intensity})
    yield TRUTH, to_skeleton_array(truth(scan), types)
    if found is not None:
        yield DETECTIONS, to_detection_array(header, found, types)


def static_transforms(scan: Scan, types: MessageTypes) -> Any:
    """A tf2_msgs/TFMessage with the place of the sensor on the robot."""
    T_base_lidar = np.eye(4)
    T_base_lidar[2, 3] = scan.T_odom_sensor[2, 3]
    return _transforms([("base_link", LIDAR_FRAME, T_base_lidar)], scan, types)


def _transforms(links: Sequence[tuple[str, str, np.ndarray]], scan: Scan, types: MessageTypes) -> Any:
    def link(parent: str, child: str, T_parent_child: np.ndarray) -> Any:
        quaternion = Rotation.from_matrix(T_parent_child[:3, :3]).as_quat()
        return types["geometry_msgs/msg/TransformStamped"](
            header=to_header(scan.cloud.stamp_ns, parent, types),
            child_frame_id=child,
            transform=types["geometry_msgs/msg/Transform"](
                translation=to_vector(T_parent_child[:3, 3], types), rotation=to_quaternion(quaternion, types)
            ),
        )

    return types["tf2_msgs/msg/TFMessage"](transforms=[link(*each) for each in links])


def _float32(values: np.ndarray) -> Float32[np.ndarray, "..."]:
    return values.astype(np.float32)
