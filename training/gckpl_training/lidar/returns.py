"""What a scan returns, padded to one batch, and what a real sensor adds to it: noise, drop-outs, its own motion."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from gckpl_ros.geometry import turned
from gckpl_training.lidar.sensors import Sensor


@dataclass(frozen=True)
class Returns:
    """Nearest surface point of every ray that hits one, in the sensor's frame (m); padding is zero and not in mask.

    ``ray`` is beam * columns + column (position in the list for a pattern without a grid), -1 where padded; a row
    runs along the lowest beam, then the next.
    """

    points: Float[Tensor, "b k 3"]
    mask: Bool[Tensor, "b k"]
    face: Int64[Tensor, "b k"]
    barycentric: Float[Tensor, "b k 3"]
    ray: Int64[Tensor, "b k"]

    def __len__(self) -> int:
        return len(self.points)

    @property
    def counts(self) -> Int64[Tensor, " b"]:
        """Returns per row."""
        return self.mask.sum(1)

    @property
    def ranges(self) -> Float[Tensor, "b k"]:
        """Distance from the sensor, m; 0 where padded."""
        return self.points.norm(dim=-1)

    def keep(self, mask: Bool[Tensor, "b k"]) -> "Returns":
        """The returns that are also in ``mask``, closed up to the left."""
        index = (self.mask & mask).flatten().nonzero().squeeze(1)
        row = torch.div(index, max(1, self.mask.shape[1]), rounding_mode="trunc")
        chosen = (self.points, self.face, self.barycentric, self.ray)
        return pack(row, len(self), *(values.flatten(0, 1).index_select(0, index) for values in chosen))

    def subset(self, max_points: int, generator: torch.Generator | None = None) -> "Returns":
        """At most ``max_points`` per row, chosen uniformly."""
        if self.mask.shape[1] <= max_points:
            return self
        score = torch.rand(self.mask.shape, generator=generator, device=self.mask.device) + (~self.mask)
        chosen = torch.zeros_like(self.mask).scatter_(1, score.topk(max_points, 1, largest=False).indices, True)
        return self.keep(chosen)


def pack(
    row: Int64[Tensor, " n"],
    rows: int,
    points: Float[Tensor, "n 3"],
    face: Int64[Tensor, " n"],
    barycentric: Float[Tensor, "n 3"],
    ray: Int64[Tensor, " n"],
) -> Returns:
    """Pad a flat list of returns, sorted by row, to a batch."""
    counts = torch.bincount(row, minlength=rows)
    width = int(counts.max()) if rows else 0
    slot = torch.arange(len(row), device=row.device) - (counts.cumsum(0) - counts).index_select(0, row)
    flat = row * width + slot

    def padded(values: Tensor, fill: int) -> Tensor:
        full = values.new_full((rows * width, *values.shape[1:]), fill)
        return full.index_copy_(0, flat, values).view(rows, width, *values.shape[1:])

    mask = torch.arange(width, device=row.device) < counts[:, None]
    return Returns(padded(points, 0), mask, padded(face, 0), padded(barycentric, 0), padded(ray, -1))


def organised(returns: Returns, sensor: Sensor, fill: float = float("nan")) -> Float[Tensor, "b beams columns 3"]:
    """The whole frame, one point per ray, ``fill`` where nothing returned (Livox drivers write zeros: fill=0)."""
    frame = returns.points.new_full((len(returns) * sensor.rays, 3), fill)
    row, slot = returns.mask.nonzero(as_tuple=True)
    frame[row * sensor.rays + returns.ray[row, slot]] = returns.points[row, slot]
    return frame.view(len(returns), sensor.beams, sensor.columns, 3)


def moved(returns: Returns, points: Float[Tensor, "b k 3"]) -> Returns:
    """The same returns at other points; padding stays zero."""
    return replace(returns, points=points * returns.mask[..., None])


# Exact scene flow and labels of simulated returns: a return rides on its triangle from one pose to the next.


def surface_points(
    returns: Returns, vertices: Float[Tensor, "b v 3"], faces: Int64[Tensor, "f 3"]
) -> Float[Tensor, "b k 3"]:
    """Where each return's (face, barycentric) lies on the mesh posed as ``vertices``, m; zero where padded."""
    corners = faces[returns.face]
    rows = torch.arange(len(vertices), device=vertices.device)[:, None, None]
    points = (vertices[rows, corners] * returns.barycentric[..., None]).sum(2)
    return points * returns.mask[..., None]


def exact_flow(
    returns: Returns, vertices: Float[Tensor, "b v 3"], later: Float[Tensor, "b v 3"], faces: Int64[Tensor, "f 3"]
) -> Float[Tensor, "b k 3"]:
    """Displacement (m) of each return from the pose it was scanned in to the ``later`` pose of the same mesh."""
    return surface_points(returns, later - vertices, faces)


def labels(returns: Returns, face_labels: Int64[Tensor, " f"], padding: int = -1) -> Int64[Tensor, "b k"]:
    """The label of the face that each return lies on; ``padding`` where there is none."""
    return face_labels[returns.face].masked_fill(~returns.mask, padding)


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
