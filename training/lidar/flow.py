"""Exact scene flow and labels of simulated returns: a return rides on its triangle from one pose to the next."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from gckpl_training.lidar.returns import Returns


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
