"""What `gckpl benchmark track` measures: tracked keypoints against single frames, identities, crossings, hiding."""

from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Float64

from gckpl_ros.body.body import load_body
from gckpl_ros.config import Config, TrackConfig
from gckpl_ros.evaluate.matching import People, accumulate
from gckpl_ros.evaluate.metrics import distances
from gckpl_ros.evaluate.report import track_scores
from gckpl_ros.geometry import turned
from gckpl_ros.pipeline import Pipeline
from gckpl_ros.skeleton import INDEX, KEYPOINTS, MIRROR
from gckpl_ros.track import Tracker
from gckpl_ros.types import Boxes, Cloud, Frame, Sample, Skeletons, Tracks, TrackState
from gckpl_training.scene import Wardrobe
from gckpl_training.street.people import Cue, Script, walker
from gckpl_training.street.recording import simulated, truth
from gckpl_training.street.terrain import Ground

# The demo's street first; the tracker's constants were chosen on others, seeds 1, 2 and 3.
STREETS: Final = ((0, "spinner32"), (21, "spinner32"), (22, "os1_64"), (23, "spinner32"), (24, "waymo_top"))
MIN_POINTS: Final = 8

Scene = Iterable[tuple[Sample, People]]


def track_rows(recording: Path | None = None, weights: str = "", small: bool = False) -> list[dict[str, Any]]:
    """Rows of streets, boxes given and found, and of crossings; ``recording``: a folder with other streets (.npz)."""
    streets, seconds, cases = (STREETS[:1], 3.0, 4) if small else (STREETS, 15.0, 100)
    rows = []
    for seed, sensor in streets:
        name = "demo street" if seed == 0 else f"street {seed}, {sensor}"
        rows += [_street_row(name, [_street(seed, sensor, seconds, given)], weights, given) for given in (True, False)]
    if recording:
        others = sorted(recording.glob("*.npz"))
        rows += [
            _street_row(recording.name, [other_street(path, given) for path in others], weights, given)
            for given in (True, False)
        ]
    return [*rows, *case_rows(cases)]


def _street(seed: int, sensor: str, seconds: float, given: bool) -> Iterator[tuple[Sample, People]]:
    with simulated(sensor, seconds, seed, given) as scans:
        for scan, boxes in scans:
            sample = Sample(scan.cloud, boxes, scan.T_odom_sensor)
            yield sample, People.of(truth(scan), scan.points_per_person)


def other_street(path: Path, given: bool) -> Iterator[tuple[Sample, People]]:
    """A street of another simulator: points_2mm, frame_start, stamps_ns, T_world_sensor, keypoints, boxes, counts."""
    file = np.load(path)
    starts, rows = file["frame_start"], zip(file["boxes"], file["keypoints"], file["counts"], strict=True)
    for i, (box, keypoints, counts) in enumerate(rows):
        points = file["points_2mm"][starts[i] : starts[i + 1]].astype(np.float32) / 500
        box, sure = box.astype(np.float32), np.ones((len(box), len(KEYPOINTS)), np.float32)
        boxes = Boxes(box[:, :3], box[:, 3:6], box[:, 6], np.ones(len(box), np.float32))
        cloud = Cloud(points, int(file["stamps_ns"][i]), "lidar")
        sample = Sample(cloud, boxes[counts >= MIN_POINTS] if given else None, file["T_world_sensor"][i])
        ids, counts = np.arange(len(box)), counts.astype(np.int64)
        yield sample, People(cloud.stamp_ns, "lidar", ids, keypoints.astype(np.float32), sure, boxes, counts)


def _street_row(name: str, streets: Iterable[Scene], weights: str, given: bool) -> dict[str, Any]:
    """Of the same people of the same clouds: as single frames have them, and as the tracker tells them."""
    config = Config.parse({"estimate": {"weights": weights}, "track": {"smoothing": 0}})
    pipeline = Pipeline(config)
    singles, trackeds, scores = [], [], []
    for street in streets:
        pipeline.reset()
        tracker, pairs, raw = Tracker(TrackConfig()), [], []
        for sample, people in street:
            frame = pipeline.process(sample)
            seen = np.arange(len(frame.people or ()))
            boxes, skeletons = frame.tracks.boxes[seen], frame.tracks.skeletons[seen]
            tracks = tracker(boxes, skeletons, frame.stamp_ns, sample.pose)
            pairs.append((People.of(Frame(frame.stamp_ns, frame.frame_id, tracks)), people))
            raw.append((People.of(frame), people))
        tracked, single = accumulate(pairs, MIN_POINTS), accumulate(raw, MIN_POINTS)
        singles.append(distances(single.predicted, single.truth))
        trackeds.append(distances(tracked.predicted, tracked.truth))
        scores.append(track_scores(tracked))
    single_m, tracked_m = (float(np.concatenate(errors).mean()) for errors in (singles, trackeds))

    def mean(key: str) -> float:
        return float(np.mean([score[key] for score in scores if score[key] is not None]))

    return {
        "table": "streets",
        "street": name,
        "boxes": "given" if given else "found",
        "people": sum(map(len, singles)),
        "single_MPJPE_cm": round(100 * single_m, 2),
        "tracked_MPJPE_cm": round(100 * tracked_m, 2),
        "change_%": round(100 * (tracked_m / single_m - 1), 1),
        "id_switches": sum(int(score["id_switches"] or 0) for score in scores),
        "MOTA_%": round(100 * mean("mota"), 1),
        "IDF1_%": round(100 * mean("idf1"), 1),
        "frames_until_found": round(mean("frames_until_found"), 1),
    }


# Crossings and hiding, many of them: walkers of the simulated street, with a network's errors, without the scanner.

PERIOD_S: Final = 0.1
FRAMES: Final = 60
MEETING_S, HIDDEN_S = 3.0, 2.0
WIDTH_M: Final = 0.45  # whoever is behind somebody nearer than this to the line of sight is not found
MISS_CHANCE: Final = 0.04
FLIP_CHANCE: Final = 0.03
# Measured on the network that ships, on simulated streets: errors on each axis of the trunk's middle and of joints
# about it, and how much of them is left a frame later.
TRUNK_STD_M, JOINT_STD_M, END_STD_M = 0.022, 0.05, 0.09
LEFT_OF_TRUNK, LEFT_OF_JOINT = 0.46, 0.63
_ENDS: Final = [INDEX[f"{side}_{joint}"] for side in ("left", "right") for joint in ("wrist", "ankle")]


def case_rows(cases: int = 100) -> list[dict[str, Any]]:
    """How many people keep their ids where two cross in view, and where one of them is out of sight for 2 s."""
    return [
        {"table": "cases", "case": name, "cases": cases, "kept_%": round(100 * sum(map(kept, range(cases))) / cases, 1)}
        for name, kept in (("two people cross", crossing_kept), ("one hidden for 2 s beside another", hidden_kept))
    ]


def crossing_kept(seed: int) -> bool:
    """Whether two people whose ways cross 4 to 12 m away, 0.4 to 0.9 m from each other, keep their ids."""
    rng = np.random.default_rng(seed)
    meeting = _on_a_circle(rng, 4, 12)
    heading = rng.uniform(0, 2 * np.pi)
    other = heading + rng.uniform(np.pi / 3, 5 * np.pi / 3)
    apart = rng.uniform(0.4, 0.9) * _ahead(rng.uniform(0, 2 * np.pi))
    ways = [_walk(rng, meeting, heading), _walk(rng, meeting + apart, other)]
    return _kept(rng, ways, np.ones((2, FRAMES), bool))


def hidden_kept(seed: int) -> bool:
    """Whether somebody who is out of sight for 2 s keeps the id, while another walks by 1.5 to 4 m away."""
    rng = np.random.default_rng(10_000 + seed)
    meeting = _on_a_circle(rng, 5, 15)
    apart = rng.uniform(1.5, 4) * _ahead(rng.uniform(0, 2 * np.pi))
    ways = [_walk(rng, place, rng.uniform(0, 2 * np.pi)) for place in (meeting, meeting + apart)]
    seen = np.ones((2, FRAMES), bool)
    begin = round((MEETING_S - HIDDEN_S / 2) / PERIOD_S)
    seen[0, begin : begin + round(HIDDEN_S / PERIOD_S)] = False
    return _kept(rng, ways, seen)


@cache
def _walkers() -> list[Float64[np.ndarray, "t 14 3"]]:
    """Keypoints of people of all sizes who walk along x at their own pace."""
    generator, body, times = torch.Generator().manual_seed(7), load_body(), torch.arange(FRAMES) * PERIOD_S
    wardrobe, ground, rng = Wardrobe(body), Ground(generator), np.random.default_rng(7)
    found = []
    for stature in np.linspace(1.2, 1.92, 13):
        cue = Cue(0.0, "standing", float(rng.uniform(0.8, 1.15)))
        script = Script((0.0, 0.0), 0.0, (cue,), float(rng.uniform(0.85, 1.1)), float(rng.uniform(-8, 8)))
        with torch.no_grad():
            found.append(
                walker(float(stature), script, times, body, wardrobe, ground, generator).keypoints.double().numpy()
            )
    return found


def _walk(rng: np.random.Generator, at: Float64[np.ndarray, "2"], heading: float) -> Float64[np.ndarray, "t 14 3"]:
    """Somebody's keypoints who is at a place when people meet."""
    keypoints = turned(_walkers()[rng.integers(len(_walkers()))], np.array(heading))
    return keypoints + np.append(at - keypoints[round(MEETING_S / PERIOD_S)].mean(axis=0)[:2], -1.8)


def _kept(rng: np.random.Generator, ways: list[np.ndarray], seen: np.ndarray) -> bool:
    """Whether nobody's id changes once it is confirmed, and nobody has the other's."""
    tracker, errors = Tracker(TrackConfig()), [_Errors(rng) for _ in ways]
    ids: list[set[int]] = [set() for _ in ways]
    for t in range(FRAMES):
        told = [error(way[t]) for error, way in zip(errors, ways, strict=True)]
        found = [p for p in range(len(ways)) if seen[p, t] and _in_sight(p, [way[t] for way in ways])]
        found = [p for p in found if rng.random() >= MISS_CHANCE]
        tracks = _tracks(tracker, [told[p] for p in found], t)
        for person, name, state in zip(found, tracks.ids.tolist(), tracks.states.tolist(), strict=False):
            ids[person] |= {name} if state == TrackState.TRACKED else set()
    return all(len(names) == 1 for names in ids) and len(set.union(*ids)) == len(ways)


class _Errors:
    """What a network makes of somebody: errors that last for some frames, left for right now and then."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._std = np.full((len(KEYPOINTS), 1), JOINT_STD_M)
        self._std[_ENDS] = END_STD_M
        self._trunk, self._joints = rng.normal(size=3), rng.normal(size=(len(KEYPOINTS), 3))

    def __call__(self, keypoints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rng = self._rng
        self._trunk = LEFT_OF_TRUNK * self._trunk + np.sqrt(1 - LEFT_OF_TRUNK**2) * rng.normal(size=3)
        fresh = rng.normal(size=self._joints.shape)
        self._joints = LEFT_OF_JOINT * self._joints + np.sqrt(1 - LEFT_OF_JOINT**2) * fresh
        told = keypoints + TRUNK_STD_M * self._trunk + self._std * self._joints
        sure = np.clip(0.95 - 4 * self._std[:, 0] + rng.normal(0, 0.08, len(KEYPOINTS)), 0.05, 0.95)
        flipped = rng.random() < FLIP_CHANCE
        return (told[list(MIRROR)], sure * 0.7) if flipped else (told, sure)


def _tracks(tracker: Tracker, told: list[tuple[np.ndarray, np.ndarray]], frame: int) -> Tracks:
    keypoints = np.array([each for each, _ in told], np.float32).reshape(-1, len(KEYPOINTS), 3)
    sure = np.array([each for _, each in told], np.float32).reshape(-1, len(KEYPOINTS))
    low, high = keypoints.min(axis=1), keypoints.max(axis=1)
    flat = np.zeros(len(keypoints), np.float32)
    boxes = Boxes((low + high) / 2, np.maximum(high - low, 0.5), flat, flat + 1)
    return tracker(boxes, Skeletons(keypoints, sure, sure), round(frame * PERIOD_S * 1e9) + 1, np.eye(4))


def _in_sight(person: int, people: list[np.ndarray]) -> bool:
    """Whether nobody nearer stands in the line from the sensor at the origin."""
    middles = np.array([keypoints.mean(axis=0)[:2] for keypoints in people])
    here = middles[person]
    reach = np.linalg.norm(here)
    along, across = middles @ here / reach, np.abs(middles @ np.array([-here[1], here[0]])) / reach
    hiding = (along < reach - 0.1) & (along > 0) & (across * reach / np.maximum(along, 1e-6) < WIDTH_M)
    return not hiding[np.arange(len(people)) != person].any()


def _on_a_circle(rng: np.random.Generator, near: float, far: float) -> Float64[np.ndarray, "2"]:
    return rng.uniform(near, far) * _ahead(rng.uniform(0, 2 * np.pi))


def _ahead(heading: float) -> Float64[np.ndarray, "2"]:
    return np.array([np.cos(heading), np.sin(heading)])
