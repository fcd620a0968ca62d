"""Cloth and hair as an offset of the skin along its normals, uneven by low-frequency folds."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn.functional import normalize

from gckpl_ros.body.kinematics import JOINT
from gckpl_ros.skeleton import INDEX, PARTS
from gckpl_training.scene.meshes import circle
from gckpl_training.scene.outfit import FOLDS, LAYERS

# Hats and skirts: rings of vertices round the head and round the thighs.

HAT_POINTS, HAT_RINGS = 10, 4
SKIRT_POINTS, SKIRT_RINGS = 16, 4


def hat(
    center: Float[Tensor, "b 3"],
    frame: Float[Tensor, "b 3 3"],
    radius: Float[Tensor, " b"],
    shape: Float[Tensor, "b 3"],
) -> Float[Tensor, "b 40 3"]:
    """Brim, band, crown and top; shape (scale, height, brim); the top is at least one head radius above the centre."""
    scale, height, brim = shape.unbind(-1)
    zero, one = torch.zeros_like(scale), torch.ones_like(scale)
    wide = torch.stack([one + brim, one, 0.9 * one, zero], -1)
    high = torch.stack([0.3 * one, 0.35 * one, 0.75 * one + 0.8 * height, one + height], -1)
    ring = wide[:, :, None, None] * circle(HAT_POINTS, center.device)
    local = torch.cat([ring, high[:, :, None, None].expand(-1, -1, HAT_POINTS, 1)], -1).flatten(1, 2)
    return center[:, None] + (scale * radius)[:, None, None] * (local @ frame.transpose(1, 2))


def skirt(
    joints: Float[Tensor, "b 22 3"],
    torso: Float[Tensor, "b 3 3"],
    radius: Float[Tensor, " b"],
    shape: Float[Tensor, "b 3"],
) -> Float[Tensor, "b 64 3"]:
    """The hull of both thighs from the hips down; shape (length in thighs, clearance, flare); follows the legs."""
    hips = joints[:, [JOINT["left_hip"], JOINT["right_hip"]]]
    thighs = joints[:, [JOINT["left_knee"], JOINT["right_knee"]]] - hips
    length, clearance, flare = shape.unbind(-1)
    down = length[:, None] * torch.linspace(-0.08, 1, SKIRT_RINGS, device=joints.device)
    centers = hips[:, None] + down[:, :, None, None] * thighs[:, None]
    around = _around(thighs, torso)
    along = torch.einsum("brsx,bkx->brks", centers, around)
    leftmost = (along[..., 0] > along[..., 1])[..., None]
    nearest = torch.where(leftmost, centers[:, :, None, 0], centers[:, :, None, 1])
    reach = (radius + clearance)[:, None] + flare[:, None] * down * thighs.norm(dim=-1).mean(1, keepdim=True)
    rings = nearest + reach[:, :, None, None] * around[:, None]
    worn = (length > 0)[:, None, None]
    return torch.where(worn, rings.flatten(1, 2), joints[:, :1])


def thigh_radius(
    left: Float[Tensor, "b n 3"], right: Float[Tensor, "b m 3"], joints: Float[Tensor, "b 22 3"]
) -> Float[Tensor, " b"]:
    """Largest distance of the clothed thighs' vertices from their axes, in metres."""
    reaches = []
    for side, points in (("left", left), ("right", right)):
        hip = joints[:, JOINT[f"{side}_hip"]][:, None]
        axis = normalize(joints[:, JOINT[f"{side}_knee"]][:, None] - hip, dim=-1)
        spokes = points - hip
        reaches.append((spokes.square().sum(-1) - (spokes * axis).sum(-1).square()).amax(1))
    return torch.stack(reaches).amax(0).clamp(min=0).sqrt()


def _around(thighs: Float[Tensor, "b 2 3"], torso: Float[Tensor, "b 3 3"]) -> Float[Tensor, "b 16 3"]:
    """Directions across the mean thigh, counter-clockwise from the left."""
    axis = normalize(thighs.sum(1), dim=-1)
    left = torso[:, :, 1]
    left = normalize(left - (left * axis).sum(-1, keepdim=True) * axis, dim=-1)
    front = torch.linalg.cross(axis, left)
    unit = circle(SKIRT_POINTS, thighs.device)
    return unit[:, :1] * left[:, None] + unit[:, 1:] * front[:, None]


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
