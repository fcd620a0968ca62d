"""Bodies of a recording as files: what the sink of `gckpl fit` keeps."""

import numpy as np

from gckpl_ros.commands.fit import FittedTracks
from gckpl_ros.types import Bodies, Cloud, Frame, Sample, Tracks


def body(identity: int, x: float, shape: float) -> Bodies:
    turns = np.tile(np.eye(3, dtype=np.float32), (1, 22, 1, 1))
    return Bodies(
        np.array([identity]), np.full((1, 16), shape, np.float32), turns, np.array([[x, 0, 0]], np.float32),
        np.zeros((1, 22, 3), np.float32), np.zeros((1, 14, 3), np.float32), np.ones(1, np.float32),
    )  # fmt: skip


def test_a_track_lies_in_the_fixed_frame_and_has_its_last_shape() -> None:
    """The sensor drives along y and is turned to the left: a cloud's x is the fixed frame's y."""
    fitted = FittedTracks()
    for t in range(3):
        pose = np.array([[0.0, -1, 0, 0], [1, 0, 0, float(t)], [0, 0, 1, 0], [0, 0, 0, 1]])
        cloud = Cloud(np.zeros((0, 3), np.float32), t * 100_000_000, "lidar")
        frame = Frame(cloud.stamp_ns, "lidar", Tracks.empty(), bodies=body(5, 2.0, float(t)))
        fitted.write(Sample(cloud, T_fixed_cloud=pose), frame)
    fitted.write(Sample(cloud), Frame(0, "lidar", Tracks.empty(), bodies=body(6, 0.0, 0.0)))
    assert list(fitted.tracks(least=3)) == [5]
    track = fitted.tracks(least=3)[5]
    assert np.allclose(track.places, [[0, 2, 0], [0, 3, 0], [0, 4, 0]])
    assert np.allclose(track.rotations[:, 0], [[0, -1, 0], [1, 0, 0], [0, 0, 1]])
    assert np.allclose(track.betas, 2.0) and np.isclose(track.fps, 10)
