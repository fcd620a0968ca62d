"""The sensor's own motion where no transforms tell it: KISS-ICP (Vizzo et al., RA-L 2023) on its clouds.

Points that carry their times are put where they were at the cloud's stamp, as if the sensor had stood still.
"""

from dataclasses import replace
from typing import Any, Final

import numpy as np
from jaxtyping import Float64
from scipy.spatial.transform import Rotation

from gckpl_ros.errors import InputError
from gckpl_ros.geometry import transformed
from gckpl_ros.types import Cloud, Sample

MAX_RANGE_M: Final = 100.0
FINEST_M, COARSEST_M = 0.2, 1.0  # voxels of the map: rooms have fine ones
LEAST_POINTS: Final = 200
LONGEST_GAP_S: Final = 1.0  # speed from before a longer one tells nothing
TURNS: Final = 64  # a sweep's rotation is made in so many steps

Transform = Float64[np.ndarray, "4 4"]


class Odometry:
    """Estimates T_odom_cloud; odom is where the first cloud was. Keeps a map: feed clouds in order."""

    def __init__(self) -> None:
        """Raises InputError where KISS-ICP is not installed."""
        try:
            import kiss_icp.kiss_icp
        except ImportError as error:
            need = "track.frame=odometry needs kiss-icp: pip install 'gckpl_ros[odometry]'"
            raise InputError(f"{need} (or name a frame of TF in track.frame)") from error
        self._kiss = kiss_icp.kiss_icp
        self.reset()

    def reset(self) -> None:
        """Start anew: odom is where the next cloud is."""
        self._icp: Any = None
        self._stamp_ns = 0
        self._twist = np.zeros(6)

    def __call__(self, sample: Sample) -> Sample:
        """The sample with T_fixed_cloud, unless it has one: wheels and localisation know better.

        Its cloud is deskewed, unless boxes were given, which belong to the cloud as it came.
        """
        if sample.T_fixed_cloud is not None:
            return sample
        cloud = sample.cloud
        gap_s = (cloud.stamp_ns - self._stamp_ns) * 1e-9
        if not 0 < gap_s <= LONGEST_GAP_S:
            gap_s, self._twist = 0.0, np.zeros(6)
        still = deskewed(cloud, self._twist)
        if len(cloud) >= LEAST_POINTS:
            self._register(still.points.astype(np.float64), gap_s)
            self._stamp_ns = cloud.stamp_ns
        pose = np.eye(4) if self._icp is None else np.array(self._icp.last_pose)
        return replace(sample, cloud=still if sample.boxes is None else cloud, T_fixed_cloud=pose)

    def _register(self, points: Float64[np.ndarray, "n 3"], gap_s: float) -> None:
        icp = self._icp = self._icp or self._begun(points)
        before = np.array(icp.last_pose)
        icp.last_delta = motion(self._twist, gap_s)  # clouds may be missing in between
        icp.register_frame(points, np.zeros(0))
        if gap_s:
            self._twist = twist(np.linalg.inv(before) @ icp.last_pose, gap_s)

    def _begun(self, points: Float64[np.ndarray, "n 3"]) -> Any:
        config = self._kiss.KISSConfig()
        config.data.max_range, config.data.deskew = MAX_RANGE_M, False
        reach_m = float(np.percentile(np.hypot(points[:, 0], points[:, 1]), 80))
        config.mapping.voxel_size = float(np.clip(reach_m / 20, FINEST_M, COARSEST_M))
        return self._kiss.KissICP(config)


class NoOdometry:
    """Stands in for the odometry when it is off."""

    def reset(self) -> None:
        """Nothing to forget."""

    def __call__(self, sample: Sample) -> Sample:
        """As it came."""
        return sample


def twist(T_before_now: Transform, gap_s: float) -> Float64[np.ndarray, "6"]:
    """Turn rate (rad/s) and velocity (m/s) of a steady motion that took so long, to second order of the turn."""
    turn = Rotation.from_matrix(T_before_now[:3, :3]).as_rotvec()
    way = T_before_now[:3, 3]
    return np.concatenate((turn, way - np.cross(turn, way) / 2)) / gap_s


def motion(twist: Float64[np.ndarray, "6"], time_s: float) -> Transform:
    """T_before_after of a steady motion over so long."""
    turn, way = twist[:3] * time_s, twist[3:] * time_s
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = Rotation.from_rotvec(turn).as_matrix(), way + np.cross(turn, way) / 2
    return T


def deskewed(cloud: Cloud, twist: Float64[np.ndarray, "6"]) -> Cloud:
    """The cloud as if all of it had been measured at its stamp by a sensor that moves so; as it is without times."""
    times = cloud.times_s
    if times is None or not twist.any() or not len(cloud):
        return replace(cloud, times_s=None)
    first, last = float(times.min()), float(times.max())
    steps = np.linspace(first, last, TURNS)
    rows = np.rint((times - first) * ((TURNS - 1) / max(last - first, 1e-9))).astype(np.int64)
    T_stamp_step = np.stack([motion(twist, float(step)) for step in steps]).astype(np.float32)
    order = np.argsort(rows, kind="stable")
    points = np.empty_like(cloud.points)
    for T, part in zip(T_stamp_step, np.split(order, np.searchsorted(rows[order], np.arange(1, TURNS))), strict=True):
        points[part] = transformed(T, cloud.points[part])
    return replace(cloud, points=points, times_s=None)
