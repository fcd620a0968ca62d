"""Simulated people, labelled: crops (one frame, augmented), pairs (two, with the exact flow), passers (many frames).

All are made by the steps of ``PersonMaker``. Passers meet a moving sensor, and a detector that misses frames and whose
boxes are off in one direction all the time: they serve to train a teacher, to measure, and to fine-tune on a few.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from gckpl_ros.batch import PersonBatch
from gckpl_ros.body.angles import turn
from gckpl_ros.body.body import Posed, move
from gckpl_ros.body.kinematics import mirror_pose, mirror_translation
from gckpl_ros.errors import InputError
from gckpl_ros.geometry import turned
from gckpl_training.lidar import Returns, Sensor, sensor
from gckpl_training.lidar.returns import exact_flow, planar_pose
from gckpl_training.motion.files import read_mocap
from gckpl_training.motion.library import (
    MotionLibrary,
    Motions,
    Poses,
    ProceduralMotions,
    sample_poses,
    sample_sequence,
)
from gckpl_training.scene import Scene, sample_outfit
from gckpl_training.simulate.maker import CropConfig, PersonMaker, on_person

# So many people of like range are scanned at a time: like counts, little padding. Passers come by this many.
ROWS = 64
PASSERS = 32
# A procedural motion of a pair goes from standing to a pose in this many frames, and walks at up to this speed.
MOTION_FRAMES = 16
FRAME_S = 0.1
WALK_M_S = 2.0
# A moving sensor turns at up to this rate.
TURNS_RAD_S = 0.3
# Nobody after so many rounds: the sensors cannot see anybody.
PATIENCE = 20


class CropSource(PersonMaker):
    """An endless, seeded source of crops of one split ("train" or "val": other people's motions, other sensors)."""

    def __init__(self, config: CropConfig, seed: int, device: torch.device, split: str) -> None:
        super().__init__(seed, device)
        self.config, self.training = config, split == "train"
        self.views = config.views if self.training else 1
        names = config.sensors if self.training else config.validation_sensors
        self.sensors = [sensor(name) for name in names]
        clips = read_mocap(config.mocap, split) if config.mocap else []
        self.library = MotionLibrary(clips, device) if clips else None

    def draw(self, people: int, difficulty: float = 1.0) -> PersonBatch:
        """``people`` crops with at least ``min_points`` returns, sensors in equal shares.

        Raises InputError when the sensors see nobody at the ranges of the configuration.
        """
        config, rounds = self.config.eased(difficulty), 0
        parts: list[PersonBatch] = []
        while sum(map(len, parts)) < people:
            for model in self.sensors:
                parts += self.scan_people(-(-people // len(self.sensors)), model, config)
            rounds = _patient(rounds, parts)
        found = PersonBatch.join(parts)
        chosen = torch.randperm(len(found), generator=self.generator, device=self.device)[:people]
        return anywhere(found.rows(chosen), self.generator)

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
        betas = self.body.sample_betas(n, self.generator)
        posed = self.stand(betas, (self.poses(n), torch.zeros(n, 3, device=self.device)), on_ground=False)
        outfit, distance = sample_outfit(n, self.generator), self.ranges(n, config).sort().values
        (scene,) = self.place([posed], outfit, distance, model, config)
        crops = []
        for rows in torch.arange(n, device=self.device).split(ROWS):
            returns = self.scan(scene.meshes.vertices[rows], scene.meshes.faces, model)
            for _ in range(self.views):
                boxed = self.box(returns, scene.posed.rows(rows), scene.meshes.labels, model, config)
                crop = self.augment(boxed, model, config) if self.training else boxed.crops
                enough = on_person(crop) >= config.min_points
                crops.append(self.compact(crop, config.max_points).rows(enough))
        return crops


class PairSource(CropSource):
    """A CropSource that draws pairs ``dt_s`` seconds apart, with the noise of a sensor and the errors of a detector.

    Motions come from mocap where the configuration names it, otherwise from the procedural sampler. The flow is that of
    the surface point hit, without sensor noise; what stands around does not move. The sensor stands still.
    """

    dt_s: float = 0.1

    def draw_pairs(self, people: int) -> PersonBatch:
        """``people`` pairs (b, 2) with truth and exact flow, each with ``min_points`` returns or more both times.

        Sensors in equal shares. Raises InputError when they see nobody at the ranges of the configuration.
        """
        parts: list[PersonBatch] = []
        rounds = 0
        while sum(map(len, parts)) < people:
            for model in self.sensors:
                parts += self.scan_pairs(-(-people // len(self.sensors)), model)
            rounds = _patient(rounds, parts)
        joined = PersonBatch.join(parts)
        return joined.rows(torch.randperm(len(joined), generator=self.generator, device=self.device)[:people])

    def scan_pairs(self, n: int, model: Sensor) -> list[PersonBatch]:
        """Simulate n moving people before one sensor; those with too few returns at either time are left out."""
        betas = self.body.sample_betas(n, self.generator)
        posed = [self.stand(betas, motion, on_ground=self.library is not None) for motion in self.motions(n)]
        outfit, distance = sample_outfit(n, self.generator), self.ranges(n, self.config).sort().values
        now, later = self.place(posed, outfit, distance, model, self.config)
        faces, pairs = now.meshes.faces, []
        for rows in torch.arange(n, device=self.device).split(ROWS):
            returns = [self.scan(scene.meshes.vertices[rows], faces, model) for scene in (now, later)]
            ways = zip(returns, ((now, later), (later, now)), strict=True)
            pair = PersonBatch.stack([self._crop(seen, here, there, rows, model) for seen, (here, there) in ways])
            dt_s = torch.tensor([0.0, self.dt_s], device=self.device).expand(len(pair), 2)
            pair = replace(pair, origins=pair.views - pair.views[:, :1], dt_s=dt_s)
            pairs.append(pair.rows((on_person(pair) >= self.config.min_points).all(1)))
        return pairs

    def motions(self, n: int) -> tuple[Poses, Poses]:
        """Pose and pelvis position of n people at two times."""
        g, device = self.generator, self.device
        if self.library:
            return self.library.sample_pairs(n, self.dt_s, g)
        sequence = sample_sequence(n, MOTION_FRAMES, g, device)
        every = max(1, round(self.dt_s / FRAME_S))
        at = torch.randint(MOTION_FRAMES - every, (n,), generator=g, device=device)
        people = torch.arange(n, device=device)
        angle, share = torch.rand(2, n, 1, generator=g, device=device)
        direction = torch.cat([(2 * torch.pi * angle).cos(), (2 * torch.pi * angle).sin(), torch.zeros_like(angle)], 1)
        step = WALK_M_S * self.dt_s * share * direction
        return (sequence[people, at], torch.zeros_like(step)), (sequence[people, at + every], step)

    def _crop(
        self, returns: Returns, here: Scene, there: Scene, rows: Int64[Tensor, " r"], model: Sensor
    ) -> PersonBatch:
        boxed = self.box(returns, here.posed.rows(rows), here.meshes.labels, model, self.config)
        flow = exact_flow(boxed.returns, here.meshes.vertices[rows], there.meshes.vertices[rows], here.meshes.faces)
        return self.compact(replace(boxed.crops, flow=flow), self.config.max_points)


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
        self.config, self.maker = config, PersonMaker(seed, torch.device("cpu"))
        self.motions: Motions = motions or ProceduralMotions()

    def draw(self, people: int) -> PersonBatch:
        """Tracklets with truth of ``people`` people who are seen often enough, in equal shares by each sensor.

        Raises InputError when a sensor sees nobody at the ranges of the configuration.
        """
        parts: list[PersonBatch] = []
        for share, name in enumerate(self.config.sensors, 1):
            of_sensor, rounds = len(parts), 0
            while sum(map(len, parts)) < people * share // len(self.config.sensors):
                parts.append(self._scan(PASSERS, sensor(name)))
                rounds = _patient(rounds, parts[of_sensor:])
        found = PersonBatch.join(parts)
        return found.rows(torch.randperm(len(found), generator=self.maker.generator)[:people])

    def _scan(self, n: int, model: Sensor) -> PersonBatch:
        """Walk n people past the sensor; those who are seen too rarely are left out."""
        maker, config = self.maker, self.config
        betas = maker.body.sample_betas(n, maker.generator)
        outfit = sample_outfit(n, maker.generator)
        posed = [maker.stand(betas, motion, self.motions.on_ground) for motion in self._motions(n)]
        distance = maker.ranges(n, config.crops)
        scenes = maker.place(posed, outfit, distance, model, config.crops, at=len(posed) // 2)
        yaw, position = self._drive(n)
        bias = config.box_bias_m * torch.randn(n, 3, generator=maker.generator)
        frames = [self._frame(s, yaw[:, t], position[:, t], bias, model) for t, s in enumerate(scenes)]
        people, dt_s = PersonBatch.stack(frames), torch.full((n, config.frames), config.frame_s)
        origins = people.required("origins")
        dt_s[:, 0] = 0
        people = replace(people, origins=origins - origins[:, :1], dt_s=dt_s)
        return people.rows(people.seen.sum(1) >= config.seen_frames)

    def _motions(self, n: int) -> list[tuple[Tensor, Tensor]]:
        """Poses and pelvis positions over time: half of the people mirrored, each with any heading."""
        config, g = self.config, self.maker.generator
        flip, heading = self.maker.rand(n) < 0.5, 2 * torch.pi * self.maker.rand(n)
        motions = []
        for pose, place in self.motions.sample_sequences(n, config.frames, config.frame_s, g):
            pose = torch.where(flip[:, None, None, None], mirror_pose(pose), pose)
            place = torch.where(flip[:, None], mirror_translation(place), place)
            motions.append((turn(pose, heading), turned(place, heading)))
        return motions

    def _drive(self, n: int) -> tuple[Float[Tensor, "b t"], Float[Tensor, "b t 3"]]:
        """Yaw (rad) and position (m) of each person's sensor, at the origin in the middle of the time."""
        times = (torch.arange(self.config.frames) - self.config.frames // 2) * self.config.frame_s
        speed, rate = self.config.sensor_m_s * self.maker.rand(n), TURNS_RAD_S * (2 * self.maker.rand(n) - 1)
        rate = rate * (self.config.sensor_m_s > 0)
        heading = 2 * torch.pi * self.maker.rand(n)
        poses = [
            planar_pose(times, torch.stack([s * h.cos(), s * h.sin(), torch.zeros(())]), float(r))
            for s, r, h in zip(speed, rate, heading, strict=True)
        ]
        yaw, position = (torch.stack(values) for values in zip(*poses, strict=True))
        return yaw, position

    def _frame(
        self,
        scene: Scene,
        yaw: Float[Tensor, " b"],
        position: Float[Tensor, "b 3"],
        bias_m: Float[Tensor, "b 3"],
        model: Sensor,
    ) -> PersonBatch:
        """One crop of each person in fixed axes, its origin in the fixed frame."""
        maker, config, meshes = self.maker, self.config.crops, scene.meshes
        returns = maker.scan(turned(meshes.vertices - position[:, None], -yaw), meshes.faces, model)
        boxed = maker.box(returns, _in_sensor(scene.posed, yaw, position), meshes.labels, model, config, bias_m)
        crop = maker.compact(boxed.crops, config.max_points)
        seen = (on_person(crop) >= config.min_points) & (maker.rand(len(crop)) >= self.config.missed)
        mask = crop.mask & seen[:, None]
        points, keypoints, view = (
            turned(value, yaw) for value in (crop.points * mask[..., None], crop.required("keypoints"), crop.views)
        )
        origins, counts = view + position, mask.sum(1)
        return replace(crop, points=points, mask=mask, views=view, origins=origins, counts=counts, keypoints=keypoints)


def anywhere(batch: PersonBatch, generator: torch.Generator) -> PersonBatch:
    """Each whole crop at a random bearing around the sensor."""
    yaw = 2 * torch.pi * torch.rand(len(batch), generator=generator, device=batch.points.device)
    points, keypoints = turned(batch.points, -yaw), turned(batch.required("keypoints"), -yaw)
    return replace(batch, points=points, views=turned(batch.views, -yaw), keypoints=keypoints)


def _in_sensor(posed: Posed, yaw: Float[Tensor, " b"], position: Float[Tensor, "b 3"]) -> Posed:
    shifted = move(posed, -position)
    return Posed(*(turned(value, -yaw) for value in (shifted.vertices, shifted.joints, shifted.keypoints)))


def _patient(rounds: int, found: Sequence[PersonBatch]) -> int:
    """One round more; raises InputError when all of many found nobody."""
    if rounds + 1 == PATIENCE and not any(map(len, found)):
        raise InputError("the simulated sensors see nobody: are the ranges (range_m) within their reach?")
    return rounds + 1
