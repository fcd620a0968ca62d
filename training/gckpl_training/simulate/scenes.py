"""Whole scenes for a person detector: streets, squares, rooms with people and what is taken for them.

    python -m gckpl_training.simulate.scenes --out DIR --split train --shards 60 --mocap FILE [FILE ...]

A scene is made of its split, seed and index alone, and scanned from two places. Splits share neither seeds nor subjects
of the motion capture nor sensors nor sizes of things; "val" and "test" show kinds of things that "train" never has.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal, NamedTuple

import numpy as np
import torch
import tyro
from jaxtyping import Float, Float32, Int16, Int64
from torch import Tensor

from gckpl_ros.body.angles import COLUMN, pose_from_angles, turn
from gckpl_ros.body.body import Posed, ground, load_body, move
from gckpl_ros.body.kinematics import JOINT, mirror_pose
from gckpl_ros.files import save_arrays
from gckpl_ros.geometry import facing, turned
from gckpl_ros.skeleton import INDEX, PARTS
from gckpl_training.lidar import Sensor, mixed_pixels, scan, sensor, sensor_noise
from gckpl_training.motion.files import read_mocap
from gckpl_training.motion.library import MotionLibrary, sample_activity
from gckpl_training.scene import Wardrobe, sample_outfit
from gckpl_training.scene import things as t
from gckpl_training.scene.plan import Ground, Plan, before, beside, carrier, clutter, outdoors, room, seat
from gckpl_training.scene.solids import Draw, Solid, joined
from gckpl_training.simulate.varied import VariedPoses, lay_down, varied_sensor

SHARD: Final = 64
VIEWS: Final = 2
POINT_M: Final = 1 / 500
RANGE_M: Final = 30.0
SPLITS: Final = {"train": 1, "val": 2, "test": 3}
NOBODY: Final = -1
POSTURES: Final = (
    *("standing", "walking", "gesturing", "captured", "sitting", "crouching", "kneeling", "bending", "crawling"),
    "lying",
)
CHANCES: Final = np.array([0.15, 0.18, 0.08, 0.2, 0.11, 0.05, 0.03, 0.05, 0.06, 0.09])
GESTURES: Final = ("telephoning", "carrying", "pushing", "waving", "pointing", "free")
CART: Final = 12  # faces of the last of the wardrobe's things, which is pushed, not worn

Split = Literal["train", "val", "test"]


class SceneScan(NamedTuple):
    """One scan in the sensor's own, slightly tilted frame (m), with what is known of its p people."""

    points: Float32[np.ndarray, "n 3"]
    owner: Int16[np.ndarray, " n"]
    boxes: Float32[np.ndarray, "p 7"]
    returns: Int64[np.ndarray, " p"]
    postures: Int64[np.ndarray, " p"]
    sensor: str


class Crowd(NamedTuple):
    """People who stand: their dressed meshes, boxes in the scene's frame and postures."""

    vertices: Float[Tensor, "p v 3"]
    boxes: Float[Tensor, "p 7"]
    postures: Int64[np.ndarray, " p"]


class SceneSource:
    """Scenes of one split."""

    def __init__(self, split: Split, mocap: tuple[Path, ...], seed: int = 0) -> None:
        """Without motion capture all poses are procedural; raises InputError for a file that is none."""
        part = "train" if split == "train" else "val"
        clips = [clip for file in mocap for clip in read_mocap(file) if clip.split == part]
        self.split, self.seed = split, seed
        self.body = load_body()
        self.wardrobe = Wardrobe(self.body)
        self.poses = VariedPoses(MotionLibrary(clips) if clips else None, self.body)
        self._seat = torch.isin(self.body.parts, torch.tensor([PARTS.index("left_hip"), PARTS.index("right_hip")]))

    def scene(self, index: int) -> list[SceneScan]:
        """Scene number ``index``, scanned from VIEWS places."""
        rng = np.random.default_rng([SPLITS[self.split], self.seed, index])
        g = torch.Generator().manual_seed(int(rng.integers(2**62)))
        inside = rng.random() < 0.2
        places = [(float(x), float(y)) for x, y in rng.uniform(-1.5, 1.5, (VIEWS, 2))]
        plan = Plan(rng, Ground(rng, level=inside), self.split != "train")
        for x, y in places:
            plan.take(x, y, 0.8)
        reach = room(plan) if inside else outdoors(plan)
        crowd = self._people(plan, g, reach)
        clutter(plan, inside, reach)
        return [self._scan(plan, crowd, place, rng, g) for place in places]

    def _people(self, plan: Plan, g: torch.Generator, reach: float) -> Crowd:
        rng = plan.rng
        count = int(rng.integers(5, 15)) if reach > 12 else int(rng.integers(4, 10))
        kinds = rng.choice(len(POSTURES), count, p=CHANCES)
        pose = turn(self._posed(kinds, g), 2 * math.pi * torch.rand(count, generator=g))
        betas = self.body.sample_betas(count, g)
        outfit = sample_outfit(count, g)
        held = outfit.sizes.clone()
        low = torch.from_numpy(kinds >= POSTURES.index("sitting"))
        held[low] = 0  # who sits or lies carries nothing: things would sink into seats and ground
        posed = ground(self.body(betas, pose, torch.zeros(count, 3)))
        posed = move(posed, -posed.joints[:, 0] * torch.tensor([1.0, 1.0, 0.0]))
        posed, at = self._stand(plan, posed, kinds, reach)
        meshes = self.wardrobe(posed, replace(outfit, sizes=held))
        for row in range(count):
            self._belongings(plan, posed.rows(torch.tensor([row])), POSTURES[kinds[row]], at[row])
        worn = meshes.vertices[:, : self.wardrobe.vertices_worn]
        return Crowd(meshes.vertices, _boxes(posed, worn), kinds)

    def _posed(self, kinds: Int64[np.ndarray, " p"], g: torch.Generator) -> Float[Tensor, "p 22 3 3"]:
        """Poses that look along x; captured ones look anywhere."""
        names = [POSTURES[kind] for kind in kinds]
        gestures = torch.randint(len(GESTURES), (len(names),), generator=g).tolist()
        lying = torch.tensor([name == "lying" for name in names])
        relaxed = (torch.rand(len(names), generator=g) < 0.4).tolist()
        recorded = torch.tensor(
            [name == "captured" or (name == "lying" and one) for name, one in zip(names, relaxed, strict=True)]
        )
        angles = torch.cat([_angles(name, GESTURES[choice], g) for name, choice in zip(names, gestures, strict=True)])
        pose = torch.where(recorded[:, None, None, None], self.poses.captured(len(names), g), pose_from_angles(angles))
        pose = torch.where(lying[:, None, None, None], lay_down(pose, g), pose)
        flip = torch.rand(len(pose), 1, 1, 1, generator=g) < 0.5
        return torch.where(flip, mirror_pose(pose), pose)

    def _stand(
        self, plan: Plan, posed: Posed, kinds: Int64[np.ndarray, " p"], reach: float
    ) -> tuple[Posed, list[tuple[float, float]]]:
        """Each person somewhere free; some of them side by side in groups, some beside a thing."""
        rng, at = plan.rng, [(0.0, 0.0)] * len(kinds)
        waiting = list(range(len(kinds)))
        while waiting:
            upright = [row for row in waiting if kinds[row] < POSTURES.index("sitting")]
            group = [waiting[0]]
            if upright and waiting[0] == upright[0] and rng.random() < 0.3:
                group = upright[: int(rng.integers(2, 6))]
            waiting = [row for row in waiting if row not in group]
            spacing, along = rng.uniform(0.45, 0.7), rng.uniform(0, 2 * math.pi)
            radius = 0.25 + spacing * (len(group) - 1) / 2 if kinds[group[0]] < 4 else 0.7
            x, y = self._place(plan, radius, reach)
            for number, row in enumerate(group):
                off = spacing * (number - (len(group) - 1) / 2)
                side = rng.normal(0, 0.1) if len(group) > 1 else 0.0
                at[row] = (
                    x + off * math.cos(along) - side * math.sin(along),
                    y + off * math.sin(along) + side * math.cos(along),
                )
                plan.take(*at[row], 0.25 if kinds[row] < 4 else 0.6)
            if rng.random() < 0.35:
                beside(plan, x, y, radius)
            elif rng.random() < 0.2:
                before(plan, x, y, radius)
        lift = [plan.ground.height(*place) for place in at]
        shift = torch.tensor([[*place, up] for place, up in zip(at, lift, strict=True)], dtype=torch.float32)
        return move(posed, shift), at

    def _place(self, plan: Plan, radius: float, reach: float) -> tuple[float, float]:
        rng, far, hidden = plan.rng, min(reach, 26.0), plan.rng.random() < 0.06
        for _ in range(80):
            distance, bearing = 1.0 + radius + (far - 1) * rng.random() ** 1.2, rng.uniform(0, 2 * math.pi)
            x, y = distance * math.cos(bearing), distance * math.sin(bearing)
            if plan.free(x, y, radius) and distance < far and (hidden or plan.in_sight(x, y)):
                break
        return x, y

    def _belongings(self, plan: Plan, one: Posed, posture: str, at: tuple[float, float]) -> None:
        """Seats, wheelchairs, prams, bicycles, umbrellas, luggage: they stand with people but are not theirs."""
        rng = plan.rng
        yaw = float(_heading(one)[0])
        floor, forward = plan.ground.height(*at), (math.cos(yaw), math.sin(yaw))

        def put(solid: Solid, ahead: float, left: float, z: float = floor, turn_: float = 0.0) -> None:
            x = at[0] + ahead * forward[0] - left * forward[1]
            y = at[1] + ahead * forward[1] + left * forward[0]
            plan.solids.append(solid.placed(x, y, z, yaw + turn_))
            plan.take(x, y, 0.4)

        if posture == "sitting":
            height = float(one.vertices[0, self._seat, 2].amin()) - floor + 0.03
            if height > 0.12:
                put(seat(rng, height), rng.uniform(-0.05, 0.1), 0.0)
        elif posture in ("standing", "walking", "gesturing"):
            kind = rng.random()
            hand = one.joints[0, JOINT["left_wrist" if rng.random() < 0.5 else "right_wrist"]]
            if kind < 0.06:
                put(t.pram(rng), rng.uniform(0.3, 0.5), 0.0)
            elif kind < 0.11:
                put(t.bicycle(rng), rng.uniform(0, 0.3), rng.choice([-1, 1]) * rng.uniform(0.35, 0.55))
            elif kind < 0.16:
                put(t.trolley(rng), rng.uniform(0.3, 0.5), 0.0)
            elif kind < 0.2:
                put(t.suitcase(rng), -rng.uniform(0.35, 0.7), rng.uniform(-0.3, 0.3))
            elif kind < 0.25:
                head = one.keypoints[0, INDEX["head_center"]]
                x, y, _ = (0.6 * head + 0.4 * hand).tolist()
                plan.solids.append(t.umbrella(rng).placed(x, y, float(head[2]) - 0.35))
            elif kind < 0.28:
                put(t.animal(rng), rng.uniform(-0.5, 0.8), rng.choice([-1, 1]) * rng.uniform(0.5, 0.9))

    def _scan(self, plan: Plan, crowd: Crowd, place: tuple[float, float], rng: Draw, g: torch.Generator) -> SceneScan:
        model = _sensor(self.split, rng, g)
        solids = [plan.ground.solid, *plan.solids]
        if rng.random() < 0.3:
            solids.append(carrier(plan.ground, place, model.mount_height_m, rng))
        static = joined(*solids)
        people = len(crowd.vertices)
        own = self.wardrobe.faces
        start = len(static.vertices) + crowd.vertices.shape[1] * torch.arange(people)[:, None, None]
        faces = torch.cat([torch.from_numpy(static.faces), (own + start).flatten(0, 1)])
        owner = torch.full((len(static.faces) + people * len(own),), NOBODY)
        theirs = torch.arange(people).repeat_interleave(len(own)).view(people, -1)
        theirs[:, len(own) - CART :] = NOBODY
        owner[len(static.faces) :] = theirs.flatten()

        origin = torch.tensor([*place, plan.ground.height(*place) + model.mount_height_m])
        vertices = torch.cat([torch.from_numpy(static.vertices), crowd.vertices.flatten(0, 1)]) - origin
        yaw = torch.tensor(rng.uniform(-math.pi, math.pi)).float()
        tilt = _tilt(rng)
        vertices = turned(vertices, -yaw) @ tilt.T
        near = vertices[:, :2].square().sum(1) < (RANGE_M + 4) ** 2
        faces_near = near[faces].any(1)
        kept = faces_near.nonzero()[:, 0]
        returns = scan(vertices[None], faces[kept], model, time_s=rng.uniform(0, 100), cull=True, generator=g)
        if model.directions is None and rng.random() < 0.7:
            returns = mixed_pixels(returns, model, rng.uniform(0, 0.5), rng.uniform(0.1, 0.8), g)
        returns = sensor_noise(returns, model, g)
        face = kept[returns.face[0]]
        points, whose = returns.points[0], owner[face]
        sigma = torch.where(whose >= 0, rng.uniform(0.0, 0.03), 0.0)
        points = points + sigma[:, None] * torch.randn(points.shape, generator=g)
        if rng.random() < 0.3:  # grass and gravel
            points[:, 2] += (
                (face < len(plan.ground.solid.faces)) * rng.uniform(0, 0.06) * torch.rand(len(points), generator=g)
            )
        seen = points[:, :2].norm(dim=1) < RANGE_M
        points, whose = points[seen], whose[seen]
        boxes = crowd.boxes.clone()
        boxes[:, :3] = turned(boxes[:, :3] - origin, -yaw) @ tilt.T
        boxes[:, 6] = torch.remainder(boxes[:, 6] - yaw + math.pi, 2 * math.pi) - math.pi
        return SceneScan(
            points.numpy(),
            whose.short().numpy(),
            boxes.numpy(),
            torch.bincount(whose[whose >= 0], minlength=people).numpy(),
            crowd.postures,
            model.name,
        )


def _heading(posed: Posed) -> Float[Tensor, " p"]:
    """Where each person looks; along the body where the hips lie one above the other."""
    hips = posed.keypoints[:, INDEX["left_hip"]] - posed.keypoints[:, INDEX["right_hip"]]
    trunk = posed.joints[:, JOINT["neck"]] - posed.joints[:, 0]
    level = hips[:, :2].norm(dim=1) > 0.6 * hips.norm(dim=1)
    return torch.where(level, facing(hips), torch.atan2(trunk[:, 1], trunk[:, 0]))


def _boxes(posed: Posed, worn: Float[Tensor, "p w 3"]) -> Float[Tensor, "p 7"]:
    """The smallest upright box along the heading that holds body and clothes."""
    yaw = _heading(posed)
    local = turned(worn, -yaw)
    low, high = local.amin(1), local.amax(1)
    return torch.cat([turned((low + high) / 2, yaw), high - low, yaw[:, None]], 1)


def _angles(posture: str, gesture: str, g: torch.Generator) -> Float[Tensor, "1 a"]:
    """Joint angles of a posture; for captured ones those of somebody who stands."""
    if posture == "crawling":
        return _crawling(g)
    if posture == "lying":
        standing, free = (sample_activity(name, 1, g) for name in ("standing", "free"))
        return torch.lerp(standing, free, 0.6 * float(torch.rand(1, generator=g)))
    return sample_activity({"gesturing": gesture, "captured": "standing"}.get(posture, posture), 1, g)


def _crawling(g: torch.Generator) -> Float[Tensor, "1 a"]:
    """On hands and knees."""
    angles = sample_activity("kneeling", 1, g)

    def between(low: float | int, high: float | int) -> float:
        return low + (high - low) * float(torch.rand(1, generator=g))

    angles[:, COLUMN["pitch"]], angles[:, COLUMN["spine_bend"]] = between(72, 95), between(-5, 15)
    angles[:, COLUMN["head_nod"]] = between(-40, 10)
    for side in ("left", "right"):
        angles[:, COLUMN[f"{side}_hip_flex"]], angles[:, COLUMN[f"{side}_knee"]] = between(-15, 30), between(75, 110)
        angles[:, COLUMN[f"{side}_ankle"]] = between(-38, 0)
        angles[:, COLUMN[f"{side}_arm_swing"]], angles[:, COLUMN[f"{side}_elbow"]] = between(65, 110), between(0, 30)
    return angles


def _tilt(rng: Draw) -> Float[Tensor, "3 3"]:
    """Roll and pitch of up to 3 degrees."""
    roll, pitch = np.radians(rng.uniform(-3, 3, 2) * rng.random())
    about_x = np.array([[1, 0, 0], [0, math.cos(roll), -math.sin(roll)], [0, math.sin(roll), math.cos(roll)]])
    about_y = np.array([[math.cos(pitch), 0, math.sin(pitch)], [0, 1, 0], [-math.sin(pitch), 0, math.cos(pitch)]])
    return torch.from_numpy(about_x @ about_y).float()


def _sensor(split: Split, rng: Draw, g: torch.Generator) -> Sensor:
    """Training's sensors, or those that it never has: a 32-beam spinner, and 40 beams in a pattern of their own."""
    if split == "train":
        model = varied_sensor(g) if rng.random() < 0.93 else sensor("mid360")
        sigma = min(max(model.range_sigma_m, rng.uniform(0.005, 0.03)), 0.03)
        return replace(model, range_sigma_m=sigma)
    height = rng.uniform(0.4, 2.2)
    if rng.random() < 0.5:
        return replace(sensor("spinner32"), mount_height_m=height)
    low, high = np.linspace(-31, -7, 15), np.linspace(-6.2, 16, 25)
    wavy = np.sort(np.concatenate([low, high]) + 0.25 * np.sin(np.arange(40) * 2.4))
    return Sensor("wavy40", 1450, tuple(wavy.tolist()), None, 0.018, 0.4, 100.0, 0.05, height)


def save_shard(path: Path, scans: list[SceneScan]) -> None:
    """Write scans whole or not at all: points as int16 (2 mm), people with their boxes, owners of the points."""
    points = np.concatenate([each.points for each in scans])
    save_arrays(
        path,
        points_2mm=np.clip(np.rint(points / POINT_M), -32767, 32767).astype(np.int16),
        frame_start=np.cumsum([0, *(len(each.points) for each in scans)]),
        owner=np.concatenate([each.owner for each in scans]),
        boxes=np.concatenate([each.boxes for each in scans]),
        box_start=np.cumsum([0, *(len(each.boxes) for each in scans)]),
        returns=np.concatenate([each.returns for each in scans]).astype(np.int32),
        posture=np.concatenate([each.postures for each in scans]).astype(np.int8),
        posture_names=np.array(POSTURES),
        sensor=np.array([each.sensor for each in scans]),
    )


def load_scans(path: Path) -> Iterator[SceneScan]:
    """The scans of a shard."""
    with np.load(path) as file:
        shard = {name: file[name] for name in file.files}
    for frame, name in enumerate(shard["sensor"]):
        near = slice(*shard["frame_start"][frame : frame + 2])
        rows = slice(*shard["box_start"][frame : frame + 2])
        points = shard["points_2mm"][near].astype(np.float32) * np.float32(POINT_M)
        returns, posture = shard["returns"][rows].astype(np.int64), shard["posture"][rows].astype(np.int64)
        yield SceneScan(points, shard["owner"][near], shard["boxes"][rows], returns, posture, str(name))


@dataclass(frozen=True)
class Shards:
    """Make the shards that are not there yet; shard n is the same whoever makes it."""

    out: Path
    mocap: tuple[Path, ...] = ()
    """Packed motion capture; of all files the split's subjects. None: procedural poses only."""
    split: Split = "train"
    shards: int = 60
    seed: int = 0
    worker: int = 0
    workers: int = 1


def main(settings: Shards) -> None:
    """Make this worker's share of the shards."""
    torch.set_num_threads(1)
    source = SceneSource(settings.split, settings.mocap, settings.seed)
    scenes = SHARD // VIEWS
    for shard in range(settings.worker, settings.shards, settings.workers):
        path = settings.out / f"{shard:04d}.npz"
        if not path.exists():
            save_shard(path, [one for index in range(scenes) for one in source.scene(shard * scenes + index)])


if __name__ == "__main__":
    main(tyro.cli(Shards))
