"""The street itself: rough ground, houses, poles, trees, parked cars, bins; static triangles in the odom frame."""

import torch
from jaxtyping import Float
from torch import Tensor

from gckpl_training.scene.meshes import Meshes, background, circle, join, tube_faces
from gckpl_training.scene.surroundings import grid_faces, grid_points

LENGTH_M, HALF_WIDTH_M, CELLS = 80.0, 11.0, 40
ROUGHNESS_M = 0.012


class Ground:
    """A rough height field over the street; ``height`` is exact to the triangles' millimetres."""

    def __init__(self, generator: torch.Generator) -> None:
        self._heights = ROUGHNESS_M * torch.randn(CELLS + 1, CELLS + 1, generator=generator)
        grid = grid_points(CELLS) * torch.tensor([LENGTH_M / 2, HALF_WIDTH_M]) + torch.tensor([LENGTH_M / 4, 0.0])
        vertices = torch.cat([grid, self._heights.reshape(-1, 1)], -1)
        self.mesh: Meshes = background(vertices[None], grid_faces(CELLS))

    def height(self, xy: Float[Tensor, "n 2"]) -> Float[Tensor, " n"]:
        """Height (m) of the ground: bilinear between the grid's points."""
        at = (xy - torch.tensor([LENGTH_M / 4, 0.0])) / torch.tensor([LENGTH_M / 2, HALF_WIDTH_M])
        rows = self._heights.T[None, None]
        return torch.nn.functional.grid_sample(rows, at[None, None], align_corners=True, padding_mode="border")[0, 0, 0]


def tube(x: float, y: float, profile: list[tuple[float, float]], points: int = 8) -> Meshes:
    """A body of revolution about the vertical at (x, y): (height, radius) from bottom to top."""
    ring = circle(points)
    rings = [torch.cat([radius * ring, torch.full((points, 1), height)], -1) for height, radius in profile]
    vertices = torch.cat(rings) + torch.tensor([x, y, 0.0])
    return background(vertices[None], tube_faces(len(profile), points))


def tree(x: float, y: float, generator: torch.Generator) -> Meshes:
    """A trunk and an uneven crown."""
    crown = tube(x, y, [(2.1, 0.3), (2.6, 1.1), (3.3, 1.5), (4.1, 1.3), (4.8, 0.3)], points=9)
    uneven = 1 + 0.18 * torch.randn(1, crown.vertices.shape[1], 1, generator=generator)
    middle = torch.tensor([x, y, 3.4])
    crown = background((crown.vertices - middle) * uneven + middle, crown.faces)
    return join(tube(x, y, [(0.0, 0.2), (0.3, 0.15), (2.4, 0.12)]), crown)
