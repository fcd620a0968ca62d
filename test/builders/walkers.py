"""People on foot whose every joint and point is known: for the adapter, which wants movement and several people."""

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from people import STANDING

from gckpl_ros.batch import PersonBatch
from gckpl_ros.skeleton import INDEX, LIMBS
from gckpl_ros.types import Boxes, Cloud, Frame, Sample, Skeletons, Tracks, TrackState

HEIGHT = np.array([0, 0, 0.9])
SENSOR = np.array([0, 0, 1.6])
SWING = {"knee": 0.15, "ankle": 0.35, "elbow": -0.1, "wrist": -0.25}  # m, forward, of the left side


@dataclass(frozen=True)
class Walker:
    """Starts at ``start`` (m, on the ground) in direction ``heading`` (rad) at ``speed`` m/s, one stride a second."""

    start: tuple[float, float]
    heading: float = 0.0
    speed: float = 1.2
    phase: float = 0.0
    seed: int = 0
    swing: float = 1.0
    per_limb: int = 6
    labels: np.ndarray = field(init=False)

    def __post_init__(self):
        object.__setattr__(self, "labels", np.repeat([a for a, _ in LIMBS], self.per_limb))

    def position(self, t):
        way = self.speed * t * np.array([np.cos(self.heading), np.sin(self.heading), 0])
        return np.array([*self.start, 0.0]) + way

    def keypoints(self, t):
        """(14, 3) in the fixed frame, t in s."""
        local = STANDING.astype(np.float64)
        swing = self.swing * np.sin(2 * np.pi * t + self.phase)
        for side, sign in (("left", 1), ("right", -1)):
            for joint, reach in SWING.items():
                local[INDEX[f"{side}_{joint}"], 0] += sign * swing * reach
        c, s = np.cos(self.heading), np.sin(self.heading)
        return local @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]]) + self.position(t)

    def points(self, t):
        """(n, 3) in the fixed frame, around each limb as ``labels`` say; the same places on the body every time."""
        rng, keypoints, points = np.random.default_rng(self.seed), self.keypoints(t), []
        for a, b in LIMBS:
            along, aside = rng.random((self.per_limb, 1)), rng.uniform(-0.06, 0.06, (self.per_limb, 3))
            points.append(keypoints[a] + along * (keypoints[b] - keypoints[a]) + aside)
        return np.concatenate(points)


def crowd(count, seed=0, **given):
    """Walkers from 3 to 18 m away, in all directions."""
    rng = np.random.default_rng(seed)
    people = []
    for i in range(count):
        r, azimuth, heading = rng.uniform(3, 18), *rng.uniform(-np.pi, np.pi, 2)
        drawn = {"heading": heading, "speed": rng.uniform(0.8, 1.6), "phase": rng.uniform(0, 6), "seed": 100 * seed + i}
        people.append(Walker((r * np.cos(azimuth), r * np.sin(azimuth)), **{**drawn, **given}))
    return people


def crops(people, t, T_fixed_cloud=None):
    """What the pipeline cuts out of a cloud at this time, with exact boxes; the sensor is 1.6 m over the cloud's."""
    T = np.eye(4) if T_fixed_cloud is None else T_fixed_cloud
    T_cloud_fixed = np.linalg.inv(T)
    seen = [_moved(T_cloud_fixed, person.points(t)) for person in people]
    origins = np.array([_moved(T_cloud_fixed, person.position(t) + HEIGHT) for person in people]).reshape(-1, 3)
    counts = np.array([len(points) for points in seen], np.int64)
    mask = np.arange(counts.max(initial=0)) < counts[:, None]
    points = np.zeros((*mask.shape, 3), np.float32)
    for row, own in enumerate(seen):
        points[row, : len(own)] = own - origins[row]
    index = np.where(mask, 0, -1)
    origins = origins.astype(np.float32)
    views = origins - SENSOR.astype(np.float32)
    arrays = {"points": points, "mask": mask, "index": index, "origins": origins, "views": views, "counts": counts}
    return PersonBatch(**{name: torch.from_numpy(array) for name, array in arrays.items()})


def observed(people, t, stamp_ns, ids=None):
    """A cloud's sample and frame, in which everybody is tracked."""
    seen, n = crops(people, t), len(people)
    ids, states = np.arange(n) if ids is None else ids, np.full(n, TrackState.TRACKED, np.int64)
    zeros = np.zeros((n, 14), np.float32)
    boxes = Boxes(seen.origins.numpy(), np.ones((n, 3), np.float32), zeros[:, 0], zeros[:, 0])
    skeletons = Skeletons(np.zeros((n, 14, 3), np.float32), zeros, zeros)
    tracks = Tracks(ids, states, boxes, skeletons, np.zeros((n, 3), np.float32))
    cloud = Cloud(np.zeros((0, 3), np.float32), stamp_ns, "lidar")
    return Sample(cloud), Frame(stamp_ns, "lidar", tracks, people=seen)


def into(collector):
    """Observes for a collector."""
    return lambda sample, frame: collector.add(*frame.tracked(), frame.stamp_ns, sample.pose)


def labelled(people, t):
    """The same crops with their truth."""
    parts = np.stack([person.labels for person in people]).astype(np.int64)
    truth = np.stack([person.keypoints(t) - person.position(t) - HEIGHT for person in people])
    return replace(
        crops(people, t), parts=torch.from_numpy(parts), keypoints=torch.from_numpy(truth.astype(np.float32))
    )


def _moved(T_b_a, points):
    return points @ T_b_a[:3, :3].T + T_b_a[:3, 3]
