"""What `gckpl benchmark adaptation` measures: learning on the robot, on five-minute simulated wild recordings.

Clouds hold the returns within people's boxes; boxes err as a detector's do. Crop, estimate, track and adapter are those
of the node; the adapter works as in replay, a fixed number of steps per cloud. Errors are those of the last minute,
whose motions (wild.TEST) the four minutes before it did not have.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, median, quantiles, stdev
from time import monotonic, perf_counter, sleep
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Float32

from gckpl_ros.adapt import AdaptationState, Adapter, NoAdapter, load_adapter, start_adapter
from gckpl_ros.batch import PersonBatch
from gckpl_ros.config import Config
from gckpl_ros.evaluate.metrics import Errors
from gckpl_ros.pipeline import Pipeline
from gckpl_ros.runner import Runner
from gckpl_ros.types import Boxes, Cloud, Sample
from gckpl_training.motion.files import read_mocap
from gckpl_training.motion.library import MotionLibrary
from gckpl_training.simulate import wild
from gckpl_training.simulate.people import PasserConfig, PasserSource

Row = dict[str, Any]

MINUTE: Final = 600
"""Clouds, at 10 Hz."""
STAY: Final = 20
"""Clouds that a person stays, since so long are the clips."""
TOGETHER: Final = 5
PERIOD_NS: Final = 100_000_000
BOX_M: Final = (1.6, 1.6, 2.2)
SEEDS: Final = (1, 2, 3, 4, 5)


@dataclass(frozen=True)
class Scan:
    """One cloud of the recording, with boxes and the keypoints (m, in the cloud's frame) of the people in them."""

    cloud: Cloud
    boxes: Boxes
    keypoints: Float32[np.ndarray, "b 14 3"]


def adaptation_result(mocap: Path, small: bool = False) -> dict[str, Any]:
    """What learning costs, and what it gains; ``small``: less of everything, to see that it runs."""
    gain = adaptation_rows(mocap, 2, (1, 2)) if small else adaptation_rows(mocap)
    tables = {"latency": latency_rows(mocap), "gain": gain}
    rows = [{"table": table, **row} for table, found in tables.items() for row in found]
    gains = [-row["change_%"] for row in gain if row["recording"].startswith("seed")]
    ratio = tables["latency"][1]["p95_on_over_off"]
    return {"gain_percent": round(mean(gains), 2), "p95_on_over_off": ratio, "rows": rows}


def adaptation_rows(mocap: Path, minutes: int = 5, seeds: tuple[int, ...] = SEEDS) -> list[Row]:
    """Error of the last minute with and without adaptation: recordings to learn from, then those that mislead."""
    gains = [_row(f"seed {seed}", recording(mocap, seed, minutes), minutes) for seed in seeds]
    hurts = [_row(name, mislead(recording(mocap, 1, minutes)), minutes) for name, mislead in MISLEADING.items()]
    return [*gains, _summary(gains), *hurts]


def recording(mocap: Path, seed: int, minutes: int, together: int = TOGETHER) -> list[Scan]:
    """People who come and go, so many at a time; those of the last minute move as nobody did before."""
    clips = read_mocap(mocap, "val")
    scans: list[Scan] = []
    for names, count in ((wild.UNLABELLED, (minutes - 1) * MINUTE), (wild.TEST, MINUTE)):
        library = MotionLibrary([clip for clip in clips if clip.name in names])
        config = PasserConfig(sensors=(wild.SENSOR,), frames=STAY, seen_frames=12, sensor_m_s=0.0)
        people = PasserSource(config, 100 * seed + len(scans), library).draw(count // STAY * together)
        scans += _scans(people, len(scans), together)
    return scans


def last_minute(config: Config, scans: list[Scan]) -> tuple[Errors, AdaptationState]:
    """Errors of all people in the last minute, and what was learnt by its end."""
    runner, adapter = _runner(config)
    found, truth = [], []
    samples = (Sample(scan.cloud, scan.boxes) for scan in scans)
    for index, (scan, (_, frame)) in enumerate(zip(scans, runner.run(samples), strict=True)):
        adapter.keep_pace()
        if index >= len(scans) - MINUTE and len(scan.boxes):
            rows = _matched(frame.tracks.boxes.centers, scan.boxes.centers)
            found.append(frame.tracks.skeletons.keypoints[: len(rows)])
            truth.append(scan.keypoints[rows])
    return Errors.of(np.concatenate(found), np.concatenate(truth)), adapter.status


def _runner(config: Config) -> tuple[Runner, Adapter | NoAdapter]:
    pipeline = Pipeline(config)
    pipeline.warm_up()
    adapter = load_adapter(config, pipeline.network)
    return Runner(pipeline, [adapter]), adapter


def wrong_boxes(scans: list[Scan]) -> Iterator[Scan]:
    """Boxes are half a metre off in the minutes to learn from."""
    for scan, shift in _before(scans, np.array([0.5, 0.3, 0.3], np.float32)):
        yield replace(scan, boxes=replace(scan.boxes, centers=scan.boxes.centers + shift))


def background(scans: list[Scan]) -> Iterator[Scan]:
    """In the minutes to learn from the boxes hold walls and bushes that drift by."""
    rng = np.random.default_rng(0)
    shape = rng.uniform(-0.7, 0.7, (400, 3)).astype(np.float32) * np.array([0.4, 1, 1], np.float32)
    for scan, learning in _before(scans, np.ones(1, np.float32)):
        points = np.concatenate([shape + centre for centre in scan.boxes.centers]) if learning.any() else None
        yield scan if points is None else replace(scan, cloud=replace(scan.cloud, points=points))


def one_person_standing(scans: list[Scan]) -> Iterator[Scan]:
    """The minutes to learn from are one cloud of one person, over and over."""
    for scan, learning in _before(scans, np.ones(1, np.float32)):
        cloud = replace(scans[0].cloud, stamp_ns=scan.cloud.stamp_ns)
        yield Scan(cloud, scans[0].boxes[:1], scans[0].keypoints[:1]) if learning.any() else scan


MISLEADING: Final[dict[str, Callable[[list[Scan]], Iterator[Scan]]]] = {
    "wrong boxes": wrong_boxes,
    "all background": background,
    "one person standing, in a loop": one_person_standing,
}


def _before(scans: list[Scan], value: np.ndarray) -> Iterator[tuple[Scan, np.ndarray]]:
    """Each scan with the value, or with zeros in the last minute."""
    for index, scan in enumerate(scans):
        yield scan, value * (index < len(scans) - MINUTE)


def _row(name: str, scans: "list[Scan] | Iterator[Scan]", minutes: int) -> Row:
    scans = list(scans)
    off, _ = last_minute(Config(), scans[-MINUTE:])  # what does not learn needs no more
    on, status = last_minute(Config.parse({"adapt": {"enabled": True}}), scans)
    errors = {"off": off.summary(), "on": on.summary()}
    figures = {
        f"{error}_{which}_cm": round(100 * found[error], 2)
        for error in ("mpjpe", "mpjpe_matched")
        for which, found in errors.items()
    }
    change = 100 * (errors["on"]["mpjpe"] / errors["off"]["mpjpe"] - 1)
    counts = {"steps": status.step, "accepted": status.accepted, "rolled_back": status.rolled_back}
    return {"recording": name, "minutes": minutes, **figures, "change_%": round(change, 2), **counts}


def _summary(rows: list[Row]) -> Row:
    """Mean and standard deviation of the seeds' gains, cm."""
    gains = [row["mpjpe_off_cm"] - row["mpjpe_on_cm"] for row in rows]
    spread = stdev(gains) if len(gains) > 1 else 0.0
    return {"recording": "mean of all seeds", "gain_cm": round(mean(gains), 2), "deviation_cm": round(spread, 2)}


def _scans(people: PersonBatch, start: int, together: int) -> list[Scan]:
    """So many people at a time, for as long as they stay."""
    groups = torch.arange(len(people)).split(together)
    return [
        _scan(people.rows(group), frame, start + place * STAY + frame)
        for place, group in enumerate(groups)
        for frame in range(STAY)
    ]


def _scan(people: PersonBatch, frame: int, index: int) -> Scan:
    here = people.frame(frame)
    here = here.rows(here.seen)
    centres, n = here.views, len(here)
    points = (here.points + centres[:, None])[here.mask]
    sizes, zeros = np.tile(np.array(BOX_M, np.float32), (n, 1)), np.zeros(n, np.float32)
    boxes = Boxes(centres.numpy(), sizes, zeros, zeros + 1)
    keypoints = (here.required("keypoints") + centres[:, None]).numpy()
    return Scan(Cloud(points.numpy(), PERIOD_NS * (index + 1), "lidar"), boxes, keypoints)


def _matched(found: np.ndarray, given: np.ndarray) -> np.ndarray:
    """For each box that came out with a skeleton of this cloud, the row of the box that went in."""
    distance = np.linalg.norm(found[:, None] - given, axis=-1)
    rows = distance.argmin(1)
    here = distance[np.arange(len(rows)), rows] < 1e-3
    matched: np.ndarray = rows[: int(here.sum())]  # lost tracks come last
    return matched


# What learning beside it costs the estimation: time for each cloud while the adapter's process learns, and while it
# sleeps, by turns in one run.

PEOPLE: Final = 10
COLLECTED: Final = 300
"""Clouds without a pause, so that there is something to learn from."""
BLOCK: Final = 50
"""Clouds at 10 Hz, timed, after which learning is paused or goes on."""
BLOCKS: Final = 12
_READY_S: Final = 60.0


def latency_rows(mocap: Path) -> list[Row]:
    """Median and 95th percentile of a cloud's way through the pipeline (ms): learning by turns off and on."""
    scans = recording(mocap, 9, minutes=2, together=PEOPLE)[: min(COLLECTED + BLOCKS * BLOCK, 2 * MINUTE)]
    config = Config.parse({"adapt": {"enabled": True}})
    pipeline = Pipeline(config)
    pipeline.warm_up()
    adapter = start_adapter(config, pipeline.network)
    runner = Runner(pipeline, [adapter])
    for scan in scans[:COLLECTED]:
        runner.step(Sample(scan.cloud, scan.boxes))
    adapter.start()
    ready_s = monotonic() + _READY_S
    while adapter.status.step == 0 and monotonic() < ready_s:
        sleep(0.1)
    spent: dict[bool, list[float]] = {False: [], True: []}
    learnt = 0
    for block in range(COLLECTED, len(scans), BLOCK):
        on = (block - COLLECTED) // BLOCK % 2 == 1
        (adapter.resume if on else adapter.pause)()
        sleep(0.5)  # for a step in work
        before = adapter.status.step
        spent[on] += _timed(runner, scans[block : block + BLOCK])
        learnt += adapter.status.step - before if on else 0
    adapter.stop()
    rows = [_spread(times) for times in (spent[False], spent[True])]
    ratios = {f"{name}_on_over_off": round(rows[1][key] / rows[0][key], 3) for name, key in _OF.items()}
    steps = {"steps_per_s": round(learnt * 1e9 / (len(spent[True]) * PERIOD_NS), 1)}
    return [{"adaptation": "off", **rows[0]}, {"adaptation": "on", **rows[1], **steps, **ratios}]


_OF: Final = {"median": "median_ms", "p95": "p95_ms"}


def _spread(spent: list[float]) -> Row:
    figures = {"median_ms": round(median(spent), 1), "p95_ms": round(quantiles(spent, n=20)[-1], 1)}
    return {"people": PEOPLE, "clouds": len(spent), **figures}


def _timed(runner: Runner, scans: list[Scan]) -> list[float]:
    """Of each cloud, as they come at 10 Hz; ms."""
    start_s, spent = monotonic(), []
    for index, scan in enumerate(scans):
        sleep(max(0.0, start_s + index * PERIOD_NS * 1e-9 - monotonic()))
        before_s = perf_counter()
        runner.step(Sample(scan.cloud, scan.boxes))
        spent.append(1e3 * (perf_counter() - before_s))
    return spent
