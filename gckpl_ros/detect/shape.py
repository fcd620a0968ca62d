"""People by their shape alone, without a network: ground, clusters, gates, confirmation over time."""

import numpy as np
from jaxtyping import Float32, Float64

from gckpl_ros.config import DetectConfig
from gckpl_ros.detect.confirmation import Confirmation
from gckpl_ros.detect.ground import height_above_ground, within
from gckpl_ros.detect.proposals import Candidates, candidates, cluster
from gckpl_ros.types import Boxes, Cloud

ABOVE_M = 0.4  # look this much above the tallest person, to see that posts and trees go on
DEPTH_M = 0.1  # the visible side lies about this far before a person's axis
FOOTPRINT_M = 0.8  # length and width of a box, unless more is seen


class ShapeDetector:
    """Finds people who move or look like people. Keeps state: feed clouds in the order of their stamps."""

    def __init__(self, config: DetectConfig) -> None:
        self._config = config
        self._confirmation = Confirmation(config)

    def configure(self, config: DetectConfig) -> None:
        """Take over other values; what was seen stays."""
        self._config = config
        self._confirmation.config = config

    def reset(self) -> None:
        """Forget what was seen."""
        self._confirmation.reset()

    def __call__(self, cloud: Cloud, T_fixed_cloud: Float64[np.ndarray, "4 4"] | None = None) -> Boxes:
        """Boxes of the people in sight (yaw 0), in the cloud's frame; T tells travel from the sensor's own motion."""
        T_fixed_cloud = np.eye(4) if T_fixed_cloud is None else T_fixed_cloud
        xyz = within(cloud, self._config.max_range_m)
        heights = height_above_ground(xyz, self._config.ground_cell_m)
        standing = np.flatnonzero(self._over_ground(heights))
        xyz, heights = xyz.take(standing, axis=1), heights[standing]
        labels = cluster(xyz[:2], self._config.cluster_radius_m)
        found = candidates(xyz, heights, labels, self._config)
        confirmed = self._confirmation(_fixed(found, T_fixed_cloud), found.human, cloud.stamp_ns)
        return _boxes(found, np.asarray(cloud.origin[:2], np.float32))[confirmed]

    def _over_ground(self, heights: Float32[np.ndarray, " n"]) -> np.ndarray:
        low, high = self._config.ground_clearance_m, self._config.max_height_m + ABOVE_M
        return (heights > low) & (heights < high)


def _fixed(found: Candidates, T_fixed_cloud: Float64[np.ndarray, "4 4"]) -> Float64[np.ndarray, "c 2"]:
    centers = np.column_stack((found.means, found.grounds))
    fixed: np.ndarray = centers @ T_fixed_cloud[:2, :3].T + T_fixed_cloud[:2, 3]
    return fixed


def _boxes(found: Candidates, origin: Float32[np.ndarray, "2"]) -> Boxes:
    """From the ground to the top, around the person's axis, and wide enough for all that is seen."""
    away = found.means - origin
    away /= np.maximum(np.linalg.norm(away, axis=1, keepdims=True), np.float32(1e-3))
    axes = found.means + np.float32(DEPTH_M) * away
    reach = 2 * np.maximum(found.high - axes, axes - found.low)
    centers = np.column_stack((axes, found.grounds + found.tops / 2))
    sizes = np.column_stack((np.maximum(reach, FOOTPRINT_M), found.tops))
    count = len(found)
    return Boxes(centers, sizes.astype(np.float32), np.zeros(count, np.float32), np.ones(count, np.float32))
