"""What the tracker remembers of everybody: one array per quantity, one row per person, in the fixed frame."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, Int64

from gckpl_ros.skeleton import NUM_KEYPOINTS
from gckpl_ros.track.kalman import Motion
from gckpl_ros.types import Boxes, Skeletons


@dataclass(frozen=True)
class People:
    """Positions in the fixed frame, in float64 because it may be a map; ``boxes`` and ``skeletons`` as last reported.

    ``trust`` is the confidence gathered in each keypoint's filter.
    """

    ids: Int64[np.ndarray, " n"]
    hits: Int64[np.ndarray, " n"]
    seen_ns: Int64[np.ndarray, " n"]
    motion: Motion
    keypoints: Float64[np.ndarray, "n 14 3"]
    yaws: Float64[np.ndarray, " n"]
    trust: Float32[np.ndarray, "n 14"]
    boxes: Boxes
    skeletons: Skeletons

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: np.ndarray) -> "People":
        """People chosen by an index array or a mask."""
        return People(*(getattr(self, field.name)[index] for field in fields(self)))

    def __add__(self, others: "People") -> "People":
        """These people's rows, then the others'."""
        people: People = _joined(self, others)
        return people

    @staticmethod
    def nobody() -> "People":
        """No rows."""
        none = np.zeros(0, np.int64)
        keypoints = np.zeros((0, NUM_KEYPOINTS, 3))
        trust = np.zeros((0, NUM_KEYPOINTS), np.float32)
        motion = Motion.unknown(np.zeros((0, 3)))
        return People(none, none, none, motion, keypoints, np.zeros(0), trust, Boxes.empty(), Skeletons.empty())


def _joined(first: Any, second: Any) -> Any:
    if isinstance(first, np.ndarray):
        return np.concatenate((first, second))
    columns = (_joined(getattr(first, field.name), getattr(second, field.name)) for field in fields(first))
    return type(first)(*columns)
