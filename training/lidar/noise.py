"""What a real sensor adds to the exact returns: range noise, drop-outs, mixed pixels at silhouettes."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gckpl_training.lidar.returns import Returns, moved
from gckpl_training.lidar.sensors import Sensor

# Neighbours along a beam whose ranges differ by more than this lie on different surfaces.
SILHOUETTE_JUMP_M = 0.3


def range_noise(returns: Returns, sigma_m: float, generator: torch.Generator | None = None) -> Returns:
    """Gaussian noise along each ray."""
    noise = torch.randn(returns.mask.shape, generator=generator, device=returns.mask.device) * sigma_m
    return _pushed(returns, noise)


def drop_out(returns: Returns, probability: float, generator: torch.Generator | None = None) -> Returns:
    """Lose each return with this probability."""
    return returns.keep(torch.rand(returns.mask.shape, generator=generator, device=returns.mask.device) >= probability)


def mixed_pixels(
    returns: Returns,
    sensor: Sensor,
    probability: float,
    depth_m: float = 0.4,
    generator: torch.Generator | None = None,
) -> Returns:
    """Smear returns at silhouettes backwards by up to ``depth_m``: the beam's spot also lit what lies behind.

    Call it before returns are dropped or sub-sampled, as a missing neighbour along the beam marks a silhouette.
    """
    shape, device = returns.mask.shape, returns.mask.device
    struck = silhouettes(returns, sensor) & (torch.rand(shape, generator=generator, device=device) < probability)
    return _pushed(returns, torch.rand(shape, generator=generator, device=device) * depth_m * struck)


def silhouettes(returns: Returns, sensor: Sensor) -> Bool[Tensor, "b k"]:
    """Returns whose neighbour along the beam is missing or more than 0.3 m farther away."""
    distance, ray = returns.ranges, returns.ray
    beam, column = ray // sensor.columns, ray % sensor.columns
    joined = (beam[:, 1:] == beam[:, :-1]) & ((column[:, 1:] - column[:, :-1] - 1) % sensor.columns == 0)
    nearer = distance[:, 1:] - distance[:, :-1]
    edge = torch.ones_like(returns.mask)
    to_next, to_previous = edge.clone(), edge.clone()
    to_next[:, :-1] = ~joined | (nearer > SILHOUETTE_JUMP_M)
    to_previous[:, 1:] = ~joined | (nearer < -SILHOUETTE_JUMP_M)
    return (to_next | to_previous) & returns.mask


def sensor_noise(returns: Returns, sensor: Sensor, generator: torch.Generator | None = None) -> Returns:
    """The sensor's own range noise and drop-outs."""
    return drop_out(range_noise(returns, sensor.range_sigma_m, generator), sensor.drop_probability, generator)


def _pushed(returns: Returns, metres: Float[Tensor, "b k"]) -> Returns:
    scale = 1 + metres / returns.ranges.clamp(min=1e-3)
    return moved(returns, returns.points * scale[..., None])
