"""The rays of one frame, sorted into cells of azimuth and tan(elevation), so that a triangle finds those it may meet.

Both coordinates suit flat triangles: on a plane through the sensor, tan(elevation) is a cosine of the azimuth, so an
edge's extremes have a closed bound. A spinning sensor has one ray per cell, at its very centre; a list of directions
is binned, and each bin knows its rays.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor

from gckpl_training.lidar.sensors import Sensor

LOOKUP_BINS = 4096
LIST_CELL_DEG = 1.5


@dataclass(frozen=True, eq=False)
class Rays:
    """Directions (cos azimuth, sin azimuth, tan elevation), and the grid of cells they lie in.

    ``half`` is half a cell's width in columns (0 where rays sit at cell centres); ``first`` and ``stop`` bound the
    beams that an interval of tan(elevation) may meet, looked up by ``bin``; ``start`` and ``size`` say which of
    ``order`` are the rays of a cell (None: ray = cell).
    """

    columns: int
    beams: int
    half: float
    low: float
    bins_per_tan: float
    first: Int[Tensor, " bins"]
    stop: Int[Tensor, " bins"]
    direction: Float[Tensor, "3 rays"]
    order: Int64[Tensor, " rays"] | None = None
    start: Int64[Tensor, " cells"] | None = None
    size: Int64[Tensor, " cells"] | None = None

    @property
    def step(self) -> float:
        """Angle between columns, rad."""
        return 2 * math.pi / self.columns

    def bin(self, tan: Float[Tensor, "*n"]) -> Int[Tensor, "*n"]:
        """Lookup bin of tan(elevation); the outermost bins are open."""
        return ((tan - self.low) * self.bins_per_tan).clamp_(0, LOOKUP_BINS - 1).int()


def rays(sensor: Sensor, time_s: float, device: torch.device) -> Rays:
    """The rays of the frame that starts at ``time_s``; azimuth 0 is the x axis."""
    if sensor.directions is None:
        return _grid(sensor, str(device))
    return _binned(sensor.directions(time_s).double(), device)


@lru_cache(maxsize=32)
def _grid(sensor: Sensor, device: str) -> Rays:
    tan = torch.tensor(sensor.elevations_deg, dtype=torch.float64).deg2rad().tan()
    azimuth = torch.arange(sensor.columns, dtype=torch.float64) * sensor.azimuth_step
    low, scale, first, stop = _lookup(tan, tan)
    direction = torch.stack(
        (
            azimuth.cos().repeat(sensor.beams),
            azimuth.sin().repeat(sensor.beams),
            tan.repeat_interleave(sensor.columns),
        )
    )
    tables = (first.to(device), stop.to(device), direction.float().to(device))
    return Rays(sensor.columns, sensor.beams, 0.0, low, scale, *tables)


def _binned(angles: Float[Tensor, "2 n"], device: torch.device) -> Rays:
    azimuth, tan = angles[0], angles[1].tan()
    columns = round(360 / LIST_CELL_DEG)
    beams = max(2, math.ceil(float(angles[1].max() - angles[1].min()) / math.radians(LIST_CELL_DEG)))
    edges = torch.linspace(float(angles[1].min()) - 1e-6, float(angles[1].max()) + 1e-6, beams + 1).double().tan()
    column = (azimuth * (columns / (2 * math.pi))).round().long() % columns
    beam = (torch.searchsorted(edges, tan, right=True) - 1).clamp(0, beams - 1)
    cell = beam * columns + column
    order = cell.argsort(stable=True)
    size = torch.bincount(cell, minlength=beams * columns)
    low, scale, first, stop = _lookup(edges[:-1], edges[1:])
    direction = torch.stack((azimuth.cos(), azimuth.sin(), tan)).float()
    lists = (order.to(device), (size.cumsum(0) - size).to(device), size.to(device))
    tables = (first.to(device), stop.to(device), direction.to(device))
    # Cells are widened by a little, as rays at a rounded bin border may lie on either side of it.
    return Rays(columns, beams, 0.5 + 1e-4, low, scale, *tables, *lists)


def _lookup(starts: Tensor, ends: Tensor) -> tuple[float, float, Tensor, Tensor]:
    """Per bin of tan(elevation): the first beam an interval beginning there may meet, and the stop of one ending."""
    low, high = float(starts[0]) - 1e-3, float(ends[-1]) + 1e-3
    edges = torch.linspace(low, high, LOOKUP_BINS + 1, dtype=torch.float64)
    margin = (high - low) / LOOKUP_BINS * 1e-2
    below = torch.cat((edges.new_tensor([-math.inf]), edges[1:-1])) - margin
    above = torch.cat((edges[1:-1], edges.new_tensor([math.inf]))) + margin
    first = torch.searchsorted(ends, below)
    stop = torch.searchsorted(starts, above, right=True)
    return low, LOOKUP_BINS / (high - low), first.int(), stop.int()
