"""LiDAR models by name: beam table, azimuth step, noise, range, drop-out, mounting height.

Beam tables follow the vendors' data sheets; where a vendor publishes no table (Waymo's top LiDAR, the spacing of the
64-beam spinner) the table is a smooth stand-in with the published ends, beam count and density.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from gckpl_ros.errors import InputError

# The non-repeating pattern of a Livox MID-360, modelled: the vendor publishes its figures, not its formula.

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


# Elevations beyond this make tan(elevation), the scanner's vertical coordinate, too coarse in float32.
STEEPEST_DEG: Final = 85.0


@dataclass(frozen=True)
class Sensor:
    """A LiDAR with z up at its own origin: a grid of ``elevations_deg`` x ``columns``, or a list of directions.

    ``directions(time_s)`` returns (azimuth, elevation) in rad of one frame of a non-repeating pattern; such a sensor
    has no elevation table and ``columns`` is the number of its rays. Columns run counter-clockwise, in firing order.
    """

    name: str
    columns: int
    elevations_deg: tuple[float, ...] = ()
    directions: Callable[[float], Float[Tensor, "2 n"]] | None = None
    range_sigma_m: float = 0.02
    min_range_m: float = 0.5
    max_range_m: float = 100.0
    drop_probability: float = 0.02
    mount_height_m: float = 1.8
    period_s: float = 0.1

    def __post_init__(self) -> None:
        if self.columns < 8 or (self.directions is None) != bool(self.elevations_deg):
            raise InputError(f"sensor {self.name}: give elevations_deg or directions, and 8 columns or more")
        steep = [e for e in self.elevations_deg if not abs(e) <= STEEPEST_DEG]
        if steep or list(self.elevations_deg) != sorted(set(self.elevations_deg)):
            raise InputError(f"sensor {self.name}: elevations_deg must ascend, within +-{STEEPEST_DEG} deg")

    @property
    def beams(self) -> int:
        """Number of rings; 1 for a list of directions."""
        return max(1, len(self.elevations_deg))

    @property
    def rays(self) -> int:
        """Number of rays in one frame; ray = beam * columns + column."""
        return self.beams * self.columns

    @property
    def azimuth_step(self) -> float:
        """Angle between columns, rad (grid sensors)."""
        return 2 * math.pi / self.columns

    def firing_time(self, ray: Tensor) -> Tensor:
        """Seconds from the start of the frame at which a ray fires, in [0, period_s)."""
        return (ray % self.columns) * (self.period_s / self.columns)


def _uniform(low: float, high: float, count: int) -> tuple[float, ...]:
    return tuple(low + (high - low) * i / (count - 1) for i in range(count))


def _denser_upwards(low: float, high: float, count: int, ratio: float) -> tuple[float, ...]:
    """Elevations whose spacing shrinks linearly from the lowest gap to ``ratio`` times less at the top."""
    gaps = [1 + (1 / ratio - 1) * i / (count - 2) for i in range(count - 1)]
    scale = (high - low) / sum(gaps)
    return tuple(low + scale * sum(gaps[:i]) for i in range(count))


# HDL-64E: an upper block of 32 beams a third of a degree apart, a lower block half a degree apart.
_HDL64: Final = _uniform(-24.8, -8.83, 32) + _uniform(-8.33, 2.0, 32)
# VLP-32C, user manual: a third of a degree near the horizon, wider outwards.
_VLP32: Final = (
    *(-25.0, -15.639, -11.31, -8.843, -7.254, -6.148, -5.333, -4.667, -4.0, -3.667, -3.333, -3.0, -2.667, -2.333),
    *(-2.0, -1.667, -1.333, -1.0, -0.667, -0.333, 0.0, 0.333, 0.667, 1.0, 1.333, 1.667, 2.333, 3.333),
    *(4.667, 7.0, 10.333, 15.0),
)

SENSORS: Final[dict[str, Sensor]] = {
    model.name: model
    for model in (
        Sensor("waymo_top", 2650, _denser_upwards(-17.6, 2.4, 64, 2.0), None, 0.015, 0.5, 75.0, 0.02, 2.1),
        Sensor("spinner64", 2083, _HDL64, None, 0.02, 0.9, 120.0, 0.05, 1.73),
        Sensor("spinner32", 1800, _VLP32, None, 0.02, 0.5, 150.0, 0.03, 1.8),
        Sensor("spinner16", 1800, _uniform(-15.0, 15.0, 16), None, 0.02, 0.5, 100.0, 0.03, 0.8),
        Sensor("os1_128", 1024, _uniform(-22.5, 22.5, 128), None, 0.015, 0.5, 100.0, 0.03, 1.5),
        Sensor("os1_64", 1024, _uniform(-22.5, 22.5, 64), None, 0.015, 0.5, 100.0, 0.03, 1.5),
        Sensor("mid360", 20_000, (), mid360_directions, 0.02, 0.1, 40.0, 0.1, 0.6),
    )
}


def sensor(name: str) -> Sensor:
    """The sensor model of that name; raises InputError that lists the names."""
    if name not in SENSORS:
        raise InputError(f"no LiDAR model {name!r}; the models are: {', '.join(SENSORS)}")
    return SENSORS[name]
