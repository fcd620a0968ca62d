"""The non-repeating pattern of a Livox MID-360, modelled: the vendor publishes its figures, not its formula."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

POINTS_PER_SECOND = 200_000
POINTS_PER_FRAME = 20_000
# A little off 10 turns a second, and incommensurate with the sweeps, so that no frame repeats another.
TURNS_PER_SECOND = 10.0 + (math.sqrt(5) - 1) / 20
SWEEPS_PER_SECOND = 1777.0 * math.sqrt(2)
LOWEST_DEG, HIGHEST_DEG = -7.0, 52.0


def mid360_directions(time_s: float) -> Float[Tensor, "2 n"]:
    """Azimuth and elevation (rad) of the 20,000 rays of the 0.1 s frame that starts at ``time_s``.

    The azimuth turns steadily; the elevation sweeps up and down, evenly in angle, between -7 and 52 deg.
    """
    time = time_s + torch.arange(POINTS_PER_FRAME, dtype=torch.float64) / POINTS_PER_SECOND
    azimuth = torch.remainder(2 * math.pi * TURNS_PER_SECOND * time, 2 * math.pi) - math.pi
    sweep = 2 * (torch.remainder(SWEEPS_PER_SECOND * time, 1.0) - 0.5).abs()
    elevation = torch.deg2rad(LOWEST_DEG + (HIGHEST_DEG - LOWEST_DEG) * sweep)
    return torch.stack((azimuth, elevation)).float()
