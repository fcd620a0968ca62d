"""The demo street, scanned by a moving LiDAR, with exact truth for every scan and every return."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, Int64
from torch import Tensor

from gckpl_ros.body.body import load_body
from gckpl_ros.errors import InputError
from gckpl_ros.geometry import heading, rotation_z, transformed
from gckpl_ros.skeleton import BACKGROUND
from gckpl_ros.types import Boxes, Cloud
from gckpl_training.lidar import scan, sensor, sensor_noise
from gckpl_training.scene import Wardrobe
from gckpl_training.scene.meshes import join
from gckpl_training.street.layout import PEOPLE, build
from gckpl_training.street.people import Walker, walker
from gckpl_training.street.terrain import Ground

# The street itself: rough ground, houses, poles, trees, parked cars, bins; static triangles in the odom frame.

LENGTH_M, HALF_WIDTH_M, CELLS = 80.0, 11.0, 40


# Where everything stands in the demo street, and who does what; the robot drives along x from the origin at 1 m/s.


PERIOD_S = 0.1
SPEED_M_S = 1.0
LIDAR_FRAME = "lidar"
START_NS = 1_700_000_000_000_000_000
NOBODY = -1


@dataclass(frozen=True)
class Scan:
    """One scan and its truth, all in the cloud's frame (m, m/s); rows of ids, keypoints, boxes, velocities and
    counts belong together.

    ``person`` and ``part`` tell for each point whose it is (row, or NOBODY) and on which body part it lies (BACKGROUND:
    on none, like a backpack). ``points_per_person`` counts the returns from body and clothes.
    """

    cloud: Cloud
    intensity: Float32[np.ndarray, " n"]
    T_odom_sensor: Float64[np.ndarray, "4 4"]
    ids: Int64[np.ndarray, " p"]
    keypoints: Float32[np.ndarray, "p 14 3"]
    boxes: Boxes
    velocities: Float32[np.ndarray, "p 3"]
    points_per_person: Int64[np.ndarray, " p"]
    person: Int64[np.ndarray, " n"]
    part: Int64[np.ndarray, " n"]


MOST_S: Final = 120.0


class Street:
    """A seeded street of houses, cars, trees and seven people; ``scans()`` drives a LiDAR through it at 10 Hz."""

    def __init__(self, seed: int = 0, sensor_name: str = "spinner32", seconds: float = 15.0) -> None:
        """Raises InputError for an unknown sensor, a bad seed, or a length that is not positive."""
        if not 0 < seconds <= MOST_S:
            raise InputError(f"--seconds {seconds:g}: a street lasts more than 0 and at most {MOST_S:g} s")
        if not 0 <= seed < 2**32:
            raise InputError(f"seed = {seed}: give a whole number from 0 to {2**32 - 1}")
        self.sensor = sensor(sensor_name)
        self._seed, self._generator = seed, torch.Generator().manual_seed(seed)
        self._times = torch.arange(max(1, round(seconds / PERIOD_S))) * PERIOD_S
        ground = Ground(self._generator)
        self._static = join(ground.mesh, build(self._generator))
        self.walkers = self._people(ground)
        self._faces, self._labels, self._owner = self._topology()
        self._reflectivity = 0.1 + 0.5 * torch.rand(len(self._faces), generator=self._generator)

    def __len__(self) -> int:
        """Number of scans."""
        return len(self._times)

    def scans(self) -> Iterator[Scan]:
        """Every scan in order; each depends on the seed and its number alone."""
        for index in range(len(self)):
            yield self.scan(index)

    def _people(self, ground: Ground) -> list[Walker]:
        body = load_body()
        wardrobe = Wardrobe(body)
        self._worn = wardrobe.vertices_worn
        g = self._generator
        return [walker(stature, script, self._times, body, wardrobe, ground, g) for stature, script in PEOPLE]

    def _topology(self) -> tuple[Tensor, Tensor, Tensor]:
        """Faces and labels of street and people together, and whose each face is."""
        whole = join(self._static, *(replace(w.meshes, vertices=w.meshes.vertices[:1]) for w in self.walkers))
        owner = torch.full((len(self._static.faces),), NOBODY)
        people = [torch.full((len(walker.meshes.faces),), row) for row, walker in enumerate(self.walkers)]
        return whole.faces, whole.labels, torch.cat([owner, *people])

    def scan(self, index: int) -> Scan:
        """Scan number ``index`` with its truth."""
        generator = torch.Generator().manual_seed(self._seed * 100_003 + index)
        T_odom_sensor = sensor_pose(float(self._times[index]), self.sensor.mount_height_m)
        T_sensor_odom = torch.from_numpy(np.linalg.inv(T_odom_sensor)).float()
        vertices = torch.cat([self._static.vertices[0], *(w.meshes.vertices[index] for w in self.walkers)])
        returns = scan(
            transformed(T_sensor_odom, vertices)[None],
            self._faces,
            self.sensor,
            time_s=float(self._times[index]),
            cull=True,
            generator=generator,
        )
        returns = sensor_noise(returns, self.sensor, generator)
        points, face = returns.points[0], returns.face[0]
        person, part = self._owner[face], self._labels[face]
        body = person[part != BACKGROUND]
        stamp_ns = START_NS + round(float(self._times[index]) * 1e9)
        return Scan(
            cloud=Cloud(points.numpy(), stamp_ns, LIDAR_FRAME),
            intensity=self._reflectivity[face].numpy(),
            T_odom_sensor=T_odom_sensor,
            ids=np.arange(len(self.walkers)),
            keypoints=transformed(T_sensor_odom, torch.stack([w.keypoints[index] for w in self.walkers])).numpy(),
            boxes=self._boxes(index, T_sensor_odom),
            velocities=(torch.stack([w.velocity[index] for w in self.walkers]) @ T_sensor_odom[:3, :3].T).numpy(),
            points_per_person=torch.bincount(body[body >= 0], minlength=len(self.walkers)).numpy(),
            person=person.numpy(),
            part=part.numpy(),
        )

    def _boxes(self, index: int, T_sensor_odom: Float[Tensor, "4 4"]) -> Boxes:
        """The smallest upright box along each person's heading that holds body and clothes."""
        yaws = torch.stack([w.heading[index] for w in self.walkers]) + heading(T_sensor_odom)
        worn = torch.stack([w.meshes.vertices[index, : self._worn] for w in self.walkers])
        R_sensor_box = rotation_z(yaws)
        local = transformed(T_sensor_odom, worn) @ R_sensor_box
        low, high = local.amin(1), local.amax(1)
        centers = ((low + high) / 2)[:, None] @ R_sensor_box.mT
        yaws = torch.atan2(yaws.sin(), yaws.cos())
        return Boxes(centers[:, 0].numpy(), (high - low).numpy(), yaws.numpy(), np.ones(len(yaws), np.float32))


def sensor_pose(time_s: float, height_m: float) -> Float64[np.ndarray, "4 4"]:
    """T_odom_sensor of a robot that drives along x at 1 m/s and sways a little to both sides."""
    sway, rate = 0.35, 0.45
    yaw = math.atan2(sway * rate * math.cos(rate * time_s), SPEED_M_S) + 0.03 * math.sin(1.7 * time_s)
    T_odom_sensor = np.eye(4)
    T_odom_sensor[:2, :2] = [[math.cos(yaw), -math.sin(yaw)], [math.sin(yaw), math.cos(yaw)]]
    T_odom_sensor[:3, 3] = SPEED_M_S * time_s, sway * math.sin(rate * time_s), height_m
    return T_odom_sensor
