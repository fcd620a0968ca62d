"""Others' data sets into person sequences: one shard for each of a set's units (a log, a drive, a segment).

A unit is read as labelled clouds, one after the other; of these only the people are kept. Units are spread over
processes; what is there already is not made again, and what cannot be read is named while the rest goes on.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from time import process_time
from typing import Final, TypeAlias

import numpy as np
from jaxtyping import Float, Float32, Float64, Int64

from gckpl_ros.errors import InputError
from gckpl_ros.geometry import heading, points_in_boxes
from gckpl_ros.types import Boxes
from gckpl_training.data.sequences import SUFFIX, Sequences, shard_files, stored, write_shard

MARGIN_M: Final = 0.15
"""Boxes grow by this on each side, as the runtime's do (crop.margin_m)."""


@dataclass(frozen=True)
class LabelledCloud:
    """Points, boxes (centre, length, width, height, yaw) and keypoints of one instant, in one z-up frame.

    Keypoints that nobody knows are NaN; None where the set has none. ``flow`` leads to the next cloud of the sensor, as
    a movement of each point in the world's axes. Several clouds of one stamp (sensors) add up.
    """

    stamp_ns: int
    points: Float[np.ndarray, "n 3"]
    boxes: Float64[np.ndarray, "b 7"]
    ids: tuple[str, ...]
    T_world_cloud: Float64[np.ndarray, "4 4"] = field(default_factory=lambda: np.eye(4))
    origin: Float64[np.ndarray, "3"] = field(default_factory=lambda: np.zeros(3))
    keypoints: Float64[np.ndarray, "b 14 3"] | None = None
    flow: Float32[np.ndarray, "n 3"] | None = None


@dataclass(frozen=True)
class DataSet:
    """A set's layout: its units, and the clouds of one; ``gap_s``: who is missing for longer begins anew.

    ``bodies``: it has SMPL bodies, and ``clouds`` takes the user's model of them, or None, besides.
    """

    title: str
    licence: str
    units: Callable[[Path], list[str]]
    clouds: Callable[..., Iterable[LabelledCloud]]
    gap_s: float = 0.25
    bodies: bool = False


# Who knows how to read which: imported when asked for.
SETS: Final[Mapping[str, str]] = {
    "argoverse2": "gckpl_training.data.streets",
    "kitti": "gckpl_training.data.streets",
    "kitti_tracking": "gckpl_training.data.streets",
    "nuscenes": "gckpl_training.data.streets",
    "waymo": "gckpl_training.data.waymo",
    "sloper4d": "gckpl_training.data.captured",
    "human_m3": "gckpl_training.data.captured",
}


def data_set(name: str) -> DataSet:
    """A set by its name; raises InputError for one that nobody knows."""
    if name not in SETS:
        raise InputError(f"no converter for {name}: there are {', '.join(SETS)}")
    found: DataSet = import_module(SETS[name]).SETS[name]
    return found


def inside(cloud: LabelledCloud, margin_m: float = 0.0) -> list[Int64[np.ndarray, " _"]]:
    """Which of a cloud's points lie in each box."""
    numbers = cloud.boxes.astype(np.float32)
    boxes = Boxes(numbers[:, :3], numbers[:, 3:6], numbers[:, 6], np.ones(len(numbers), np.float32))
    return points_in_boxes(np.ascontiguousarray(cloud.points, np.float32), boxes, margin_m)


@dataclass
class _Look:
    """A person at one instant, in the axes of the world, around the box's centre."""

    box: Float64[np.ndarray, "7"]
    T_world_cloud: Float64[np.ndarray, "4 4"]
    view: Float64[np.ndarray, "3"]
    keypoints: Float64[np.ndarray, "14 3"] | None
    points: list[np.ndarray] = field(default_factory=list)
    flow: list[np.ndarray] = field(default_factory=list)


def sequences(clouds: Iterable[LabelledCloud], gap_s: float = 0.25, margin_m: float = MARGIN_M) -> Sequences:
    """Everybody in labelled clouds, over time; a frame without points is one in which somebody was hidden."""
    people: dict[str, dict[int, _Look]] = defaultdict(dict)
    for cloud in clouds:
        R = cloud.T_world_cloud[:3, :3]
        for place, (person, box, rows) in enumerate(zip(cloud.ids, cloud.boxes, inside(cloud, margin_m), strict=True)):
            look = people[person].get(cloud.stamp_ns)
            if look is None:
                known = None if cloud.keypoints is None else (cloud.keypoints[place] - box[:3]) @ R.T
                look = _Look(box, cloud.T_world_cloud, R @ (box[:3] - cloud.origin), known)
                people[person][cloud.stamp_ns] = look
            look.points.append((cloud.points[rows] - box[:3]) @ R.T)
            if cloud.flow is not None:
                look.flow.append(cloud.flow[rows])
    numbers = {person: place for place, person in enumerate(sorted(people))}
    runs = [
        (numbers[person], [(stamp, looks[stamp]) for stamp in run])
        for person, looks in sorted(people.items())
        for run in _runs(sorted(looks), gap_s)
    ]
    return Sequences(stored(_arrays(runs)))


_Run: TypeAlias = tuple[int, list[tuple[int, _Look]]]


def _runs(stamps_ns: list[int], gap_s: float) -> Iterator[list[int]]:
    """Stamps without gaps, one run after the other."""
    breaks = np.flatnonzero(np.diff(stamps_ns) > gap_s * 1e9) + 1
    yield from (run.tolist() for run in np.split(np.asarray(stamps_ns, np.int64), breaks))


def _arrays(runs: list[_Run]) -> dict[str, np.ndarray]:
    looks = [look for _, run in runs for _, look in run]
    points = [np.concatenate(look.points) for look in looks]
    centers = np.array([_in_world(look) for look in looks]).reshape(-1, 3)
    lengths = np.array([len(run) for _, run in runs], np.int64)
    frame_start = np.concatenate([[0], lengths.cumsum()]).astype(np.int64)
    first = centers[frame_start[:-1]] if runs else np.zeros((0, 3))
    turns = np.array([look.box[6] + heading(look.T_world_cloud) for look in looks])
    boxes = np.zeros((len(looks), 7))
    if looks:
        boxes[:, 3:6] = [look.box[3:6] for look in looks]
        boxes[:, 6] = np.arctan2(np.sin(turns), np.cos(turns))
    arrays = {
        "frame_start": frame_start,
        "point_start": np.concatenate([[0], np.cumsum([len(own) for own in points])]).astype(np.int64),
        "points": np.concatenate([*points, np.zeros((0, 3))]),
        "views": np.array([look.view for look in looks]).reshape(-1, 3),
        "track_ids": np.array([person for person, _ in runs], np.int64),
        "places": first,
        "origins": centers - np.repeat(first, lengths, axis=0),
        "stamps_ns": np.array([stamp for _, run in runs for stamp, _ in run], np.int64),
        "boxes": boxes,
        "T_world_sensor": np.array([_sensor(look) for look in looks]).reshape(-1, 4, 4),
    }
    if looks and all(look.keypoints is not None for look in looks):
        arrays["keypoints"] = np.array([look.keypoints for look in looks])
        arrays["keypoint_mask"] = np.isfinite(arrays["keypoints"]).all(-1)
    if looks and all(look.flow for look in looks):
        arrays["flow"] = np.concatenate([np.concatenate(look.flow) for look in looks])
    return arrays


def _in_world(look: _Look) -> Float64[np.ndarray, "3"]:
    center: np.ndarray = look.T_world_cloud[:3, :3] @ look.box[:3] + look.T_world_cloud[:3, 3]
    return center


def _sensor(look: _Look) -> Float64[np.ndarray, "4 4"]:
    """The cloud's axes, at the sensor."""
    T_world_sensor = look.T_world_cloud.copy()
    T_world_sensor[:3, 3] = _in_world(look) - look.view
    return T_world_sensor


# All of a set, by several processes.


@dataclass(frozen=True)
class Converted:
    """What came of a set: shards made now, there before, skipped and why; clouds read, a core's seconds for them."""

    made: tuple[str, ...]
    before: tuple[str, ...]
    skipped: Mapping[str, str]
    clouds: int
    busy_s: float

    @property
    def clouds_per_s(self) -> float:
        """Of one core."""
        return self.clouds / self.busy_s if self.busy_s else 0.0


Shown: TypeAlias = Callable[[str, int], None]


def convert(
    name: str, root: Path, out: Path, workers: int = 1, shown: Shown = lambda unit, left: None, smpl: Path | None = None
) -> Converted:
    """Convert a set in ``root`` into shards in ``out``; raises InputError where nothing can be made of it.

    ``shown`` hears of each unit that is done, and how many are left; ``smpl``: the model of sets that have bodies.
    """
    known = data_set(name)
    units = known.units(root)
    if not units:
        raise InputError(f"nothing of {known.title} in {root}: give the folder as it is unpacked (docs/data.md)")
    there = {file.stem for file in shard_files(out)}
    before = tuple(unit for unit in units if _file(unit) in there)
    left = [unit for unit in units if _file(unit) not in there]
    made: list[str] = []
    skipped: dict[str, str] = {}
    clouds, busy_s = 0, 0.0
    for unit, result in _each((name, root, out, smpl), left, workers):
        if isinstance(result, str):
            skipped[unit] = result
        else:
            made.append(unit)
            clouds, busy_s = clouds + result[0], busy_s + result[1]
        shown(unit, len(left) - len(made) - len(skipped))
    if skipped and not made and not before:
        raise InputError(f"nothing of {root} can be converted: {next(iter(skipped.values()))}")
    return Converted(tuple(made), before, skipped, clouds, busy_s)


def _file(unit: str) -> str:
    return unit.replace("/", "-")


_Result: TypeAlias = "tuple[int, float] | str"


_Task: TypeAlias = tuple[str, Path, Path, Path | None]


def _each(task: _Task, units: Sequence[str], workers: int) -> Iterator[tuple[str, _Result]]:
    """Each unit with what came of it; a unit whose process was lost is tried once more, alone."""
    if workers <= 1:
        yield from ((unit, _convert(*task, unit)) for unit in units)
        return
    lost: list[str] = []
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        futures: dict[Future[_Result], str] = {pool.submit(_convert, *task, unit): unit for unit in units}
        for future in as_completed(futures):
            try:
                yield futures[future], future.result()
            except BrokenProcessPool:
                lost.append(futures[future])
    for unit in lost:
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            try:
                yield unit, pool.submit(_convert, *task, unit).result()
            except BrokenProcessPool:
                yield unit, f"{unit}: the process that read it was killed twice; memory may have run out"


def _convert(name: str, root: Path, out: Path, smpl: Path | None, unit: str) -> _Result:
    """Make the shard of one unit: clouds read and seconds spent, or why it cannot be made."""
    known, start, count = data_set(name), process_time(), 0

    def counted() -> Iterator[LabelledCloud]:
        nonlocal count
        for cloud in known.clouds(root, unit, *([smpl] if known.bodies else [])):
            count += 1
            yield cloud

    try:
        people = sequences(counted(), known.gap_s)
    except (InputError, OSError, ValueError, KeyError, IndexError, TypeError) as error:  # damaged files raise anything
        return f"{unit}: {error if isinstance(error, InputError) else f'{type(error).__name__}: {error}'}"
    about = {"source": f"{known.title}, {unit}", "licence": known.licence, "frame": "fixed, z up"}
    try:
        write_shard(out / f"{_file(unit)}{SUFFIX}", Sequences(people.arrays, about))
    except InputError as error:
        return f"{unit}: {error}"
    return count, process_time() - start
