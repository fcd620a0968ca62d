"""What people wear: an outfit drawn at random; cloth and hair as an offset of the skin, uneven by folds."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn.functional import normalize

from gckpl_ros.body.kinematics import JOINT
from gckpl_ros.skeleton import INDEX, PARTS
from gckpl_training.scene.meshes import boxes, circle, heading_frame

FOLDS = 16
LAYERS = ("jacket", "sleeves", "trousers", "shoes", "hair")
THINGS = ("backpack", "hand_bag", "shoulder_bag", "carried", "cart")


@dataclass(frozen=True)
class Outfit:
    """Outfits of b people; lengths in metres; a thing of size zero is absent.

    ``layers``: thickness of each of LAYERS. ``folds``: weights of the folds, 0 = even cloth.
    ``skirt``: length in thighs (0 = none), clearance around the thighs and flare per thigh length.
    ``hat``: scale (0 = none), height in head radii, brim in head radii.
    ``sizes``: (along, across, up) of each of THINGS. ``nudges``: where each sits, in its own size.
    ``side``: +1 things hang on the left, -1 on the right.
    """

    layers: Float[Tensor, "b 5"]
    folds: Float[Tensor, "b 16"]
    skirt: Float[Tensor, "b 3"]
    hat: Float[Tensor, "b 3"]
    sizes: Float[Tensor, "b 5 3"]
    nudges: Float[Tensor, "b 5 3"]
    side: Float[Tensor, " b"]

    def __len__(self) -> int:
        return len(self.layers)


# Thickness of each layer: least and most, in metres (loose jackets stand off up to 5 cm, hair up to 4 cm).
_LAYERS = torch.tensor([[0.003, 0.05], [0.003, 0.035], [0.003, 0.04], [0.004, 0.02], [0.01, 0.04]])
_SKIRT = torch.tensor([[0.5, 1.3], [0.01, 0.06], [0.0, 0.25]])
_HAT = torch.tensor([[1.0, 1.15], [0.15, 0.9], [0.0, 0.7]])
_SIZES = torch.tensor(
    [
        [[0.10, 0.24, 0.32], [0.28, 0.36, 0.55]],
        [[0.15, 0.06, 0.20], [0.42, 0.20, 0.45]],
        [[0.18, 0.06, 0.15], [0.40, 0.18, 0.36]],
        [[0.12, 0.20, 0.10], [0.40, 0.55, 0.45]],
        [[0.45, 0.40, 0.50], [0.95, 0.65, 1.05]],
    ]
)
_THING_CHANCE = torch.tensor([0.25, 0.15, 0.12, 0.08, 0.06])
_SKIRT_CHANCE, _HAT_CHANCE = 0.25, 0.25


def sample_outfit(n: int, generator: torch.Generator) -> Outfit:
    """Outfits of n people on the generator's device: about half carry something, a quarter each has a hat or coat."""

    def uniform(bounds: Tensor) -> Tensor:
        low, high = bounds.to(generator.device).unbind(-1)
        return low + (high - low) * _rand(generator, n, *low.shape)

    def present(chance: Tensor | float, *shape: int) -> Tensor:
        return (_rand(generator, n, *shape) < torch.as_tensor(chance, device=generator.device)).float()

    sizes = uniform(_SIZES.transpose(1, 2))
    return Outfit(
        layers=uniform(_LAYERS),
        folds=torch.randn(n, FOLDS, generator=generator, device=generator.device) * (0.5 / FOLDS**0.5),
        skirt=uniform(_SKIRT) * present(_SKIRT_CHANCE, 1),
        hat=uniform(_HAT) * present(_HAT_CHANCE, 1),
        sizes=sizes * present(_THING_CHANCE, len(THINGS))[:, :, None],
        nudges=_rand(generator, n, len(THINGS), 3) - 0.5,
        side=torch.where(_rand(generator, n) < 0.5, -1.0, 1.0),
    )


def bare(n: int, device: torch.device | str = "cpu") -> Outfit:
    """No clothes and nothing carried: the body itself."""
    zeros = {"layers": (5,), "folds": (FOLDS,), "skirt": (3,), "hat": (3,), "sizes": (5, 3), "nudges": (5, 3)}
    return Outfit(
        **{name: torch.zeros(n, *shape, device=device) for name, shape in zeros.items()},
        side=torch.ones(n, device=device),
    )


def _rand(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.rand(*shape, generator=generator, device=generator.device)


# Backpacks, bags, boxes and carts: one box each, which rides with the body.

GROWN_TRUNK_M = 0.55  # pelvis to neck


def things(
    joints: Float[Tensor, "b 22 3"],
    torso: Float[Tensor, "b 3 3"],
    depth: Float[Tensor, "b 2"],
    floor: Float[Tensor, " b"],
    outfit: Outfit,
) -> Float[Tensor, "b 40 3"]:
    """Corners of the outfit's THINGS; ``depth`` is how far the trunk reaches behind the spine and before the pelvis."""
    heading = heading_frame(torso)
    sizes = outfit.sizes * _fit(joints)
    along, across, up = sizes.unbind(-1)
    nudge = outfit.nudges * torch.tensor([0.1, 0.3, 0.3], device=joints.device) * sizes
    hand, hip = _of_side(joints, outfit.side, "wrist"), _of_side(joints, outfit.side, "hip")
    hand = hand + 0.3 * (hand - _of_side(joints, outfit.side, "elbow"))
    chest = 0.35 * joints[:, JOINT["pelvis"]] + 0.65 * joints[:, JOINT["neck"]]
    pelvis = joints[:, JOINT["pelvis"]]
    hands = (joints[:, JOINT["left_wrist"]] + joints[:, JOINT["right_wrist"]]) / 2
    hands_before = ((hands - pelvis) * torso[:, :, 0]).sum(-1)
    clear = (depth[:, 1] + along[:, 3] / 2 + 0.03 - hands_before).clamp(min=0)
    ground = torch.cat([pelvis[:, :2], floor[:, None]], -1)
    beside = outfit.side * (joints[:, JOINT["left_hip"]] - joints[:, JOINT["right_hip"]]).norm(dim=-1)
    centers = torch.stack(
        [
            chest - torso[:, :, 0] * (depth[:, 0] + along[:, 0] / 2)[:, None],
            hand - heading[:, :, 2] * (0.1 + up[:, 1] / 2)[:, None],
            hip + torso[:, :, 1] * (0.8 * beside + outfit.side * across[:, 2] / 2)[:, None],
            hands + torso[:, :, 0] * clear[:, None],
            ground
            + heading[:, :, 0] * (0.45 + along[:, 4] / 2)[:, None]
            + heading[:, :, 2] * (up[:, 4] / 2 + 0.05)[:, None],
        ],
        1,
    )
    axes = torch.stack([torso, heading, torso, torso, heading], 1)
    return boxes(centers + (axes @ nudge[..., None])[..., 0], axes, sizes)


def _fit(joints: Float[Tensor, "b 22 3"]) -> Float[Tensor, "b 5 1"]:
    """Children carry smaller things: the share of a grown-up's trunk; carts have one size."""
    trunk = (joints[:, JOINT["neck"]] - joints[:, JOINT["pelvis"]]).norm(dim=-1)
    share = (trunk / GROWN_TRUNK_M).clamp(0.4, 1.1)[:, None].repeat(1, len(THINGS))
    share[:, THINGS.index("cart")] = 1
    return share[..., None]


def _of_side(joints: Float[Tensor, "b 22 3"], side: Float[Tensor, " b"], name: str) -> Float[Tensor, "b 3"]:
    left, right = joints[:, JOINT[f"left_{name}"]], joints[:, JOINT[f"right_{name}"]]
    return torch.where(side[:, None] > 0, left, right)


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
    pairs = torch.cat([faces[:, [i, j]] for i, j in ((0, 1), (1, 2), (2, 0), (1, 0), (2, 1), (0, 2))]).unique(dim=0)
    vertex, near = pairs.unbind(1)  # by vertex, then by neighbour
    count = vertex.bincount(minlength=len(vertices))
    first = count.cumsum(0) - count
    normal, spokes = normalize(normals, dim=1)[vertex], vertices[near] - vertices[vertex]
    across = normalize(torch.linalg.cross(normal, spokes[first[vertex]]), dim=1)
    along = torch.linalg.cross(across, normal)
    by_angle = torch.atan2((spokes * across).sum(1), (spokes * along).sum(1)).argsort()
    around = near[by_angle[vertex[by_angle].argsort(stable=True)]]
    quarters = (torch.arange(4, device=faces.device) * count[:, None] + 2) // 4 % count.clamp_min(1)[:, None]
    ring = around[(first[:, None] + quarters).clamp_max(len(around) - 1)]
    alone = torch.arange(len(vertices), device=faces.device)[:, None]
    return torch.where(count[:, None] < 3, alone, ring)


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
