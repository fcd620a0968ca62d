"""Poses evenly over their clusters, and sensors with beams that no table knows: what far training and scenes share.

Poses are drawn evenly over clusters, arms are exchanged between people, some lie; half of the sensors have beams that
no table knows; one in five people is nearer than 3 m, seen from 0.3 to 2.5 m height, cut off by the field of view.
"""

import math
from dataclasses import replace
from pathlib import Path
from typing import Final

import roma
import torch
from jaxtyping import Float
from torch import Tensor

from gckpl_ros.batch import PersonBatch
from gckpl_ros.body.angles import turn
from gckpl_ros.body.body import Body
from gckpl_ros.body.kinematics import JOINT, mirror_pose
from gckpl_ros.geometry import facing, turned
from gckpl_ros.skeleton import INDEX
from gckpl_training.lidar import sensor
from gckpl_training.lidar.sensors import Sensor
from gckpl_training.motion.files import read_mocap
from gckpl_training.motion.library import MotionLibrary, sample_poses
from gckpl_training.scene.surroundings import Surroundings
from gckpl_training.simulate.maker import CropConfig
from gckpl_training.simulate.people import CropSource

CLUSTERS, EVENNESS = 200, 0.6
CAPTURED, ARMS_EXCHANGED, LYING = 0.65, 0.2, 0.05
NAMED_SENSOR: Final = 0.55
SENSORS: Final = ("waymo_top", "spinner64", "spinner16", "os1_128")
ARMS: Final = [
    place for name, place in JOINT.items() if name.split("_")[-1] in ("collar", "shoulder", "elbow", "wrist")
]
SHARD: Final = 8192
SEED: Final = 777_000
EASY_SHARDS: Final = 6
"""The first shards rise from whole people, near and alone, to full difficulty."""
NEAR: Final = 0.2
NEAR_M: Final = (0.7, 3.0)
CROPS: Final = CropConfig(
    max_points=256,
    jitter_m=0.03,
    surroundings=Surroundings(wall=0.3, pole=0.25, bin=0.25, occluder=0.35, second_person=0.25),
)
AT_A_TIME: Final = 256


class VariedPoses:
    """Captured poses evenly over their clusters, procedural ones, others' arms, people who lie; any heading."""

    def __init__(self, library: MotionLibrary | None, body: Body) -> None:
        self.library = library
        self._weights = _weights(library, body) if library else None

    def captured(self, n: int, g: torch.Generator) -> Float[Tensor, "n 22 3 3"]:
        """Captured poses alone; procedural ones where nothing is captured."""
        if self.library is None or self._weights is None:
            return sample_poses(n, g)
        return self.library.poses[torch.multinomial(self._weights, n, replacement=True, generator=g)]

    def sample(self, n: int, g: torch.Generator) -> Float[Tensor, "n 22 3 3"]:
        """n poses of all kinds."""
        captured = self.captured(int(CAPTURED * n), g)
        pose = torch.cat([captured, sample_poses(n - len(captured), g)])
        pose = pose[torch.randperm(n, generator=g)]
        exchanged = pose.clone()
        exchanged[:, ARMS] = pose[torch.randperm(n, generator=g)][:, ARMS]
        pose = torch.where(_some(n, ARMS_EXCHANGED, g), exchanged, pose)
        lying = lay_down(pose, g)
        pose = torch.where(_some(n, LYING, g), lying, pose)
        pose = torch.where(_some(n, 0.5, g), mirror_pose(pose), pose)
        return turn(pose, 2 * math.pi * torch.rand(n, generator=g))


class VariedSource(CropSource):
    """Crops of people in postures that are rare elsewhere, seen by sensors of all kinds; shard n is always the same."""

    def __init__(self, mocap: tuple[Path, ...]) -> None:
        """``mocap``: packed motion capture, of each file the split train; without any, procedural poses alone."""
        super().__init__(CROPS, 0, torch.device("cpu"), "train")
        clips = [clip for file in mocap for clip in read_mocap(file, "train")]
        self.varied = VariedPoses(MotionLibrary(clips) if clips else None, self.body)

    def shard(self, index: int, crops: int = SHARD) -> PersonBatch:
        """The crops of one shard."""
        self.generator.manual_seed(SEED + index)
        difficulty = min(1.0, index / EASY_SHARDS)
        far = replace(CROPS.eased(difficulty), range_m=(3.0, 9.0 + 21.0 * difficulty * (difficulty >= 0.3)))
        parts: list[PersonBatch] = []
        while sum(map(len, parts)) < crops:
            model, near = varied_sensor(self.generator), float(self.rand(1)) < NEAR
            parts += self.scan_people(min(AT_A_TIME, crops), model, replace(far, range_m=NEAR_M) if near else far)
        found = PersonBatch.join(parts)
        return found.rows(torch.randperm(len(found), generator=self.generator)[:crops])

    def poses(self, n: int) -> Float[Tensor, "n 22 3 3"]:
        """Captured poses evenly over their clusters, procedural ones, others' arms, people who lie; any heading."""
        return self.varied.sample(n, self.generator)


def lay_down(pose: Float[Tensor, "n 22 3 3"], g: torch.Generator) -> Float[Tensor, "n 22 3 3"]:
    """Whole bodies tipped over by about a quarter turn to some side."""
    n = len(pose)
    side = torch.where(torch.rand(n, generator=g) < 0.5, 1.0, -1.0) * math.pi / 2 + 0.25 * torch.randn(n, generator=g)
    axis = torch.nn.functional.one_hot((torch.rand(n, generator=g) < 0.5).long(), 3)
    return torch.cat([roma.rotvec_to_rotmat(axis * side[:, None])[:, None] @ pose[:, :1], pose[:, 1:]], 1)


def _some(n: int, share: float, g: torch.Generator) -> Tensor:
    return (torch.rand(n, generator=g) < share)[:, None, None, None]


def _weights(library: MotionLibrary, body: Body) -> Float[Tensor, " f"]:
    """Of each captured frame: its cluster of heading-free keypoints counts with the power 1 - EVENNESS."""
    generator, poses = torch.Generator().manual_seed(5), library.poses
    betas = body.sample_betas(1, generator) * 0
    keypoints = []
    for rows in torch.split(torch.arange(len(poses)), 2048):
        posed = body(betas.expand(len(rows), -1), poses[rows], torch.zeros(len(rows), 3))
        local = posed.keypoints - posed.joints[:, :1]
        yaw = facing(local[:, INDEX["left_hip"]] - local[:, INDEX["right_hip"]])
        keypoints.append(turned(local, -yaw).flatten(1))
    every = torch.cat(keypoints)
    centres = every[torch.randperm(len(every), generator=generator)[:CLUSTERS]]
    for _ in range(15):
        nearest = torch.cdist(every, centres).argmin(1)
        counts = torch.bincount(nearest, minlength=len(centres)).clamp_min(1)
        centres = torch.zeros_like(centres).index_add_(0, nearest, every) / counts[:, None]
    return (counts ** (1 - EVENNESS) / counts)[nearest]


def varied_sensor(g: torch.Generator) -> Sensor:
    """A sensor of the table at some height, or one with beams of its own."""

    def uniform(low: float | int, high: float | int) -> float:
        return low + (high - low) * float(torch.rand(1, generator=g))

    if uniform(0, 1) < NAMED_SENSOR:
        model = sensor(SENSORS[int(uniform(0, len(SENSORS)))])
        return model if uniform(0, 1) < 0.5 else replace(model, mount_height_m=uniform(0.3, 2.5))
    beams, narrow = int(2 ** uniform(4, 7)), uniform(0, 1) < 0.5
    low = uniform(-28, -12) if narrow else uniform(-45, -10)
    high = uniform(2, 18) if narrow else uniform(2, 45)
    gaps = 1 + 0.5 * torch.rand(beams - 1, generator=g)
    if uniform(0, 1) < 0.4:  # denser in the middle
        at = torch.linspace(-1, 1, beams - 1) - uniform(-0.3, 0.3)
        gaps = gaps * (0.4 + at.abs() ** 1.5 * uniform(0, 3))
    edges = torch.cat([torch.zeros(1), gaps.cumsum(0)])
    return Sensor(
        name="random",
        columns=int(2 ** uniform(9.7, 11.4)),
        elevations_deg=tuple(float(edge) for edge in low + (high - low) * edges / edges[-1]),
        range_sigma_m=uniform(0.005, 0.03),
        min_range_m=0.3,
        max_range_m=120.0,
        drop_probability=uniform(0, 0.1),
        mount_height_m=uniform(0.3, 2.5),
    )
