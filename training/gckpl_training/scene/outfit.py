"""What a person wears and carries, as numbers: sampled once, then worn through every pose."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from gckpl_ros.body.kinematics import JOINT
from gckpl_training.scene.meshes import boxes, heading_frame

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
