"""The values that flow through the pipeline. All immutable; metres, radians, nanoseconds; arrays in numpy.

Frames: every position is in the frame ``frame_id`` of the cloud that it came from (x forward, y left, z up, REP-103)
unless a name says otherwise. Shapes: n points, b people, k keypoints (14), p parts (15).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Optional

import numpy as np
from jaxtyping import Float32, Float64, Int64

from gckpl_ros.skeleton import NUM_KEYPOINTS

if TYPE_CHECKING:
    import gckpl_ros.batch  # with torch, which a program that only reads skeletons can do without


class TrackState(IntEnum):
    """State of a track; the values are those of msg/Skeleton."""

    NEW = 0
    TRACKED = 1
    LOST = 2


@dataclass(frozen=True)
class Cloud:
    """One scan: finite points only, in metres, as seen from ``origin`` (the sensor, in the same frame).

    ``times_s``: when each point was measured, after the stamp; None where nobody asks or knows.
    """

    points: Float32[np.ndarray, "n 3"]
    stamp_ns: int
    frame_id: str
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    times_s: Float32[np.ndarray, " n"] | None = None

    def __len__(self) -> int:
        return len(self.points)


@dataclass(frozen=True)
class Boxes:
    """Upright 7-DoF boxes in the cloud's frame: size = (length along heading, width, height), yaw about z."""

    centers: Float32[np.ndarray, "b 3"]
    sizes: Float32[np.ndarray, "b 3"]
    yaws: Float32[np.ndarray, " b"]
    scores: Float32[np.ndarray, " b"]

    def __len__(self) -> int:
        return len(self.centers)

    def __getitem__(self, index: "np.ndarray | slice | list[int]") -> "Boxes":
        """Boxes chosen by an index array, a mask or a slice."""
        return Boxes(self.centers[index], self.sizes[index], self.yaws[index], self.scores[index])

    @staticmethod
    def empty() -> "Boxes":
        """No boxes."""
        return Boxes(_zeros(0, 3), _zeros(0, 3), _zeros(0), _zeros(0))


@dataclass(frozen=True)
class Skeletons:
    """Keypoints of b people in the cloud's frame.

    ``confidence`` is the probability that the keypoint lies within 10 cm of the truth; ``visibility`` the
    probability that at least one return lies on the keypoint's body part.
    """

    keypoints: Float32[np.ndarray, "b 14 3"]
    confidence: Float32[np.ndarray, "b 14"]
    visibility: Float32[np.ndarray, "b 14"]

    def __len__(self) -> int:
        return len(self.keypoints)

    def __getitem__(self, index: "np.ndarray | slice | list[int]") -> "Skeletons":
        """Skeletons chosen by an index array, a mask or a slice."""
        return Skeletons(self.keypoints[index], self.confidence[index], self.visibility[index])

    @staticmethod
    def empty() -> "Skeletons":
        """Nobody."""
        return Skeletons(_zeros(0, NUM_KEYPOINTS, 3), _zeros(0, NUM_KEYPOINTS), _zeros(0, NUM_KEYPOINTS))


@dataclass(frozen=True)
class Tracks:
    """People with stable identities; rows of all fields belong together. Velocity in m/s in the cloud's frame."""

    ids: Int64[np.ndarray, " b"]
    states: Int64[np.ndarray, " b"]
    boxes: Boxes
    skeletons: Skeletons
    velocities: Float32[np.ndarray, "b 3"]

    def __len__(self) -> int:
        return len(self.ids)

    @staticmethod
    def empty() -> "Tracks":
        """Nobody."""
        none = np.zeros(0, np.int64)
        return Tracks(none, none, Boxes.empty(), Skeletons.empty(), _zeros(0, 3))


@dataclass(frozen=True)
class Bodies:
    """Bodies fitted to b people in the cloud's frame; joints are SMPL's 22, in their order."""

    ids: Int64[np.ndarray, " b"]
    betas: Float32[np.ndarray, "b s"]
    """Shape, as the body model takes it."""
    rotations: Float32[np.ndarray, "b 22 3 3"]
    """Each joint's, relative to the joint above and to the T-pose; the first turns the whole body."""
    places: Float32[np.ndarray, "b 3"]
    """Of the pelvis."""
    joints: Float32[np.ndarray, "b 22 3"]
    keypoints: Float32[np.ndarray, "b 14 3"]
    statures: Float32[np.ndarray, " b"]
    vertices: Float32[np.ndarray, "b v 3"] | None = None
    """Of the skin, and which three make each triangle; only where somebody takes them."""
    faces: Int64[np.ndarray, "f 3"] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: "np.ndarray | slice | list[int]") -> "Bodies":
        """Bodies chosen by an index array, a mask or a slice."""
        vertices = None if self.vertices is None else self.vertices[index]
        return Bodies(
            self.ids[index],
            self.betas[index],
            self.rotations[index],
            self.places[index],
            self.joints[index],
            self.keypoints[index],
            self.statures[index],
            vertices,
            self.faces,
        )

    @staticmethod
    def empty() -> "Bodies":
        """Nobody."""
        joints = _zeros(0, 22, 3)
        return Bodies(
            np.zeros(0, np.int64), _zeros(0, 0), _zeros(0, 22, 3, 3), _zeros(0, 3), joints, _zeros(0, 14, 3), _zeros(0)
        )


@dataclass(frozen=True)
class Parts:
    """Body-part probabilities of the points that the network saw: ``index`` into the cloud, rows sum to 1."""

    index: Int64[np.ndarray, " n"]
    person: Int64[np.ndarray, " n"]
    probability: Float32[np.ndarray, "n 15"]


@dataclass(frozen=True)
class Sample:
    """One input of the pipeline, recorded or live. Boxes None: the built-in detector looks for people.

    ``T_fixed_cloud`` None: the cloud's own frame is the fixed one. ``restarted``: the time has jumped back, nothing
    from before counts. ``wait_ms``: how long the cloud waited for what belongs to it; 0 in a recording.
    ``received_ns``: when the cloud was recorded; 0 live.
    """

    cloud: Cloud
    boxes: Boxes | None = None
    T_fixed_cloud: Float64[np.ndarray, "4 4"] | None = None
    restarted: bool = False
    decode_ms: float = 0.0
    wait_ms: float = 0.0
    received_ns: int = 0

    @property
    def pose(self) -> Float64[np.ndarray, "4 4"]:
        """T_fixed_cloud; the identity where the cloud's own frame is the fixed one."""
        return np.eye(4) if self.T_fixed_cloud is None else self.T_fixed_cloud


@dataclass(frozen=True)
class Frame:
    """What the pipeline says of one cloud: people, time spent per stage (ms), and what was dropped and why.

    ``people``: the crops of those who were seen; they are the first rows of ``tracks``, in the same order. None in a
    frame that comes from a message. ``T_odom_cloud``: the sensor's own motion, where it was estimated from its clouds.
    ``bodies``: of people by their ids, where bodies are fitted; None elsewhere.
    """

    stamp_ns: int
    frame_id: str
    tracks: Tracks
    parts: Parts | None = None
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)
    people: Optional["gckpl_ros.batch.PersonBatch"] = None
    T_odom_cloud: Float64[np.ndarray, "4 4"] | None = None
    bodies: Bodies | None = None

    def tracked(self) -> tuple["gckpl_ros.batch.PersonBatch", Int64[np.ndarray, " b"]]:
        """Crops and ids of those whom the tracker knew and who were seen in this cloud; of a frame of the pipeline."""
        assert self.people is not None, "only the pipeline's frames hold people"
        known = self.tracks.states[: len(self.people)] == TrackState.TRACKED
        return self.people.rows(known), self.tracks.ids[: len(self.people)][known]


def _zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)
