"""Exact batched LiDAR scanner: triangle to beam cells, ray-triangle test, nearest return per ray. Any device."""

import math

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from gckpl_training.lidar.raycast import Rays, nearest, rays, triangles
from gckpl_training.lidar.returns import Returns, pack
from gckpl_training.lidar.sensors import Sensor

# Faces x rows of one chunk, and ray-triangle pairs tested at a time: temporaries stay near the cache on a CPU.
CHUNK_FACES = 1 << 17
CHUNK_PAIRS = 1 << 16
GPU_FACTOR = 64


def scan(
    vertices: Float[Tensor, "b v 3"],
    faces: Int64[Tensor, "f 3"],
    sensor: Sensor,
    *,
    azimuth_offset: Float[Tensor, " b"] | None = None,
    time_s: float = 0.0,
    cull: bool | Bool[Tensor, " f"] = False,
    max_points: int | None = None,
    generator: torch.Generator | None = None,
) -> Returns:
    """Scan b independent scenes (m, z up) from a sensor at the origin; noise-free, within the sensor's range limits.

    ``azimuth_offset`` (rad) turns each row's rays about z; None draws it uniformly. ``time_s`` picks the frame of a
    non-repeating pattern. ``cull`` ignores faces seen from behind (counter-clockwise outwards): twice as fast for
    closed meshes, wrong for open ones, so it can be given per face. At most ``max_points`` per row are kept.
    """
    pattern = rays(sensor, time_s, vertices.device)
    offset = _draw_offset(vertices, generator) if azimuth_offset is None else azimuth_offset
    chosen = torch.as_tensor(cull, device=faces.device).expand(len(faces))
    corners = faces.t().contiguous()
    factor = 1 if vertices.device.type == "cpu" else GPU_FACTOR
    step = max(1, factor * CHUNK_FACES // max(1, len(faces)))
    chunks = [
        _within(sensor, i, _scan_rows(vertices[rows], corners, chosen, pattern, offset[rows], factor * CHUNK_PAIRS))
        for i in range(0, len(vertices), step)
        for rows in (slice(i, i + step),)
    ]
    row, *values = (torch.cat(parts) for parts in zip(*chunks, strict=True)) if chunks else _nothing(vertices)
    returns = pack(row, len(vertices), *values)
    return returns if max_points is None else returns.subset(max_points, generator)


def _draw_offset(vertices: Tensor, generator: torch.Generator | None) -> Tensor:
    return torch.rand(len(vertices), generator=generator, device=vertices.device) * (2 * math.pi)


def _nothing(vertices: Tensor) -> list[Tensor]:
    index, vector = vertices.new_zeros(0, dtype=torch.int64), vertices.new_zeros(0, 3)
    return [index, vector, index, vector, index]


def _within(sensor: Sensor, row0: int, flat: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The returns within the sensor's range limits, of rows counted from ``row0``."""
    row, points, *rest = flat
    distance = points.norm(dim=1)
    seen = ((distance >= sensor.min_range_m) & (distance <= sensor.max_range_m)).nonzero().squeeze(1)
    return tuple(values.index_select(0, seen) for values in (row + row0, points, *rest))


def _scan_rows(
    vertices: Tensor, corners: Tensor, cull: Tensor, pattern: Rays, offset: Tensor, pairs: int
) -> tuple[Tensor, ...]:
    """Flat (row, point, face, barycentric, ray) of the nearest hits of these rows."""
    shift = _facing_column(vertices, offset, pattern)
    turn = offset + shift * pattern.step
    found = triangles(_turned(vertices, turn), corners, pattern, cull)
    row, ray, triangle = nearest(found, pattern, len(vertices), pairs)
    direction = pattern.direction.index_select(1, ray)
    volumes = (found.plane.index_select(1, triangle).unflatten(0, (4, 3)) * direction).sum(1)
    barycentric = volumes[:3] / volumes[:3].sum(0)
    points = (_turned_back(direction, turn.index_select(0, row)) / volumes[3]).t()
    if pattern.order is None:
        column = ray % pattern.columns
        ray = ray - column + (column + shift.index_select(0, row)) % pattern.columns
    return row, points, found.face.index_select(0, triangle), barycentric.t(), ray


def _facing_column(vertices: Tensor, offset: Tensor, pattern: Rays) -> Int64[Tensor, " b"]:
    """The column that looks at each row's middle: turned there, small scenes lie near azimuth 0 and never wrap."""
    if pattern.order is not None:
        return torch.zeros_like(offset, dtype=torch.int64)
    middle = vertices.mean(1)
    return ((torch.atan2(middle[:, 1], middle[:, 0]) - offset) / pattern.step).round().long()


def _turned(vertices: Tensor, angle: Tensor) -> Float[Tensor, "3 v b"]:
    """Vertices seen from a sensor turned by ``angle``, rows last: gathers of a vertex then copy whole lines."""
    x, y, z = vertices.permute(2, 1, 0)
    cos, sin = angle.cos(), angle.sin()
    return torch.stack((x * cos + y * sin, y * cos - x * sin, z))


def _turned_back(direction: Float[Tensor, "3 n"], angle: Float[Tensor, " n"]) -> Float[Tensor, "3 n"]:
    cos, sin = angle.cos(), angle.sin()
    x, y, z = direction
    return torch.stack((x * cos - y * sin, x * sin + y * cos, z))
