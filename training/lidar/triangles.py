"""The triangles that may return a ray, prepared so that each ray-triangle test is three dot products.

For a ray s d from the sensor and a triangle v0 v1 v2 with normal n = (v1 - v0) x (v2 - v0): the volumes
d . (v1 x v2), d . (v2 x v0), d . (v0 x v1) over v0 . n are the barycentric coordinates divided by s (Moeller and
Trumbore 1997, solved for a common origin), and s = v0 . n / (d . n).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, Int64
from torch import Tensor

from gckpl_training.lidar.footprint import Footprint, footprint
from gckpl_training.lidar.rays import Rays

# A triangle thinner than this share of its distance is below what float32 coordinates resolve.
THINNEST = 1e-6


@dataclass(frozen=True, eq=False)
class Triangles:
    """n candidate triangles of a chunk of rows; ``plane`` holds the three edge volumes, then the normal, by v0 . n."""

    row: Int64[Tensor, " n"]
    face: Int64[Tensor, " n"]
    cells: Footprint
    plane: Float[Tensor, "12 n"]

    @property
    def counts(self) -> Int[Tensor, " n"]:
        """Cells of each triangle."""
        return self.cells.columns * self.cells.beams


def triangles(
    xyz: Float[Tensor, "3 v r"], faces: Int64[Tensor, "3 f"], rays: Rays, cull: Bool[Tensor, " f"]
) -> Triangles:
    """Triangles that cover at least one cell and are neither degenerate nor, where ``cull``, seen from behind."""
    box = footprint(xyz, faces, rays)
    active = ((box.columns > 0) & (box.beams > 0)).flatten().nonzero().squeeze(1)
    rows = xyz.shape[2]
    face = torch.div(active, rows, rounding_mode="trunc")
    row = active - face * rows
    plane, good = _planes(xyz, faces, face, row, cull)
    chosen = good.nonzero().squeeze(1)
    active = active.index_select(0, chosen)
    cells = Footprint(*(values.flatten().index_select(0, active) for values in box))
    return Triangles(row.index_select(0, chosen), face.index_select(0, chosen), cells, plane.index_select(1, chosen))


def _planes(xyz: Tensor, faces: Tensor, face: Tensor, row: Tensor, cull: Tensor) -> tuple[Tensor, Tensor]:
    rows = xyz.shape[2]
    flat = xyz.flatten(1)
    index = [corner.index_select(0, face) * rows + row for corner in faces]
    v0, v1, v2 = ([axis.index_select(0, i) for axis in flat] for i in index)
    e01, e12, e20 = _minus(v1, v0), _minus(v2, v1), _minus(v0, v2)
    normal = _cross(e20, e01)
    volume = _dot(v0, normal)
    longest = torch.maximum(torch.maximum(_dot(e01, e01), _dot(e12, e12)), _dot(e20, e20))
    good = (_dot(normal, normal) > THINNEST**2 * longest * _dot(v0, v0)) & (volume != 0)
    good &= (volume < 0) | ~cull.index_select(0, face)
    # Crossing with an edge rather than with the far vertex keeps the small differences that float32 would lose.
    parts = (*_cross(v1, e12), *_cross(v2, e20), *_cross(v0, e01), *normal)
    return torch.stack(parts).div_(volume), good


def _minus(a: list[Tensor], b: list[Tensor]) -> list[Tensor]:
    return [p - q for p, q in zip(a, b, strict=True)]


def _dot(a: list[Tensor], b: list[Tensor]) -> Tensor:
    return torch.addcmul(torch.addcmul(a[0] * b[0], a[1], b[1]), a[2], b[2])


def _cross(a: list[Tensor], b: list[Tensor]) -> list[Tensor]:
    return [torch.addcmul(a[i] * b[j], a[j], b[i], value=-1) for i, j in ((1, 2), (2, 0), (0, 1))]
