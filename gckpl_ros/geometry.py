"""Rigid transforms, turns about z, headings, and points in upright boxes.

Where a function says ``Array`` it takes numpy's arrays or torch's tensors, of one kind, and gives the same back.
Transforms are named ``T_b_a``: from frame a to frame b. Metres and radians.
"""

from dataclasses import replace
from typing import Any, Final, TypeVar

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int64

from gckpl_ros.types import Boxes

Array = TypeVar("Array", bound=Any)

# Rigid transforms.


def transformed(T_b_a: Float[Array, "4 4"], points_a: Float[Array, "*n 3"]) -> Float[Array, "*n 3"]:
    """Points of frame a in frame b."""
    points_b: Array = points_a @ T_b_a[:3, :3].T + T_b_a[:3, 3]
    return points_b


def heading(T_b_a: Float[Array, "4 4"]) -> float:
    """How far frame a's x axis is turned about b's z."""
    return float(np.arctan2(float(T_b_a[1, 0]), float(T_b_a[0, 0])))


def transformed_boxes(T_b_a: Float64[np.ndarray, "4 4"], boxes_a: Boxes) -> Boxes:
    """Boxes of frame a in frame b; they stay upright there (only the turn about z is applied to their heading)."""
    ahead = np.stack([np.cos(boxes_a.yaws), np.sin(boxes_a.yaws), np.zeros(len(boxes_a))], axis=1) @ T_b_a[:3, :3].T
    centers, yaws = transformed(T_b_a, boxes_a.centers), np.arctan2(ahead[:, 1], ahead[:, 0])
    return replace(boxes_a, centers=centers.astype(np.float32), yaws=yaws.astype(np.float32))


# Turns, most of them about z.


def turned(points: Float[Array, "*n 3"], yaw: Float[Array, "*m"]) -> Float[Array, "*n 3"]:
    """Points turned about z; the axes of ``yaw`` are the first ones of the points'. In turned axes: turn by -yaw."""
    yaw = yaw.reshape(yaw.shape + (1,) * (points.ndim - 1 - yaw.ndim))
    library = _library(points)
    cos, sin = library.cos(yaw), library.sin(yaw)
    x, y, z = points[..., 0], points[..., 1], points[..., 2]
    rotated: Array = library.stack((cos * x - sin * y, sin * x + cos * y, z), -1)
    return rotated


def rotation_z(yaw: Float[Array, "*n"]) -> Float[Array, "*n 3 3"]:
    """The matrices that turn columns about z: ``turned(p, yaw) == rotation_z(yaw) @ p``."""
    library = _library(yaw)
    cos, sin, zero, one = library.cos(yaw), library.sin(yaw), library.zeros_like(yaw), library.ones_like(yaw)
    rotation: Array = library.stack((cos, -sin, zero, sin, cos, zero, zero, zero, one), -1).reshape(*yaw.shape, 3, 3)
    return rotation


def rotation(vectors: Float[Array, "*n 3"]) -> Float[Array, "*n 3 3"]:
    """The matrices that turn columns about vectors, by their lengths (rad); Rodrigues' formula, smooth around zero."""
    library = _library(vectors)
    x, y, z = vectors[..., 0], vectors[..., 1], vectors[..., 2]
    zero, one = library.zeros_like(x), library.ones_like(x)
    still = library.stack((one, zero, zero, zero, one, zero, zero, zero, one), -1).reshape(*x.shape, 3, 3)
    cross = library.stack((zero, -z, y, z, zero, -x, -y, x, zero), -1).reshape(*x.shape, 3, 3)
    turns = library.linalg.norm(vectors, None, -1)[..., None, None] / (2 * np.pi)  # sinc(t) is sin(pi t) / (pi t)
    once, twice = library.sinc(2 * turns) * cross, library.sinc(turns) ** 2 / 2 * (cross @ cross)
    matrices: Array = still + once + twice
    return matrices


def quaternion_z(yaw: float | Float[np.ndarray, "*n"]) -> Float64[np.ndarray, "*n 4"]:
    """Turns about z as quaternions (xyzw)."""
    half = np.asarray(yaw, np.float64) / 2
    quaternions: np.ndarray = np.stack((np.zeros_like(half), np.zeros_like(half), np.sin(half), np.cos(half)), -1)
    return quaternions


def bearing(vectors: Float[Array, "*n 3"]) -> Float[Array, "*n"]:
    """Angle about z of the way that vectors point, from x towards y."""
    angle: Array = _library(vectors).arctan2(vectors[..., 1], vectors[..., 0])
    return angle


def facing(to_left: Float[Array, "*n 3"]) -> Float[Array, "*n"]:
    """Bearing in which somebody looks whose left is there, such as the left hip seen from the right one."""
    angle: Array = _library(to_left).arctan2(-to_left[..., 0], to_left[..., 1])
    return angle


def _library(array: Any) -> Any:
    if isinstance(array, np.ndarray | np.generic):
        return np
    import torch  # here: programs that only read skeletons have no tensors, and start without it

    return torch


# Points in upright boxes.


def in_box(points: Float[Array, "*n 3"], size: Float[Array, "*m 3"], yaw: Float[Array, "*m"]) -> Bool[Array, "*n"]:
    """Which points, relative to its centre, lie in each box; boxes as the first axes of the points."""
    half = size.reshape(*size.shape[:-1], *(1,) * (points.ndim - size.ndim), 3) / 2
    within: Array = (abs(turned(points, -yaw)) <= half).all(-1)
    return within


CELL_M: Final = 0.5
GRID: Final = 512  # the coarse grid repeats every GRID cells, so that its size does not depend on the cloud's extent


def points_in_boxes(
    points: Float32[np.ndarray, "n 3"], boxes: Boxes, margin_m: float = 0.0
) -> list[Int64[np.ndarray, " _"]]:
    """Indices of a cloud's points inside each box, enlarged by a margin on all sides; in the cloud's order."""
    half = boxes.sizes / 2 + np.float32(margin_m)
    radii = np.hypot(half[:, 0], half[:, 1])
    near = _near_any(points, boxes.centers, radii)
    near = near[np.argsort(points[near, 0])]  # along x, each box needs only one slice of the points
    columns = np.ascontiguousarray(points[near].T)
    first = np.searchsorted(columns[0], boxes.centers[:, 0] - radii)
    last = np.searchsorted(columns[0], boxes.centers[:, 0] + radii, side="right")
    rows = []
    for center, yaw, reach, a, b in zip(boxes.centers, boxes.yaws, half, first, last, strict=True):
        inside = _columns_in_box(columns[:, a:b], center, float(yaw), reach)
        rows.append(np.sort(near[a:b][inside]))
    return rows


def most_points_in_boxes(
    points: Float32[np.ndarray, "n 3"], boxes: Boxes, margin_m: float = 0.0
) -> Int64[np.ndarray, " b"]:
    """As many of a cloud's points as each box, enlarged, can hold at most: all in the cells that it touches; fast."""
    radii = np.hypot(*(boxes.sizes[:, :2].T / 2 + np.float32(margin_m)))[:, None]
    low = _cells(boxes.centers[:, :2] - radii).astype(np.int64)
    high = np.minimum(_cells(boxes.centers[:, :2] + radii), low + GRID - 1) + 1
    x, y = _cells(points[:, 0]) & (GRID - 1), _cells(points[:, 1]) & (GRID - 1)
    sums = np.zeros((GRID + 1, GRID + 1), np.int64)
    sums[1:, 1:] = np.bincount(x * GRID + y, minlength=GRID**2).reshape(GRID, GRID).cumsum(0).cumsum(1)

    def before(u: Int64[np.ndarray, " b"], v: Int64[np.ndarray, " b"]) -> Int64[np.ndarray, " b"]:
        """Points of all cells before (u, v) of the grid that repeats for ever."""
        (times_u, u), (times_v, v) = np.divmod(u, GRID), np.divmod(v, GRID)
        whole: np.ndarray = times_u * times_v * sums[-1, -1] + times_u * sums[-1, v] + times_v * sums[u, -1]
        whole = whole + sums[u, v]
        return whole

    (x0, y0), (x1, y1) = low.T, high.T
    within: np.ndarray = before(x1, y1) - before(x0, y1) - before(x1, y0) + before(x0, y0)
    return within


def _near_any(
    points: Float32[np.ndarray, "n 3"], centers: Float32[np.ndarray, "b 3"], radii: Float32[np.ndarray, " b"]
) -> Int64[np.ndarray, " _"]:
    """Points whose cell of a coarse, periodic grid over x and y is touched by any circle: a superset, fast."""
    touched = np.zeros((GRID, GRID), bool)
    low, high = _cells(centers[:, :2] - radii[:, None]), _cells(centers[:, :2] + radii[:, None])
    for (x0, y0), (x1, y1) in zip(low, np.minimum(high, low + GRID - 1), strict=True):
        touched[np.ix_(np.arange(x0, x1 + 1) % GRID, np.arange(y0, y1 + 1) % GRID)] = True
    x, y = _cells(points[:, 0]) & (GRID - 1), _cells(points[:, 1]) & (GRID - 1)
    return np.flatnonzero(np.take(touched, x * GRID + y))


def _cells(meters: Float32[np.ndarray, "..."]) -> np.ndarray:
    cells: np.ndarray = np.floor(np.clip(meters, -1e8, 1e8) * np.float32(1 / CELL_M)).astype(np.int32)
    return cells


def _columns_in_box(
    columns: Float32[np.ndarray, "3 n"], center: Float32[np.ndarray, "3"], yaw: float, half: Float32[np.ndarray, "3"]
) -> Bool[np.ndarray, " n"]:
    """``in_box`` for points by columns: lines of memory, many times a second."""
    x, y, z = columns - center[:, None]
    cos, sin = np.cos(yaw), np.sin(yaw)
    along, across = cos * x + sin * y, cos * y - sin * x
    inside: np.ndarray = (np.abs(along) <= half[0]) & (np.abs(across) <= half[1]) & (np.abs(z) <= half[2])
    return inside
