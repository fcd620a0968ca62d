"""Cloth and hair as an offset of the skin along its normals, uneven by low-frequency folds."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn.functional import normalize

from gckpl_ros.skeleton import INDEX, PARTS
from gckpl_training.scene.outfit import FOLDS, LAYERS

# Which layer covers each part; hands and face stay bare.
_COVER = {"shoulder": "jacket", "elbow": "sleeves", "hip": "trousers", "knee": "trousers", "ankle": "shoes"}
_SEED = 7


def normal_ring(vertices: Float[Tensor, "v 3"], faces: Int64[Tensor, "f 3"]) -> Int64[Tensor, "v 4"]:
    """Four neighbours of each vertex, a quarter turn apart, counter-clockwise seen from outside.

    The cross product of their diagonals is the vertex's normal: two gathers instead of a scatter over all faces.
    """
    corners = vertices[faces]
    face_normals = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = torch.zeros_like(vertices).index_add(0, faces.flatten(), face_normals.repeat_interleave(3, 0))
    neighbours: list[set[int]] = [set() for _ in range(len(vertices))]
    for a, b, c in faces.tolist():
        neighbours[a] |= {b, c}
        neighbours[b] |= {a, c}
        neighbours[c] |= {a, b}
    rows = [_quarters(i, sorted(near), vertices, normals[i]) for i, near in enumerate(neighbours)]
    return torch.tensor(rows, device=faces.device)


def _quarters(vertex: int, near: list[int], vertices: Tensor, normal: Tensor) -> list[int]:
    if len(near) < 3:
        return [vertex] * 4
    spokes = vertices[near] - vertices[vertex]
    normal = normalize(normal, dim=0)
    across = normalize(torch.linalg.cross(normal, spokes[0]), dim=0)
    along = torch.linalg.cross(across, normal)
    order = torch.atan2(spokes @ across, spokes @ along).argsort().tolist()
    return [near[order[(quarter * len(near) + 2) // 4 % len(near)]] for quarter in range(4)]


def vertex_normals(vertices: Float[Tensor, "b v 3"], ring: Int64[Tensor, "v 4"]) -> Float[Tensor, "b v 3"]:
    """Outward unit normals; zero where a vertex has no surface round it."""
    wide = vertices.mT.flatten(0, 1)  # bodies come with the vertex axis last in memory: gathers run along it
    a, b, c, d = (wide.index_select(1, ring[:, quarter]).unflatten(0, (-1, 3)) for quarter in range(4))
    (ux, uy, uz), (wx, wy, wz) = (a - c).unbind(1), (b - d).unbind(1)
    normal = torch.stack([uy * wz - uz * wy, uz * wx - ux * wz, ux * wy - uy * wx], 1)
    return (normal * (normal.square().sum(1, keepdim=True) + 1e-20).rsqrt()).mT


def layer_cover(
    parts: Int64[Tensor, " v"], local: Float[Tensor, "v 3"], shoulder: Tensor, hair: Tensor
) -> Float[Tensor, "5 v"]:
    """1 where a layer covers a vertex; ``local`` are vertices in T-pose (forward, left, up; m) from the pelvis.

    ``shoulder`` is how far left the shoulder joint lies, ``hair`` the mask of the scalp.
    """
    layer = torch.full_like(parts, -1)
    for index, name in enumerate(PARTS):
        for suffix, cover in _COVER.items():
            if name.endswith(suffix):
                layer[parts == index] = LAYERS.index(cover)
    jacket, trousers = LAYERS.index("jacket"), LAYERS.index("trousers")
    layer[(layer == trousers) & (local[:, 2] > 0)] = jacket  # the trunk's lower half is labelled hip
    layer[(layer == jacket) & (local[:, 1].abs() > 1.1 * shoulder)] = LAYERS.index("sleeves")
    layer[hair] = LAYERS.index("hair")
    return (layer == torch.arange(len(LAYERS), device=layer.device)[:, None]).float()


def scalp(head: Float[Tensor, "v 3"], radius: Tensor, parts: Int64[Tensor, " v"]) -> Tensor:
    """Mask of the vertices that hair covers; ``head`` are vertices in the head frame, from the head's centre."""
    skull = (parts == INDEX["head_center"]) | (parts == INDEX["nose"])
    face = (head[:, 0] > 0.35 * radius) & (head[:, 2] < 0.45 * radius)
    return skull & ~face & (head[:, 2] > -1.2 * radius)


def fold_basis(rest: Float[Tensor, "v 3"]) -> Float[Tensor, "16 v"]:
    """Plane waves over the body at rest with wavelengths of 0.15 to 0.6 m, variance 1."""
    generator = torch.Generator().manual_seed(_SEED)
    directions = normalize(torch.randn(FOLDS, 3, generator=generator), dim=-1)
    lengths = 0.15 * 4 ** torch.rand(FOLDS, 1, generator=generator)
    phases = 2 * torch.pi * torch.rand(FOLDS, 1, generator=generator)
    waves = (directions / lengths * 2 * torch.pi).to(rest) @ rest.T + phases.to(rest)
    return 2**0.5 * waves.sin()


def clothe(
    vertices: Float[Tensor, "b v 3"],
    ring: Int64[Tensor, "v 4"],
    thickness: Float[Tensor, "b v"],
    folds: Float[Tensor, "b v"],
) -> Float[Tensor, "b v 3"]:
    """Vertices moved outwards by thickness x (1 + folds), never inwards."""
    offset = thickness * (1 + folds).clamp(min=0)
    return vertices + offset[..., None] * vertex_normals(vertices, ring)
