"""Ego-motion: what a scan that takes its time looks like from a moving sensor, and how to undo it.

A spinning sensor fires its columns one after another over ``period_s`` while it moves. `scan` freezes the world and the
sensor at the start of the frame; `skew` then expresses each return in the sensor's frame at its own firing time, which
is what a driver publishes. The surfaces come out exact; only the beams are those of the frozen sensor, an error of the
sampling below one beam spacing for the speeds of robots and cars. The motion is a constant twist in the plane.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from gckpl_training.lidar.returns import Returns, moved
from gckpl_training.lidar.sensors import Sensor


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
    return _turned(points - position, -yaw)


def deskew(
    points: Float[Tensor, "*n 3"], time_s: Float[Tensor, "*n"], velocity: Float[Tensor, "3"], yaw_rate: float
) -> Float[Tensor, "*n 3"]:
    """The inverse of `skew`: measured points back into the sensor's frame at time 0."""
    yaw, position = planar_pose(time_s, velocity, yaw_rate)
    return _turned(points, yaw) + position


def rolling(returns: Returns, sensor: Sensor, velocity: Float[Tensor, "3"], yaw_rate: float) -> Returns:
    """Returns of a frozen scan as the moving sensor measures them, column by column over its period."""
    time = sensor.firing_time(returns.ray).to(returns.points.dtype)
    return moved(returns, skew(returns.points, time, velocity, yaw_rate))


def _turned(points: Tensor, yaw: Tensor) -> Tensor:
    x, y, z = points.unbind(-1)
    cos, sin = yaw.cos(), yaw.sin()
    return torch.stack((x * cos - y * sin, x * sin + y * cos, z), -1)
