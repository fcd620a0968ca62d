"""The steps of simulating labelled people: pose, dress, place before a sensor, scan, box, crop, augment, compact."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from gckpl_ros.batch import PersonBatch
from gckpl_ros.body.body import Posed, ground, load_body
from gckpl_ros.geometry import facing, in_box, turned
from gckpl_ros.people.crop import evenly
from gckpl_ros.skeleton import BACKGROUND, INDEX
from gckpl_training.lidar import Returns, Sensor, scan
from gckpl_training.lidar.returns import sensor_noise
from gckpl_training.motion.library import Poses
from gckpl_training.scene import Outfit, Scene, Wardrobe
from gckpl_training.scene.surroundings import Surroundings
from gckpl_training.simulate import augment

# More returns in one box than this are thinned before anything else looks at them.
MOST_RETURNS = 1024


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
    mount_height_m: tuple[float, float] | None = None
    """Heights of the sensor above the ground, one for some people at a time; None: the model's own."""
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


class Boxed(NamedTuple):
    """What a sensor returns of people, each in its box."""

    returns: Returns
    size: Float[Tensor, "b 3"]
    """Of the boxes with their margin, m."""
    crops: PersonBatch
    """All returns in each box, relative to its centre."""


class PersonMaker:
    """The steps of simulating people, with the random numbers of one seed."""

    def __init__(self, seed: int, device: torch.device) -> None:
        self.device = device
        self.generator = torch.Generator(device).manual_seed(seed)
        self.body = load_body(device=device)
        self.wardrobe = Wardrobe(self.body)

    def rand(self, *shape: int) -> Tensor:
        """Evenly in 0..1."""
        return torch.rand(*shape, generator=self.generator, device=self.device)

    def ranges(self, n: int, config: CropConfig) -> Float[Tensor, " n"]:
        """Distances from the sensor, m."""
        low, high = (torch.tensor(value, device=self.device).log() for value in config.range_m)
        return (low + (high - low) * self.rand(n)).exp()

    def stand(self, betas: Tensor, motion: Poses, on_ground: bool) -> Posed:
        """Bodies in a pose; where their height is not known, the lowest foot is put on the ground."""
        posed = self.body(betas, *motion)
        return posed if on_ground else ground(posed)

    def place(
        self,
        posed: Sequence[Posed],
        outfit: Outfit,
        range_m: Float[Tensor, " n"],
        model: Sensor,
        config: CropConfig,
        at: int = 0,
    ) -> list[Scene]:
        """The same dressed people in the same surroundings at all times, at their ranges at time ``at``."""
        height_m = model.mount_height_m
        if config.mount_height_m is not None:
            low, high = config.mount_height_m
            height_m = low + (high - low) * float(self.rand(1))
        scene = config.surroundings(self.wardrobe(posed[at], outfit), posed[at], range_m, height_m, self.generator)
        return [scene if time == at else scene.again(self.wardrobe(one, outfit), one) for time, one in enumerate(posed)]

    def scan(self, vertices: Float[Tensor, "b v 3"], faces: Int64[Tensor, "f 3"], model: Sensor) -> Returns:
        """Returns of people (vertices first of all) and of what surrounds them."""
        cull = torch.arange(len(faces), device=self.device) < len(self.body.faces)
        return scan(vertices, faces, model, cull=cull, generator=self.generator)

    def boxes(self, posed: Posed, config: CropConfig) -> tuple[Float[Tensor, "b 3"], Float[Tensor, "b 3"], Tensor]:
        """Centre, size with its margin (m) and yaw (rad) of the box that each person is cut out with."""
        center, size, yaw = detector_boxes(posed, self.generator, config.box_shift_m)
        return center, size + 2 * config.margin_m, yaw

    def box(
        self,
        returns: Returns,
        posed: Posed,
        labels: Int64[Tensor, " f"],
        model: Sensor,
        config: CropConfig,
        bias_m: Float[Tensor, "b 3"] | float = 0.0,
    ) -> Boxed:
        """Noisy returns in a detector's box of each person; ``labels`` are the parts of the faces."""
        g = self.generator
        center, size, yaw = self.boxes(posed, config)
        center = center + bias_m
        returns = returns.keep(in_box(returns.points - center[:, None], size, yaw)).subset(MOST_RETURNS, g)
        returns = sensor_noise(returns, model, g)
        crops = PersonBatch(
            augment.jitter(returns.points - center[:, None], g, config.jitter_m),
            returns.mask,
            views=center,
            counts=returns.counts,
            parts=labels[returns.face],
            keypoints=posed.keypoints - center[:, None],
        )
        return Boxed(returns, size, crops)

    def augment(self, boxed: Boxed, model: Sensor, config: CropConfig) -> PersonBatch:
        """Crops with fewer beams, holes, fewer points, and clusters of the background."""
        g, local, parts = self.generator, boxed.crops.points, boxed.crops.required("parts")
        mask = augment.thin_beams(boxed.crops.mask, boxed.returns.ray // model.columns, g, config.thin_beams_chance)
        mask = augment.hide(local, mask, g, config.hide_chance, 0.35)
        mask = augment.thin(mask, g, config.thin_chance, 0.2)
        extra, extra_mask = augment.blobs(40, boxed.size, g, config.blob_chance)
        local, mask = torch.cat([local, extra], 1), torch.cat([mask, extra_mask], 1)
        parts = torch.cat([parts, torch.full_like(extra_mask, BACKGROUND, dtype=parts.dtype)], 1)
        return replace(boxed.crops, points=local, mask=mask, parts=parts, counts=mask.sum(1))

    def compact(self, crops: PersonBatch, most: int) -> PersonBatch:
        """At most ``most`` points of each row, thinned as the runtime does, real ones first."""
        order = evenly(crops.points, crops.mask, most, self.generator)
        mask, places = crops.mask.gather(1, order), order[..., None].expand(-1, -1, 3)
        return replace(
            crops,
            points=crops.points.gather(1, places) * mask[..., None],
            mask=mask,
            parts=crops.required("parts").gather(1, order),
            flow=None if crops.flow is None else crops.flow.gather(1, places),
        )


def on_person(people: PersonBatch) -> Int64[Tensor, "*b"]:
    """Points of each row on its person: body and clothes, not what surrounds it."""
    return (people.mask & (people.required("parts") != BACKGROUND)).sum(-1)


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
