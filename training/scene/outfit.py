"""What a person wears and carries, as numbers: sampled once, then worn through every pose."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

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
