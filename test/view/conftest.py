"""A street of capsule people whose every coordinate is known."""

import numpy as np
import pytest

from gckpl_ros.skeleton import INDEX
from gckpl_ros.types import Boxes, Cloud, Frame, Skeletons, Tracks, TrackState
from gckpl_ros.view.scene import Scene

# Standing at the origin, facing +x, feet at z = 0 (metres).
STANDING = np.zeros((14, 3), np.float32)
for _name, _place in {
    "nose": (0.14, 0, 1.55),
    "head_center": (0.03, 0, 1.6),
    "shoulder": (0, 0.19, 1.4),
    "elbow": (0, 0.24, 1.1),
    "wrist": (0.05, 0.26, 0.85),
    "hip": (0, 0.1, 0.92),
    "knee": (0.03, 0.1, 0.5),
    "ankle": (0, 0.1, 0.08),
}.items():
    for _side, _sign in (("", 1), ("left_", 1), ("right_", -1)):
        if _side + _name in INDEX:
            STANDING[INDEX[_side + _name]] = np.multiply(_place, (1, _sign, 1))


def scene(places: list[tuple[float, float]], stamp_ns: int = 0, error_m: float = 0.05, ground: int = 2000) -> Scene:
    """People facing +x at these places on a plane at z = 0; keypoints are off by ``error_m`` upwards."""
    rng = np.random.default_rng(stamp_ns)
    offsets = np.array([(x, y, 0) for x, y in places], np.float32).reshape(-1, 3)
    truth = STANDING + offsets[:, None]
    bodies = (truth[:, rng.integers(0, 14, 60)] + rng.normal(0, 0.04, (len(places), 60, 3))).reshape(-1, 3)
    plane = np.c_[rng.uniform(-20, 20, (ground, 2)), np.zeros(ground)]
    points = np.concatenate([plane, bodies]).astype(np.float32)
    people = len(places)
    boxes = Boxes(
        offsets + np.array([0, 0, 0.9], np.float32),
        np.tile(np.array([0.6, 0.8, 1.8], np.float32), (people, 1)),
        np.zeros(people, np.float32),
        np.ones(people, np.float32),
    )
    found = truth + np.array([0, 0, error_m], np.float32)
    sure = np.full((people, 14), 0.9, np.float32)
    tracks = Tracks(
        np.arange(1, people + 1),
        np.full(people, TrackState.TRACKED, np.int64),
        boxes,
        Skeletons(found, sure, sure),
        np.zeros((people, 3), np.float32),
    )
    frame = Frame(stamp_ns, "lidar", tracks, None, {"detect": 10.0, "estimate": 30.0}, {"too_few_points": 1})
    return Scene(Cloud(points, stamp_ns, "lidar"), frame, truth, np.eye(4))


@pytest.fixture
def street() -> list[Scene]:
    """Two people for five frames at 10 Hz: one walks ahead at 1 m/s from (6, 2), one stands at (9, -2)."""
    return [scene([(6 + 0.1 * i, 2), (9, -2)], i * 100_000_000) for i in range(5)]


@pytest.fixture
def nobody() -> Scene:
    """A plane without people."""
    return scene([])
