"""One instant as the pictures need it: the cloud, what the pipeline said of it, and the truth where it is known."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Float32, Float64, Int16

from gckpl_ros.geometry import facing, points_in_boxes, transformed
from gckpl_ros.skeleton import INDEX
from gckpl_ros.types import Boxes, Cloud, Frame, TrackState
from gckpl_ros.view.canvas import box_corners

MARGIN_M, GROUND_M = 0.1, 0.04
SAME_PERSON_M = 1.0


@dataclass(frozen=True)
class Scene:
    """A cloud, its frame of results; if known, everybody's true keypoints and the sensor's pose in a fixed frame."""

    cloud: Cloud
    frame: Frame
    truth: Float32[np.ndarray, "t 14 3"] | None = None
    T_fixed_cloud: Float64[np.ndarray, "4 4"] | None = None

    @cached_property
    def ground(self) -> float:
        """Height of the ground in the cloud's frame: under the people, else under the lowest points near by."""
        boxes = self.frame.tracks.boxes
        if len(boxes):
            return float(np.median(boxes.centers[:, 2] - boxes.sizes[:, 2] / 2))
        near = self.cloud.points[np.linalg.norm(self.cloud.points[:, :2], axis=1) < 20]
        return float(np.percentile(near[:, 2], 5)) if len(near) else 0.0

    @cached_property
    def owners(self) -> Int16[np.ndarray, " n"]:
        """Row of the track in whose box each point lies; -1 for none."""
        owners = np.full(len(self.cloud), -1, np.int16)
        for row, points in enumerate(points_in_boxes(self.cloud.points, enlarged(self.frame.tracks.boxes))):
            owners[points] = row
        return owners

    def truth_of(self, row: int) -> Float32[np.ndarray, "14 3"] | None:
        """The true keypoints of the person nearest to a track's skeleton, within a metre; None otherwise."""
        if self.truth is None or not len(self.truth):
            return None
        found = self.frame.tracks.skeletons.keypoints[row]
        distances = np.linalg.norm(self.truth - found, axis=2).mean(1)
        nearest = int(distances.argmin())
        return self.truth[nearest] if distances[nearest] < SAME_PERSON_M else None

    def visible_rows(self) -> list[int]:
        """Rows of the tracks that were seen in this very cloud."""
        return [row for row, state in enumerate(self.frame.tracks.states.tolist()) if state != TrackState.LOST]


def enlarged(boxes: Boxes) -> Boxes:
    """Boxes with MARGIN_M more at the sides and the top, and a little less at the bottom: no ground."""
    low, high = boxes.sizes[:, 2] / 2 - np.float32(GROUND_M), boxes.sizes[:, 2] / 2 + np.float32(MARGIN_M)
    sizes = np.column_stack((boxes.sizes[:, :2] + np.float32(2 * MARGIN_M), low + high))
    centers = boxes.centers + np.outer((high - low) / 2, np.array([0, 0, 1], np.float32))
    return replace(boxes, centers=centers, sizes=sizes)


def heading_deg(keypoints: Float32[np.ndarray, "14 3"]) -> float:
    """Bearing that a person's chest faces: (right to left) x up, of shoulders and hips, on the ground."""
    pairs = (("left_shoulder", "right_shoulder"), ("left_hip", "right_hip"))
    to_left = np.sum([keypoints[INDEX[left]] - keypoints[INDEX[right]] for left, right in pairs], 0)
    return float(np.degrees(facing(to_left)))


def extent(scenes: Sequence[Scene]) -> Float32[np.ndarray, "n 3"]:
    """Corners of everybody's box in all scenes: what a camera must see. Without people: 10 m around the sensor."""
    boxes = [scene.frame.tracks.boxes for scene in scenes if len(scene.frame.tracks)]
    if not boxes:
        ground = scenes[0].ground if scenes else 0.0
        return np.array([[-10, -10, ground], [10, 10, ground + 2]], np.float32)
    return np.concatenate([box_corners(b.centers, b.sizes, b.yaws).reshape(-1, 3) for b in boxes])


def trails(scenes: Sequence[Scene], now: int, length_s: float = 3.0) -> dict[int, Float32[np.ndarray, "n 3"]]:
    """Where each track of scene ``now`` stood in the seconds before, in that scene's cloud frame.

    Empty where the sensor's pose is not known.
    """
    here = scenes[now]
    if here.T_fixed_cloud is None:
        return {}
    T_here_fixed = np.linalg.inv(here.T_fixed_cloud)
    feet: dict[int, list[np.ndarray]] = {int(i): [] for i in here.frame.tracks.ids}
    for scene in scenes[: now + 1]:
        if scene.T_fixed_cloud is None or here.cloud.stamp_ns - scene.cloud.stamp_ns > length_s * 1e9:
            continue
        boxes = scene.frame.tracks.boxes
        floor = boxes.centers - np.array([0, 0, 0.5], np.float32) * boxes.sizes
        floor = transformed(T_here_fixed @ scene.T_fixed_cloud, floor)
        for identity, foot in zip(scene.frame.tracks.ids.tolist(), floor, strict=True):
            if identity in feet:
                feet[identity].append(foot)
    return {identity: np.array(steps, np.float32) for identity, steps in feet.items() if len(steps) > 1}


# One person, large, from the front and from the side: points, skeleton with left and right, and the truth.
