"""People in a cloud when no detector is given: ground, pillars, the person network, evidence over time."""

import numpy as np
from jaxtyping import Float32, Float64
from scipy.special import expit

from gckpl_ros.config import DetectConfig
from gckpl_ros.detect.evidence import Evidence
from gckpl_ros.detect.ground import height_above_ground, within
from gckpl_ros.detect.network import load_person
from gckpl_ros.detect.pillars import pillars
from gckpl_ros.detect.shape import ShapeDetector
from gckpl_ros.types import Boxes, Cloud


class Detector:
    """Finds people, whatever they do. Keeps state: feed clouds in the order of their stamps."""

    def __init__(self, config: DetectConfig) -> None:
        """Load the network; raises InputError when its weights cannot be used."""
        self._config = config
        self._network = load_person(config.weights)
        self._evidence = Evidence(config)

    def configure(self, config: DetectConfig) -> None:
        """Take over other values; what was seen stays."""
        self._config = self._evidence.config = config

    def reset(self) -> None:
        """Forget what was seen."""
        self._evidence.reset()

    def __call__(self, cloud: Cloud, T_fixed_cloud: Float64[np.ndarray, "4 4"] | None = None) -> Boxes:
        """Boxes of the people in sight, in the cloud's frame; T tells where they were before. Yaw is an axis."""
        T_fixed_cloud = np.eye(4) if T_fixed_cloud is None else T_fixed_cloud
        origin = np.asarray(cloud.origin, np.float32)
        xyz = within(cloud, self._config.max_range_m)
        if origin.any():
            xyz -= origin[:, None]
        seen = pillars(xyz, height_above_ground(xyz, self._config.ground_cell_m), self._config.max_range_m)
        found, odds = self._network(seen)
        at = found[:, :3] + origin
        at[:, 2] += seen.ground(found[:, :2])
        odds, reported = self._evidence(_fixed(at, T_fixed_cloud), odds, cloud.stamp_ns)
        return Boxes(at, found[:, 3:6], found[:, 6], expit(odds).astype(np.float32))[reported]


class NoDetector:
    """Stands in for the detector when it is off."""

    def configure(self, config: DetectConfig) -> None:
        """Nothing to take over."""

    def reset(self) -> None:
        """Nothing to forget."""

    def __call__(self, cloud: Cloud, T_fixed_cloud: Float64[np.ndarray, "4 4"] | None = None) -> Boxes:
        """Nobody."""
        return Boxes.empty()


def detector(config: DetectConfig) -> Detector | ShapeDetector | NoDetector:
    """The one that is configured; raises InputError when its weights cannot be used."""
    if not config.enabled:
        return NoDetector()
    return Detector(config) if config.method == "learned" else ShapeDetector(config)


def _fixed(at: Float32[np.ndarray, "c 3"], T_fixed_cloud: Float64[np.ndarray, "4 4"]) -> Float64[np.ndarray, "c 2"]:
    fixed: np.ndarray = at @ T_fixed_cloud[:2, :3].T + T_fixed_cloud[:2, 3]
    return fixed
