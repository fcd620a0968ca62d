"""Pairs of crops of moving people, simulated: one person scanned twice by one sensor, with the exact flow between."""

from dataclasses import dataclass, fields

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from gckpl_ros.body.body import Posed, ground
from gckpl_ros.learn.flow.pairs import Pairs
from gckpl_ros.people.batch import CropBatch
from gckpl_ros.people.thinning import evenly
from gckpl_ros.skeleton import BACKGROUND
from gckpl_training.lidar import Returns, Sensor, scan
from gckpl_training.lidar.effects import sensor_noise
from gckpl_training.lidar.returns import exact_flow
from gckpl_training.motion.procedural import sample_sequence
from gckpl_training.scene import Scene, sample_outfit
from gckpl_training.simulate import augment
from gckpl_training.simulate.crops import MOST_RETURNS, ROWS, CropSource, detector_boxes, inside, pad_sequence_to

# A procedural motion goes from standing to a pose in this many frames, 0.1 s apart, and walks at up to this speed.
MOTION_FRAMES = 16
FRAME_S = 0.1
WALK_M_S = 2.0

Motion = tuple[Float[Tensor, "n 22 3 3"], Float[Tensor, "n 3"]]


@dataclass(frozen=True)
class CropPairs:
    """b people at two times: each crop relative to its own box; ``flow`` (m) of each crop's points to the other time.

    The flow is that of the surface point hit, without sensor noise; what stands around does not move.
    """

    t: CropBatch
    t1: CropBatch
    flow_t: Float[Tensor, "b n 3"]
    flow_t1: Float[Tensor, "b m 3"]

    def __len__(self) -> int:
        return len(self.t)

    @property
    def pairs(self) -> Pairs:
        """Both crops around the first box's centre; the simulated sensor stands still."""
        later = self.t1.points + (self.t1.views - self.t.views)[:, None]
        return Pairs(self.t.points, self.t.mask, later * self.t1.mask[..., None], self.t1.mask)

    def rows(self, index: Tensor) -> "CropPairs":
        """The chosen people, padded no further than they need."""
        t, t1 = self.t.rows(index), self.t1.rows(index)
        flows = self.flow_t[index][:, : t.points.shape[1]], self.flow_t1[index][:, : t1.points.shape[1]]
        return CropPairs(t, t1, *flows)


class PairSource(CropSource):
    """A CropSource that draws pairs ``dt_s`` seconds apart, with the noise of a sensor and the errors of a detector.

    Motions come from mocap where the configuration names it, otherwise from the procedural sampler.
    """

    dt_s: float = 0.1

    def draw_pairs(self, people: int) -> CropPairs:
        """``people`` pairs, each person with ``min_points`` returns or more both times; sensors in equal shares."""
        parts: list[CropPairs] = []
        while sum(map(len, parts)) < people:
            for model in self.sensors:
                parts += self.scan_pairs(-(-people // len(self.sensors)), model)
        joined = _join(parts)
        return joined.rows(torch.randperm(len(joined), generator=self.generator, device=self.device)[:people])

    def scan_pairs(self, n: int, model: Sensor) -> list[CropPairs]:
        """Simulate n moving people before one sensor; those with too few returns at either time are left out."""
        g, pairs = self.generator, []
        scene, later = self._scenes(n, model)
        faces = scene.meshes.faces
        body = torch.arange(len(faces), device=self.device) < len(self.body.faces)
        for rows in torch.arange(n, device=self.device).split(ROWS):
            seen, seen1 = (scan(s.meshes.vertices[rows], faces, model, cull=body, generator=g) for s in (scene, later))
            t, flow = self._cut(seen, scene, later, rows, model)
            t1, flow1 = self._cut(seen1, later, scene, rows, model)
            enough = [(b.mask & (b.labels != BACKGROUND)).sum(1) >= self.config.min_points for b in (t, t1)]
            pairs.append(CropPairs(t, t1, flow, flow1).rows((enough[0] & enough[1]).nonzero()[:, 0]))
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
    ) -> tuple[CropBatch, Float[Tensor, "r n 3"]]:
        """One crop of each person, as CropSource makes them without augmentation, and its points' exact flow."""
        g, posed = self.generator, here.posed.rows(rows)
        center, size, yaw = detector_boxes(posed, g, self.config.box_shift_m)
        within = inside(returns.points - center[:, None], size + 2 * self.config.margin_m, yaw)
        returns = sensor_noise(returns.keep(within).subset(MOST_RETURNS, g), model, g)
        flow = exact_flow(returns, here.meshes.vertices[rows], there.meshes.vertices[rows], here.meshes.faces)
        local = augment.jitter(returns.points - center[:, None], g, self.config.jitter_m)
        order = evenly(local, returns.mask, self.config.max_points, g)
        mask, labels = returns.mask.gather(1, order), here.meshes.labels[returns.face].gather(1, order)
        places = order[..., None].expand(-1, -1, 3)
        points = local.gather(1, places) * mask[..., None]
        batch = CropBatch(points, mask, center, labels, posed.keypoints - center[:, None], returns.mask.sum(1))
        return batch, flow.gather(1, places)


def _join(parts: list[CropPairs]) -> CropPairs:
    """All pairs in one batch, padded to the longest crop."""
    longest = max(part.mask.shape[1] for pairs in parts for part in (pairs.t, pairs.t1))

    def together(name: str) -> Tensor:
        return torch.cat([pad_sequence_to(getattr(pairs, name), longest) for pairs in parts])

    def crops(time: str) -> CropBatch:
        batches = [getattr(pairs, time) for pairs in parts]
        padded = ("points", "mask", "labels")
        columns = {f.name: [getattr(b, f.name) for b in batches] for f in fields(CropBatch)}
        return CropBatch(
            **{
                name: torch.cat([pad_sequence_to(v, longest) for v in values] if name in padded else values)
                for name, values in columns.items()
            }
        )

    return CropPairs(crops("t"), crops("t1"), together("flow_t"), together("flow_t1"))
