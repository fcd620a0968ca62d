"""People for tests: one whose keypoints can be checked by head, and frames of several."""

import numpy as np

from gckpl_ros.skeleton import INDEX
from gckpl_ros.types import Boxes, Cloud, Frame, Skeletons, Tracks

# Somebody at the origin who looks along x, upright, arms hanging: left is +y.
STANDING = np.zeros((14, 3), np.float32)
for side, sign in (("left", 1), ("right", -1)):
    for joint, place in {
        "shoulder": [0, 0.2, 1.4],
        "elbow": [0, 0.2, 1.1],
        "wrist": [0, 0.2, 0.85],
        "hip": [0, 0.1, 0.9],
        "knee": [0, 0.1, 0.5],
        "ankle": [0, 0.1, 0.1],
    }.items():
        STANDING[INDEX[f"{side}_{joint}"]] = np.array(place) * [1, sign, 1]
STANDING[INDEX["head_center"]] = [0, 0, 1.65]
STANDING[INDEX["nose"]] = [0.1, 0, 1.65]

CLOUD = Cloud(np.arange(30, dtype=np.float32).reshape(10, 3), 1_500_000_001, "lidar")


def posed(**places):
    """STANDING with some keypoints elsewhere."""
    keypoints = STANDING.copy()
    for name, place in places.items():
        keypoints[INDEX[name]] = place
    return keypoints


def frame(*ids, states=None, keypoints=STANDING, stamp=CLOUD.stamp_ns):
    """People 10 m apart with random boxes, confidences and velocities."""
    n = len(ids)
    rng = np.random.default_rng(3)
    return Frame(
        stamp_ns=stamp,
        frame_id="lidar",
        tracks=Tracks(
            ids=np.array(ids, np.int64),
            states=np.array(states or [1] * n, np.int64),
            boxes=Boxes(*(rng.uniform(0.5, 2, shape).astype(np.float32) for shape in ((n, 3), (n, 3), n, n))),
            skeletons=Skeletons(
                np.stack([keypoints + 10 * i for i in range(n)]) if n else np.zeros((0, 14, 3), np.float32),
                rng.random((n, 14)).astype(np.float32),
                rng.random((n, 14)).astype(np.float32),
            ),
            velocities=rng.random((n, 3)).astype(np.float32),
        ),
    )
