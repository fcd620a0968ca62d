"""People who pass a moving sensor, simulated: tracklets with truth.

Dressed, carrying, among things that hide them; boxes that err as a detector's do, and frames that it misses. Labels
serve to train a teacher, to measure, and to fine-tune on a few.
"""

from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Tensor

from gckpl_ros.batch import PersonBatch
from gckpl_ros.body.angles import turn
from gckpl_ros.body.body import Posed, ground, load_body, move
from gckpl_ros.body.kinematics import mirror_pose, mirror_translation
from gckpl_ros.geometry import in_box, turned
from gckpl_ros.people.thinning import evenly
from gckpl_ros.skeleton import BACKGROUND
from gckpl_training.lidar import scan, sensor
from gckpl_training.lidar.effects import planar_pose, sensor_noise
from gckpl_training.motion.library import Motions, ProceduralMotions
from gckpl_training.scene import Scene, Wardrobe, sample_outfit
from gckpl_training.simulate import augment
from gckpl_training.simulate.crops import MOST_RETURNS, CropConfig, detector_boxes

ROWS = 32
TURNS_RAD_S = 0.3


@dataclass(frozen=True)
class PasserConfig:
    """How people are seen. Chances in 0..1."""

    sensors: tuple[str, ...] = ("waymo_top", "spinner64", "spinner16", "os1_128")
    frames: int = 10
    frame_s: float = 0.1
    seen_frames: int = 6
    """People whom the detector and the sensor give fewer frames than this are left out."""
    sensor_m_s: float = 5.0
    """The sensor drives at up to this speed, and turns at up to 0.3 rad/s; at 0 it stands still."""
    box_bias_m: float = 0.05
    """Standard deviation of what a box is off by all the time, beside its error in each frame."""
    missed: float = 0.05
    crops: CropConfig = field(default_factory=CropConfig)


def labelled_crops(people: PersonBatch) -> PersonBatch:
    """All frames with points of labelled tracklets, as labelled crops."""
    frames = people.flat()
    return frames.rows(frames.seen)


class PasserSource:
    """A seeded source of people who pass one of the sensors, moving as ``motions`` says (None: procedurally)."""

    def __init__(self, config: PasserConfig, seed: int, motions: Motions | None = None) -> None:
        self.config = config
        self.generator = torch.Generator().manual_seed(seed)
        self.body = load_body()
        self.wardrobe = Wardrobe(self.body)
        self.motions: Motions = motions or ProceduralMotions()
        self.sensor = sensor(config.sensors[0])

    def draw(self, people: int) -> PersonBatch:
        """Tracklets with truth of ``people`` people who are seen often enough, in equal shares by each sensor."""
        parts: list[PersonBatch] = []
        for share, name in enumerate(self.config.sensors, 1):
            self.sensor = sensor(name)
            while sum(map(len, parts)) < people * share // len(self.config.sensors):
                parts.append(self._scan(ROWS))
        return PersonBatch.join(parts).rows(torch.randperm(sum(map(len, parts)), generator=self.generator)[:people])

    def _scan(self, n: int) -> PersonBatch:
        """Walk n people past the sensor; those who are seen too rarely are left out."""
        scenes, (yaw, position) = self._scenes(n), self._drive(n)
        bias = self.config.box_bias_m * self._randn(n, 3)
        people = PersonBatch.stack([self._frame(s, yaw[:, t], position[:, t], bias) for t, s in enumerate(scenes)])
        origins, dt_s = people.required("origins"), torch.full((n, self.config.frames), self.config.frame_s)
        dt_s[:, 0] = 0
        people = replace(people, origins=origins - origins[:, :1], dt_s=dt_s)
        return people.rows((people.seen.sum(1) >= self.config.seen_frames).nonzero()[:, 0])

    def _scenes(self, n: int) -> list[Scene]:
        """The same dressed people in the same surroundings at all times, around a sensor at the origin."""
        g, config, betas = self.generator, self.config, self.body.sample_betas(n, self.generator)
        outfit = sample_outfit(n, g)
        posed = [self._stand(self.body(betas, *motion)) for motion in self._motions(n)]
        middle = len(posed) // 2
        low, high = (torch.tensor(value).log() for value in config.crops.range_m)
        distance = (low + (high - low) * self._rand(n)).exp()
        meshes = self.wardrobe(posed[middle], outfit)
        scene = config.crops.surroundings(meshes, posed[middle], distance, self.sensor.mount_height_m, g)
        return [scene.again(self.wardrobe(one, outfit), one) for one in posed]

    def _stand(self, posed: Posed) -> Posed:
        """Captured motion has its height; other poses are put on the ground."""
        return posed if self.motions.on_ground else ground(posed)

    def _motions(self, n: int) -> list[tuple[Tensor, Tensor]]:
        """Poses and pelvis positions over time: half of the people mirrored, each with any heading."""
        config, g = self.config, self.generator
        flip, heading = self._rand(n) < 0.5, 2 * torch.pi * self._rand(n)
        motions = []
        for pose, place in self.motions.sample_sequences(n, config.frames, config.frame_s, g):
            pose = torch.where(flip[:, None, None, None], mirror_pose(pose), pose)
            place = torch.where(flip[:, None], mirror_translation(place), place)
            motions.append((turn(pose, heading), turned(place, heading)))
        return motions

    def _drive(self, n: int) -> tuple[Float[Tensor, "b t"], Float[Tensor, "b t 3"]]:
        """Yaw (rad) and position (m) of each person's sensor, at the origin in the middle of the time."""
        times = (torch.arange(self.config.frames) - self.config.frames // 2) * self.config.frame_s
        speed, rate = self.config.sensor_m_s * self._rand(n), TURNS_RAD_S * (2 * self._rand(n) - 1)
        rate = rate * (self.config.sensor_m_s > 0)
        heading = 2 * torch.pi * self._rand(n)
        poses = [
            planar_pose(times, torch.stack([s * h.cos(), s * h.sin(), torch.zeros(())]), float(r))
            for s, r, h in zip(speed, rate, heading, strict=True)
        ]
        yaw, position = (torch.stack(values) for values in zip(*poses, strict=True))
        return yaw, position

    def _frame(
        self, scene: Scene, yaw: Float[Tensor, " b"], position: Float[Tensor, "b 3"], bias: Float[Tensor, "b 3"]
    ) -> PersonBatch:
        """One crop of each person in fixed axes, its origin in the fixed frame."""
        g, crops = self.generator, self.config.crops
        seen = turned(scene.meshes.vertices - position[:, None], -yaw)
        posed = _in_sensor(scene.posed, yaw, position)
        cull = torch.arange(len(scene.meshes.faces)) < len(self.body.faces)
        returns = scan(seen, scene.meshes.faces, self.sensor, cull=cull, generator=g)
        center, size, box_yaw = detector_boxes(posed, g, crops.box_shift_m)
        center = center + bias
        within = in_box(returns.points - center[:, None], size + 2 * crops.margin_m, box_yaw)
        returns = sensor_noise(returns.keep(within).subset(MOST_RETURNS, g), self.sensor, g)
        local = augment.jitter(returns.points - center[:, None], g, crops.jitter_m)
        order = evenly(local, returns.mask, crops.max_points, g)
        mask, labels = returns.mask.gather(1, order), scene.meshes.labels[returns.face].gather(1, order)
        enough = ((mask & (labels != BACKGROUND)).sum(1) >= crops.min_points) & (
            self._rand(len(mask)) >= self.config.missed
        )
        mask = mask & enough[:, None]
        points = local.gather(1, order[..., None].expand(-1, -1, 3)) * mask[..., None]
        local, keypoints, view = (turned(value, yaw) for value in (points, posed.keypoints - center[:, None], center))
        return PersonBatch(
            local,
            mask,
            views=view,
            origins=view + position,
            counts=mask.sum(1),
            parts=labels,
            keypoints=keypoints,
        )

    def _rand(self, *shape: int) -> Tensor:
        return torch.rand(*shape, generator=self.generator)

    def _randn(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self.generator)


def _in_sensor(posed: Posed, yaw: Float[Tensor, " b"], position: Float[Tensor, "b 3"]) -> Posed:
    shifted = move(posed, -position)
    return Posed(*(turned(value, -yaw) for value in (shifted.vertices, shifted.joints, shifted.keypoints)))
