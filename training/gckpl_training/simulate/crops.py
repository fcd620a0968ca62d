"""Labelled person crops, simulated on the fly on the training device: pose, dress, place, scan, box, crop, augment."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from gckpl_ros.batch import PersonBatch
from gckpl_ros.body.angles import turn
from gckpl_ros.body.body import Posed, ground, load_body
from gckpl_ros.body.kinematics import mirror_pose
from gckpl_ros.geometry import facing, in_box, turned
from gckpl_ros.people.thinning import evenly
from gckpl_ros.skeleton import BACKGROUND, INDEX
from gckpl_training.lidar import Returns, Sensor, scan, sensor
from gckpl_training.lidar.effects import sensor_noise
from gckpl_training.motion.files import read_mocap
from gckpl_training.motion.library import MotionLibrary
from gckpl_training.motion.procedural import sample_poses
from gckpl_training.scene import Wardrobe, sample_outfit
from gckpl_training.scene.surroundings import Surroundings
from gckpl_training.simulate import augment


@dataclass(frozen=True)
class CropConfig:
    """What the simulated people do, wear, and are seen by. Shares and chances in 0..1."""

    mocap: Path | None = None
    """Packed motion capture (.npz); its splits train and val are used as such. None: procedural poses only."""
    mocap_share: float = 0.6
    sensors: tuple[str, ...] = ("waymo_top", "spinner64", "spinner16", "os1_128")
    validation_sensors: tuple[str, ...] = ("spinner32",)
    range_m: tuple[float, float] = (3.0, 30.0)
    """Ranges are drawn evenly in their logarithm."""
    views: int = 2
    """Crops made of each scanned person: with its own box, noise and augmentation (training only)."""
    box_shift_m: float = 0.06
    """Standard deviation of the detector's box centre per axis; sizes err by up to 15 %, yaw by 0.2 rad."""
    margin_m: float = 0.15
    min_points: int = 8
    max_points: int = 192
    """Crops are sub-sampled to this many points, as the runtime does (``crop.max_points``)."""
    thin_chance: float = 0.3
    thin_beams_chance: float = 0.5
    hide_chance: float = 0.25
    blob_chance: float = 0.25
    jitter_m: float = 0.02
    surroundings: Surroundings = field(default_factory=Surroundings)

    def eased(self, difficulty: float) -> "CropConfig":
        """The same, easier: chances scaled by ``difficulty`` (0..1), ranges cut; at 0 whole people, near and alone.

        Sparser beams stay: sensors differ from the start.
        """
        if difficulty >= 1:
            return self
        low, high = self.range_m
        near = min(high, 3 * low)
        chances = ("thin_chance", "hide_chance", "blob_chance", "jitter_m")
        return replace(
            self,
            range_m=(low, near * (high / near) ** difficulty),
            surroundings=self.surroundings.scaled(difficulty),
            **{name: getattr(self, name) * difficulty for name in chances},
        )


# More returns in one box than this are thinned before anything else looks at them.
MOST_RETURNS = 1024
ROWS = 64


class CropSource:
    """An endless, seeded source of crops of one split ("train" or "val": other people's motions, other sensors)."""

    def __init__(self, config: CropConfig, seed: int, device: torch.device, split: str) -> None:
        self.config, self.device, self.training = config, device, split == "train"
        self.views = config.views if self.training else 1
        self.generator = torch.Generator(device).manual_seed(seed)
        self.body = load_body(device=device)
        self.wardrobe = Wardrobe(self.body)
        names = config.sensors if self.training else config.validation_sensors
        self.sensors = [sensor(name) for name in names]
        clips = read_mocap(config.mocap, split) if config.mocap else []
        self.library = MotionLibrary(clips, device) if clips else None

    def draw(self, people: int, difficulty: float = 1.0) -> PersonBatch:
        """``people`` crops with at least ``min_points`` returns, sensors in equal shares."""
        config = self.config.eased(difficulty)
        parts, found = [], 0
        while found < people:
            for model in self.sensors:
                parts += self.scan_people(-(-people // len(self.sensors)), model, config)
            found = sum(map(len, parts))
        chosen = torch.randperm(found, generator=self.generator, device=self.device)[:people]
        return anywhere(PersonBatch.join(parts).rows(chosen), self.generator)

    def poses(self, n: int) -> Float[Tensor, "n 22 3 3"]:
        """Poses from mocap and procedure, half of them mirrored, with any heading."""
        g, device = self.generator, self.device
        captured = int(n * self.config.mocap_share) if self.library and self.training else n if self.library else 0
        drawn = [self.library.sample(captured, g)[0]] if self.library and captured else []
        drawn += [sample_poses(n - captured, g, device)] if captured < n else []
        pose = torch.cat(drawn)
        flip = torch.rand(n, generator=g, device=device) < 0.5
        pose = torch.where(flip[:, None, None, None], mirror_pose(pose), pose)
        return turn(pose, 2 * torch.pi * torch.rand(n, generator=g, device=device))

    def scan_people(self, n: int, model: Sensor, config: CropConfig) -> list[PersonBatch]:
        """Simulate n people in front of one sensor; those with too few returns are left out."""
        g = self.generator
        zeros = torch.zeros(n, 3, device=self.device)
        posed = ground(self.body(self.body.sample_betas(n, g), self.poses(n), zeros))
        meshes = self.wardrobe(posed, sample_outfit(n, g))
        low, high = (torch.tensor(value, device=self.device).log() for value in config.range_m)
        distance = (low + (high - low) * torch.rand(n, generator=g, device=self.device)).exp().sort().values
        scene = config.surroundings(meshes, posed, distance, model.mount_height_m, g)
        faces, labels = scene.meshes.faces, scene.meshes.labels
        body = torch.arange(len(faces), device=self.device) < len(self.body.faces)
        crops = []
        for rows in torch.arange(n, device=self.device).split(
            ROWS
        ):  # people of like range: like counts, little padding
            returns = scan(scene.meshes.vertices[rows], faces, model, cull=body, generator=g)
            crops += [self._crop(returns, labels, scene.posed.rows(rows), model, config) for _ in range(self.views)]
        return crops

    def _crop(self, returns: Returns, labels: Tensor, posed: Posed, model: Sensor, config: CropConfig) -> PersonBatch:
        g = self.generator
        center, size, yaw = detector_boxes(posed, g, config.box_shift_m)
        size = size + 2 * config.margin_m
        returns = returns.keep(in_box(returns.points - center[:, None], size, yaw)).subset(MOST_RETURNS, g)
        returns = sensor_noise(returns, model, g)
        local = augment.jitter(returns.points - center[:, None], g, config.jitter_m)
        mask, label = returns.mask, labels[returns.face]
        if self.training:
            mask = augment.thin_beams(mask, returns.ray // model.columns, g, config.thin_beams_chance)
            mask = augment.hide(local, mask, g, config.hide_chance, 0.35)
            mask = augment.thin(mask, g, config.thin_chance, 0.2)
            extra, extra_mask = augment.blobs(40, size, g, config.blob_chance)
            local, mask = torch.cat([local, extra], 1), torch.cat([mask, extra_mask], 1)
            label = torch.cat([label, torch.full_like(extra_mask, BACKGROUND, dtype=label.dtype)], 1)
        body = (mask & (label != BACKGROUND)).sum(1)
        chosen = (body >= config.min_points).nonzero()[:, 0]
        batch = PersonBatch(
            local, mask, center, counts=mask.sum(1), parts=label, keypoints=posed.keypoints - center[:, None]
        )
        return compact(batch, config.max_points, g).rows(chosen)


def detector_boxes(
    posed: Posed, generator: torch.Generator, shift_m: float
) -> tuple[Float[Tensor, "b 3"], Float[Tensor, "b 3"], Float[Tensor, " b"]]:
    """Centre, size and yaw of a box around each body as a detector may give it: shifted, resized, turned."""
    n, device = len(posed.vertices), posed.vertices.device
    hips = posed.keypoints[:, INDEX["left_hip"]] - posed.keypoints[:, INDEX["right_hip"]]
    yaw = facing(hips)
    low, high = (f(turned(posed.vertices, -yaw), 1) for f in (torch.amin, torch.amax))
    center = turned((low + high) / 2, yaw)
    size = (high - low) * (1 + 0.15 * (2 * torch.rand(n, 3, generator=generator, device=device) - 1))
    shift = shift_m * torch.randn(n, 3, generator=generator, device=device)
    return center + shift, size, yaw + 0.2 * torch.randn(n, generator=generator, device=device)


def anywhere(batch: PersonBatch, generator: torch.Generator) -> PersonBatch:
    """Each whole crop at a random bearing around the sensor."""
    yaw = 2 * torch.pi * torch.rand(len(batch), generator=generator, device=batch.points.device)
    points, keypoints = turned(batch.points, -yaw), turned(batch.required("keypoints"), -yaw)
    return replace(batch, points=points, views=turned(batch.views, -yaw), keypoints=keypoints)


def compact(batch: PersonBatch, most: int, generator: torch.Generator) -> PersonBatch:
    """At most ``most`` points of each row, thinned as the runtime does, real ones first."""
    order = evenly(batch.points, batch.mask, most, generator)
    mask = batch.mask.gather(1, order)
    points = batch.points.gather(1, order[..., None].expand(-1, -1, 3)) * mask[..., None]
    return replace(batch, points=points, mask=mask, parts=batch.required("parts").gather(1, order))
