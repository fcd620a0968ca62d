"""Pairs of crops of moving people, simulated: one person scanned twice by one sensor, with the exact flow between."""

from dataclasses import replace

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from gckpl_ros.batch import PersonBatch
from gckpl_ros.body.body import Posed, ground
from gckpl_ros.geometry import in_box
from gckpl_ros.people.thinning import evenly
from gckpl_ros.skeleton import BACKGROUND
from gckpl_training.lidar import Returns, Sensor, scan
from gckpl_training.lidar.effects import sensor_noise
from gckpl_training.lidar.returns import exact_flow
from gckpl_training.motion.procedural import sample_sequence
from gckpl_training.scene import Scene, sample_outfit
from gckpl_training.simulate import augment
from gckpl_training.simulate.crops import MOST_RETURNS, ROWS, CropSource, detector_boxes

# A procedural motion goes from standing to a pose in this many frames, 0.1 s apart, and walks at up to this speed.
MOTION_FRAMES = 16
FRAME_S = 0.1
WALK_M_S = 2.0

Motion = tuple[Float[Tensor, "n 22 3 3"], Float[Tensor, "n 3"]]


class PairSource(CropSource):
    """A CropSource that draws pairs ``dt_s`` seconds apart, with the noise of a sensor and the errors of a detector.

    Motions come from mocap where the configuration names it, otherwise from the procedural sampler. The flow is that of
    the surface point hit, without sensor noise; what stands around does not move. The sensor stands still.
    """

    dt_s: float = 0.1

    def draw_pairs(self, people: int) -> PersonBatch:
        """``people`` pairs (b, 2) with truth and exact flow, each with ``min_points`` returns or more both times.

        Sensors in equal shares.
        """
        parts: list[PersonBatch] = []
        while sum(map(len, parts)) < people:
            for model in self.sensors:
                parts += self.scan_pairs(-(-people // len(self.sensors)), model)
        joined = PersonBatch.join(parts)
        return joined.rows(torch.randperm(len(joined), generator=self.generator, device=self.device)[:people])

    def scan_pairs(self, n: int, model: Sensor) -> list[PersonBatch]:
        """Simulate n moving people before one sensor; those with too few returns at either time are left out."""
        g, pairs = self.generator, []
        scene, later = self._scenes(n, model)
        faces = scene.meshes.faces
        body = torch.arange(len(faces), device=self.device) < len(self.body.faces)
        for rows in torch.arange(n, device=self.device).split(ROWS):
            seen, seen1 = (scan(s.meshes.vertices[rows], faces, model, cull=body, generator=g) for s in (scene, later))
            times = [self._cut(seen, scene, later, rows, model), self._cut(seen1, later, scene, rows, model)]
            pair = PersonBatch.stack(times)
            dt_s = torch.tensor([0.0, self.dt_s], device=self.device).expand(len(pair), 2)
            pair = replace(pair, origins=pair.views - pair.views[:, :1], dt_s=dt_s)
            on_person = (pair.mask & (pair.required("parts") != BACKGROUND)).sum(-1)
            pairs.append(pair.rows((on_person >= self.config.min_points).all(1).nonzero()[:, 0]))
        return pairs

    def motions(self, n: int) -> tuple[Motion, Motion]:
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

    def _scenes(self, n: int, model: Sensor) -> tuple[Scene, Scene]:
        """The same dressed people in the same surroundings at both times, sorted by range."""
        g, betas = self.generator, self.body.sample_betas(n, self.generator)
        posed, posed1 = (self._stand(self.body(betas, *motion)) for motion in self.motions(n))
        outfit = sample_outfit(n, g)
        low, high = (torch.tensor(value, device=self.device).log() for value in self.config.range_m)
        distance = (low + (high - low) * torch.rand(n, generator=g, device=self.device)).exp().sort().values
        scene = self.config.surroundings(self.wardrobe(posed, outfit), posed, distance, model.mount_height_m, g)
        return scene, scene.again(self.wardrobe(posed1, outfit), posed1)

    def _stand(self, posed: Posed) -> Posed:
        """Captured motion has its height; procedural poses are put on the ground."""
        return posed if self.library else ground(posed)

    def _cut(
        self, returns: Returns, here: Scene, there: Scene, rows: Int64[Tensor, " r"], model: Sensor
    ) -> PersonBatch:
        """One crop of each person, as CropSource makes them without augmentation, with its points' exact flow."""
        g, posed = self.generator, here.posed.rows(rows)
        center, size, yaw = detector_boxes(posed, g, self.config.box_shift_m)
        within = in_box(returns.points - center[:, None], size + 2 * self.config.margin_m, yaw)
        returns = sensor_noise(returns.keep(within).subset(MOST_RETURNS, g), model, g)
        flow = exact_flow(returns, here.meshes.vertices[rows], there.meshes.vertices[rows], here.meshes.faces)
        local = augment.jitter(returns.points - center[:, None], g, self.config.jitter_m)
        order = evenly(local, returns.mask, self.config.max_points, g)
        mask, labels = returns.mask.gather(1, order), here.meshes.labels[returns.face].gather(1, order)
        places = order[..., None].expand(-1, -1, 3)
        points = local.gather(1, places) * mask[..., None]
        return PersonBatch(
            points,
            mask,
            views=center,
            counts=returns.mask.sum(1),
            parts=labels,
            keypoints=posed.keypoints - center[:, None],
            flow=flow.gather(1, places),
        )
