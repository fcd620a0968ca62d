"""Distances between the points of two masked batches."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

# Added to the squared distance for each of both points that does not exist.
FAR_M2 = 1e6


def squared_distances(
    a: Float[Tensor, "b n 3"], mask_a: Bool[Tensor, "b n"], b: Float[Tensor, "b m 3"], mask_b: Bool[Tensor, "b m"]
) -> Float[Tensor, "b n m"]:
    """Squared distances (m^2) of all points of a row to each other; ``FAR_M2`` or more where one does not exist."""
    square_a = a.square().sum(-1) + FAR_M2 * ~mask_a
    square_b = b.square().sum(-1) + FAR_M2 * ~mask_b
    distance = torch.baddbmm(square_b[:, None], a, b.transpose(1, 2), alpha=-2)
    return (distance + square_a[..., None]).clamp_min(0)
