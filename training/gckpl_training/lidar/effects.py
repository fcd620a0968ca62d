"""What a real sensor adds to the exact returns: range noise, drop-outs, mixed pixels at silhouettes."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gckpl_ros.geometry import turned
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


# Ego-motion: what a scan that takes its time looks like from a moving sensor, and how to undo it.
#
# A spinning sensor fires its columns one after another over ``period_s`` while it moves. `scan` freezes the world and
# the sensor at the start of the frame; `skew` then expresses each return in the sensor's frame at its own firing
# time, which is what a driver publishes. The surfaces come out exact; only the beams are those of the frozen sensor,
# an error of the sampling below one beam spacing for the speeds of robots and cars. The motion is a constant twist in
# the plane.


def planar_pose(
    time_s: Float[Tensor, "*n"], velocity: Float[Tensor, "3"], yaw_rate: float
) -> tuple[Float[Tensor, "*n"], Float[Tensor, "*n 3"]]:
    """Yaw (rad) and position (m) in the frame of time 0 of a sensor with constant velocity in its own axes (m/s)."""
    yaw = time_s * yaw_rate
    # Integral of R(yaw) v: sin(yaw)/rate and (1 - cos(yaw))/rate, by sinc so that a rate of zero needs no branch.
    along = time_s * torch.sinc(yaw / torch.pi)
    across = time_s * torch.sinc(yaw / (2 * torch.pi)) * torch.sin(yaw / 2)
    vx, vy, vz = velocity
    return yaw, torch.stack((along * vx - across * vy, across * vx + along * vy, time_s * vz), -1)


def skew(
    points: Float[Tensor, "*n 3"], time_s: Float[Tensor, "*n"], velocity: Float[Tensor, "3"], yaw_rate: float
) -> Float[Tensor, "*n 3"]:
    """Points of the sensor's frame at time 0, expressed in its frame at ``time_s`` each (as measured)."""
    yaw, position = planar_pose(time_s, velocity, yaw_rate)
    return turned(points - position, -yaw)


def deskew(
    points: Float[Tensor, "*n 3"], time_s: Float[Tensor, "*n"], velocity: Float[Tensor, "3"], yaw_rate: float
) -> Float[Tensor, "*n 3"]:
    """The inverse of `skew`: measured points back into the sensor's frame at time 0."""
    yaw, position = planar_pose(time_s, velocity, yaw_rate)
    return turned(points, yaw) + position


def rolling(returns: Returns, sensor: Sensor, velocity: Float[Tensor, "3"], yaw_rate: float) -> Returns:
    """Returns of a frozen scan as the moving sensor measures them, column by column over its period."""
    time = sensor.firing_time(returns.ray).to(returns.points.dtype)
    return moved(returns, skew(returns.points, time, velocity, yaw_rate))
