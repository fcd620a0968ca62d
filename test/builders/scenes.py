"""People made of a few points on flat ground: for the pipeline and the runner."""

import numpy as np

from gckpl_ros.types import Boxes, Cloud, Sample

CENTERS = np.array([[4, 0, -0.6], [6, 3, -0.6], [9, -4, -0.6]], np.float32)
FRAME_NS = 100_000_000


def body(center, points=120):
    """Trunk and head, as the detector wants them: 1.75 m tall around the centre."""
    rng = np.random.default_rng(0)
    angle = np.arctan2(-center[1], -center[0]) + rng.uniform(-1.4, 1.4, points)
    z = rng.uniform(0.05, 1.75, points)
    radius = np.where(z > 1.5, 0.1, 0.25)
    return np.column_stack((radius * np.cos(angle), radius * np.sin(angle), z - 0.9)) + center


def cloud(i=0, centers=CENTERS):
    ground = np.column_stack((np.random.default_rng(1).uniform(-12, 12, (8000, 2)), np.full(8000, -1.5)))
    points = np.concatenate((ground, *(body(center) for center in centers)))
    return Cloud(points.astype(np.float32), i * FRAME_NS, "lidar")


def boxes(centers=CENTERS):
    n = len(centers)
    size = np.tile(np.float32([0.8, 0.8, 1.8]), (n, 1))
    return Boxes(np.asarray(centers, np.float32), size, np.zeros(n, np.float32), np.ones(n, np.float32))


def sample(i=0, T_fixed_cloud=None, restarted=False):
    """The cloud with its boxes."""
    return Sample(cloud(i), boxes(), T_fixed_cloud, restarted)
