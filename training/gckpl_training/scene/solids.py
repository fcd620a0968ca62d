"""Solids to build things from: boxes, rods, bodies of revolution, leaves, in metres.

All faces are counter-clockwise seen from outside; what is open (leaves, cloth) has both sides, so that every thing may
be scanned with the faces seen from behind left out.
"""

import math
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Float32, Int64

from gckpl_training.scene.meshes import box_faces, tube_faces
from gckpl_training.scene.surroundings import grid_faces

Draw = np.random.Generator
Row = tuple[float | int, ...]


class Solid(NamedTuple):
    """One mesh."""

    vertices: Float32[np.ndarray, "v 3"]
    faces: Int64[np.ndarray, "f 3"]

    def placed(self, x: float, y: float, z: float = 0.0, yaw: float = 0.0) -> "Solid":
        """Turned by ``yaw`` (rad) about z, then moved."""
        cos, sin = math.cos(yaw), math.sin(yaw)
        matrix = np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]], np.float32)
        return Solid(self.vertices @ matrix + np.array([x, y, z], np.float32), self.faces)

    def scaled(self, factors: Float32[np.ndarray, "3"]) -> "Solid":
        """Each axis by its (positive) factor."""
        return Solid(self.vertices * factors, self.faces)

    @property
    def radius(self) -> float:
        """Reach from the z axis."""
        return float(np.hypot(self.vertices[:, 0], self.vertices[:, 1]).max())


def joined(*solids: Solid) -> Solid:
    """One mesh out of several."""
    starts = np.cumsum([0, *(len(solid.vertices) for solid in solids[:-1])])
    faces = [solid.faces + start for solid, start in zip(solids, starts, strict=True)]
    return Solid(np.concatenate([solid.vertices for solid in solids]), np.concatenate(faces))


_CORNERS: Final = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])


def blocks(*rows: Row) -> Solid:
    """Boxes: centre x y z, size along x y z, and where it is given the turn about z (rad)."""
    table = np.array([(*row, 0.0)[:7] for row in rows])
    local = _CORNERS * table[:, None, 3:6]
    cos, sin = np.cos(table[:, 6:]), np.sin(table[:, 6:])
    x, y = cos * local[..., 0] - sin * local[..., 1], sin * local[..., 0] + cos * local[..., 1]
    corners = np.stack([x, y, local[..., 2]], -1) + table[:, None, :3]
    return Solid(corners.reshape(-1, 3).astype(np.float32), box_faces(len(table)).numpy())


def rods(*rows: Row, points: int = 6) -> Solid:
    """Closed rods: start x y z, end x y z, radius at the start and, where it differs, at the end."""
    table = np.array([(*row, row[6])[:8] for row in rows])
    start, end, radius = table[:, :3], table[:, 3:6], table[:, 6:]
    axis = end - start
    axis = axis / np.maximum(np.linalg.norm(axis, axis=1, keepdims=True), 1e-6)
    helper = np.where(np.abs(axis[:, 2:]) < 0.9, [[0.0, 0.0, 1.0]], [[1.0, 0.0, 0.0]])
    across = np.cross(helper, axis)
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    upward = np.cross(axis, across)
    angle = np.arange(points) * (2 * np.pi / points)
    ring = np.cos(angle)[:, None] * across[:, None] + np.sin(angle)[:, None] * upward[:, None]
    rings = [
        start[:, None] + 0 * ring,
        start[:, None] + radius[:, :1, None] * ring,
        end[:, None] + radius[:, 1:, None] * ring,
        end[:, None] + 0 * ring,
    ]
    vertices = np.stack(rings, 1).reshape(-1, 3)
    one = tube_faces(4, points).numpy()
    faces = one + 4 * points * np.arange(len(table))[:, None, None]
    return Solid(vertices.astype(np.float32), faces.reshape(-1, 3))


def lathe(*profile: Row, points: int = 10) -> Solid:
    """A body of revolution: (height, radius) from bottom to top, closed at both ends."""
    closed = ((profile[0][0], 0.0), *profile, (profile[-1][0], 0.0))
    angle = np.arange(points) * (2 * np.pi / points)
    circle = np.stack([np.cos(angle), np.sin(angle)], -1)
    rings = [np.concatenate([radius * circle, np.full((points, 1), height)], 1) for height, radius in closed]
    return Solid(np.concatenate(rings).astype(np.float32), tube_faces(len(closed), points).numpy())


def shell(*profile: Row, points: int = 8) -> Solid:
    """An open body of revolution: (height, radius) from ring to ring."""
    angle = np.arange(points) * (2 * np.pi / points)
    circle = np.stack([np.cos(angle), np.sin(angle)], -1)
    rings = [np.concatenate([radius * circle, np.full((points, 1), height)], 1) for height, radius in profile]
    return Solid(np.concatenate(rings).astype(np.float32), tube_faces(len(profile), points).numpy())


def lumpy(solid: Solid, sigma: float, rng: Draw) -> Solid:
    """Each vertex nearer to or farther from the axis by a random share."""
    factor = np.maximum(1 + sigma * rng.standard_normal((len(solid.vertices), 1)), 0.01)
    return Solid((solid.vertices * np.hstack([factor, factor, factor**0.3])).astype(np.float32), solid.faces)


def leaves(centres: np.ndarray, size: float, rng: Draw) -> Solid:
    """Triangles of about that size at random turns, seen from both sides: beams pass between them."""
    corners = centres[:, None] + size * rng.standard_normal((len(centres), 3, 3)) * 0.6
    one = np.arange(3 * len(centres)).reshape(-1, 3)
    return Solid(corners.reshape(-1, 3).astype(np.float32), np.concatenate([one, one[:, ::-1]]))


def two_sided(solid: Solid) -> Solid:
    """An open surface seen from both sides."""
    return Solid(solid.vertices, np.concatenate([solid.faces, solid.faces[:, ::-1]]))


def ball(n: int, rng: Draw) -> np.ndarray:
    """Random points of the unit ball, more of them near its surface."""
    way = rng.standard_normal((n, 3))
    return way / np.linalg.norm(way, axis=1, keepdims=True) * rng.uniform(0.2, 1, (n, 1)) ** 0.4


def ground_mesh(xs: np.ndarray, ys: np.ndarray, heights: np.ndarray) -> Solid:
    """A height field over a grid of lines, as many along x as along y."""
    x, y = np.meshgrid(xs, ys, indexing="ij")
    vertices = np.stack([x, y, heights], -1).reshape(-1, 3)
    return Solid(vertices.astype(np.float32), grid_faces(len(xs) - 1).numpy())
