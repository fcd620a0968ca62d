"""The ground near a person: a tilted, rough patch."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from gckpl_training.scene.meshes import Meshes, background

CELLS = 6
HALF_SIZE_M = 0.9  # farther ground is outside every box: scanning it would cost more than the person


def ground_patch(
    feet: Float[Tensor, "b 3"],
    range_m: Float[Tensor, " b"],
    tilt_deg: float,
    roughness_m: float,
    generator: torch.Generator,
) -> Meshes:
    """Square patches through ``feet``, smaller near the sensor, so that they never reach it.

    Slopes along x and y are N(0, tilt); roughness is the largest standard deviation of the heights.
    """
    n, device = len(feet), generator.device
    grid = (
        grid_points(CELLS, device) * torch.minimum(0.5 * range_m, torch.full_like(range_m, HALF_SIZE_M))[:, None, None]
    )
    slopes = torch.randn(n, 2, 1, generator=generator, device=device) * torch.tensor(tilt_deg).deg2rad().to(device)
    rough = roughness_m * torch.rand(n, 1, 1, generator=generator, device=device)
    bumps = torch.randn(n, grid.shape[1], 1, generator=generator, device=device) * rough
    return background(feet[:, None] + torch.cat([grid, grid @ slopes.tan() + bumps], -1), grid_faces(CELLS, device))


def grid_points(cells: int, device: torch.device | None = None) -> Float[Tensor, "v 2"]:
    """Corners of cells x cells squares over [-1, 1]^2."""
    line = torch.linspace(-1, 1, cells + 1, device=device)
    return torch.cartesian_prod(line, line)


def grid_faces(cells: int, device: torch.device | None = None) -> Int64[Tensor, "f 3"]:
    """Two triangles per square of ``grid_points``, seen from above."""
    here = torch.arange(cells, device=device)
    a = (here[:, None] * (cells + 1) + here).flatten()
    b, c, d = a + cells + 1, a + cells + 2, a + 1
    return torch.cat([torch.stack([a, b, c], -1), torch.stack([a, c, d], -1)])
