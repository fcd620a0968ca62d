"""Cameras: where a point of the cloud lies in the picture. World z up; camera x right, y down, z into the picture."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32

NEAR_M = 0.2


@dataclass(frozen=True)
class Camera:
    """A pinhole or orthographic camera: ``scale`` is the focal length in pixels, or pixels per metre."""

    rotation: Float[np.ndarray, "3 3"]
    translation: Float[np.ndarray, " 3"]
    scale: float
    size: tuple[int, int]
    perspective: bool

    def project(
        self, points: Float32[np.ndarray, "*n 3"]
    ) -> tuple[Float32[np.ndarray, "*n 2"], Float32[np.ndarray, " *n"]]:
        """Pixels (x right, y down) and depths in metres; points nearer than NEAR_M have no meaningful pixel."""
        camera = points @ self.rotation.T.astype(np.float32) + self.translation.astype(np.float32)
        depths = camera[..., 2]
        divisor = np.maximum(depths, NEAR_M)[..., None] if self.perspective else np.float32(1)
        pixels = camera[..., :2] / divisor * np.float32(self.scale) + np.array(self.size, np.float32) / 2
        return pixels.astype(np.float32), depths

    def pixels_per_metre(self, depths: Float32[np.ndarray, " *n"]) -> Float32[np.ndarray, " *n"]:
        """Size in the picture of one metre at these depths."""
        if not self.perspective:
            return np.full_like(depths, self.scale)
        scales: Float32[np.ndarray, " *n"] = (self.scale / np.maximum(depths, NEAR_M)).astype(np.float32)
        return scales


def perspective(
    points: Float32[np.ndarray, "n 3"],
    size: tuple[int, int],
    azimuth_deg: float,
    elevation_deg: float,
    view_angle_deg: float = 40.0,
    fill: float = 0.9,
) -> Camera:
    """The nearest pinhole camera that looks along azimuth, down by elevation, and sees all points.

    The points fill at most the share ``fill`` of the picture; ``view_angle_deg`` spans its width.
    """
    rotation = looking(azimuth_deg, elevation_deg)
    scale = size[0] / 2 / np.tan(np.radians(view_angle_deg) / 2)
    turned = points @ rotation.T
    middle = _middle(turned)
    offsets = np.abs(turned[:, :2] - middle[:2])
    back = offsets * scale / (fill * np.asarray(size) / 2) - (turned[:, 2:] - middle[2])
    distance = max(float(back.max(initial=0.0)), 1.0)
    return Camera(rotation, np.array([0, 0, distance]) - middle, float(scale), size, True)


def orthographic(
    points: Float32[np.ndarray, "n 3"],
    size: tuple[int, int],
    azimuth_deg: float,
    elevation_deg: float = 0.0,
    fill: float = 0.9,
    max_scale: float = 400.0,
) -> Camera:
    """A parallel projection along azimuth, down by elevation (90: bird's eye), in which all points fit."""
    rotation = looking(azimuth_deg, elevation_deg)
    turned = points @ rotation.T
    extent = np.maximum(np.ptp(turned[:, :2], axis=0), 1e-3)
    scale = min(float((fill * np.asarray(size) / extent).min()), max_scale)
    return Camera(rotation, np.array([0, 0, 50.0]) - _middle(turned), scale, size, False)


def looking(azimuth_deg: float, elevation_deg: float) -> Float[np.ndarray, "3 3"]:
    """R_camera_world of a camera that looks along azimuth (0: +x, 90: +y) and down by elevation (0: level)."""
    azimuth, elevation = np.radians([azimuth_deg, elevation_deg])
    right = np.array([np.sin(azimuth), -np.cos(azimuth), 0.0])
    forward = np.array([np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), -np.sin(elevation)])
    return np.stack([right, np.cross(forward, right), forward])


def box_corners(
    centers: Float32[np.ndarray, "b 3"], sizes: Float32[np.ndarray, "b 3"], yaws: Float32[np.ndarray, " b"]
) -> Float32[np.ndarray, "b 8 3"]:
    """Corners of upright boxes: the four of the floor counter-clockwise, then the four of the roof."""
    unit = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], np.float32) / 2
    corners = np.concatenate([np.c_[unit, np.full(4, z)] for z in (-0.5, 0.5)]).astype(np.float32)
    local = corners[None] * sizes[:, None]
    cos, sin = np.cos(yaws)[:, None], np.sin(yaws)[:, None]
    turned = np.stack([cos * local[..., 0] - sin * local[..., 1], sin * local[..., 0] + cos * local[..., 1]], -1)
    placed: Float32[np.ndarray, "b 8 3"] = np.concatenate([turned, local[..., 2:]], -1) + centers[:, None]
    return placed.astype(np.float32)


def _middle(turned: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, " 3"]:
    middle: Float[np.ndarray, " 3"] = (turned.min(0) + turned.max(0)) / 2
    return middle


def mean_bearing_deg(points: Float32[np.ndarray, "n 3"]) -> float:
    """Bearing from the sensor in which the points lie on average; 0 (ahead) where they surround it."""
    unit = points[:, :2] / np.maximum(np.linalg.norm(points[:, :2], axis=1, keepdims=True), 1e-6)
    mean = unit.mean(0) if len(unit) else np.zeros(2)
    return float(np.degrees(np.arctan2(mean[1], mean[0]))) if np.linalg.norm(mean) > 0.3 else 0.0
