"""What a scan returns, padded to one batch; a subset of it; the organised frame that a driver publishes."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from gckpl_training.lidar.sensors import Sensor


@dataclass(frozen=True)
class Returns:
    """Nearest surface point of every ray that hits one, in the sensor's frame (m); padding is zero and not in mask.

    ``ray`` is beam * columns + column (position in the list for a pattern without a grid), -1 where padded; a row
    runs along the lowest beam, then the next.
    """

    points: Float[Tensor, "b k 3"]
    mask: Bool[Tensor, "b k"]
    face: Int64[Tensor, "b k"]
    barycentric: Float[Tensor, "b k 3"]
    ray: Int64[Tensor, "b k"]

    def __len__(self) -> int:
        return len(self.points)

    @property
    def counts(self) -> Int64[Tensor, " b"]:
        """Returns per row."""
        return self.mask.sum(1)

    @property
    def ranges(self) -> Float[Tensor, "b k"]:
        """Distance from the sensor, m; 0 where padded."""
        return self.points.norm(dim=-1)

    def keep(self, mask: Bool[Tensor, "b k"]) -> "Returns":
        """The returns that are also in ``mask``, closed up to the left."""
        index = (self.mask & mask).flatten().nonzero().squeeze(1)
        row = torch.div(index, max(1, self.mask.shape[1]), rounding_mode="trunc")
        chosen = (self.points, self.face, self.barycentric, self.ray)
        return pack(row, len(self), *(values.flatten(0, 1).index_select(0, index) for values in chosen))

    def subset(self, max_points: int, generator: torch.Generator | None = None) -> "Returns":
        """At most ``max_points`` per row, chosen uniformly."""
        if self.mask.shape[1] <= max_points:
            return self
        score = torch.rand(self.mask.shape, generator=generator, device=self.mask.device) + (~self.mask)
        chosen = torch.zeros_like(self.mask).scatter_(1, score.topk(max_points, 1, largest=False).indices, True)
        return self.keep(chosen)


def pack(
    row: Int64[Tensor, " n"],
    rows: int,
    points: Float[Tensor, "n 3"],
    face: Int64[Tensor, " n"],
    barycentric: Float[Tensor, "n 3"],
    ray: Int64[Tensor, " n"],
) -> Returns:
    """Pad a flat list of returns, sorted by row, to a batch."""
    counts = torch.bincount(row, minlength=rows)
    width = int(counts.max()) if rows else 0
    slot = torch.arange(len(row), device=row.device) - (counts.cumsum(0) - counts).index_select(0, row)
    flat = row * width + slot

    def padded(values: Tensor, fill: int) -> Tensor:
        full = values.new_full((rows * width, *values.shape[1:]), fill)
        return full.index_copy_(0, flat, values).view(rows, width, *values.shape[1:])

    mask = torch.arange(width, device=row.device) < counts[:, None]
    return Returns(padded(points, 0), mask, padded(face, 0), padded(barycentric, 0), padded(ray, -1))


def organised(returns: Returns, sensor: Sensor, fill: float = float("nan")) -> Float[Tensor, "b beams columns 3"]:
    """The whole frame, one point per ray, ``fill`` where nothing returned (Livox drivers write zeros: fill=0)."""
    frame = returns.points.new_full((len(returns) * sensor.rays, 3), fill)
    row, slot = returns.mask.nonzero(as_tuple=True)
    frame[row * sensor.rays + returns.ray[row, slot]] = returns.points[row, slot]
    return frame.view(len(returns), sensor.beams, sensor.columns, 3)


def moved(returns: Returns, points: Float[Tensor, "b k 3"]) -> Returns:
    """The same returns at other points; padding stays zero."""
    return replace(returns, points=points * returns.mask[..., None])


# Exact scene flow and labels of simulated returns: a return rides on its triangle from one pose to the next.


def surface_points(
    returns: Returns, vertices: Float[Tensor, "b v 3"], faces: Int64[Tensor, "f 3"]
) -> Float[Tensor, "b k 3"]:
    """Where each return's (face, barycentric) lies on the mesh posed as ``vertices``, m; zero where padded."""
    corners = faces[returns.face]
    rows = torch.arange(len(vertices), device=vertices.device)[:, None, None]
    points = (vertices[rows, corners] * returns.barycentric[..., None]).sum(2)
    return points * returns.mask[..., None]


def exact_flow(
    returns: Returns, vertices: Float[Tensor, "b v 3"], later: Float[Tensor, "b v 3"], faces: Int64[Tensor, "f 3"]
) -> Float[Tensor, "b k 3"]:
    """Displacement (m) of each return from the pose it was scanned in to the ``later`` pose of the same mesh."""
    return surface_points(returns, later - vertices, faces)


def labels(returns: Returns, face_labels: Int64[Tensor, " f"], padding: int = -1) -> Int64[Tensor, "b k"]:
    """The label of the face that each return lies on; ``padding`` where there is none."""
    return face_labels[returns.face].masked_fill(~returns.mask, padding)
