"""What `gckpl benchmark` times: the LiDAR simulation, the pipeline's stages, a whole replay."""

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Any, Final, get_args

import numpy as np
import torch
from jaxtyping import Float32

from gckpl_ros.batch import PersonBatch
from gckpl_ros.body.angles import turn
from gckpl_ros.body.body import ground, load_body, move
from gckpl_ros.config import Config, EstimateConfig
from gckpl_ros.errors import InputError
from gckpl_ros.estimate.checkpoint import SHIPPED, load_network
from gckpl_ros.estimate.estimator import multiply_fast
from gckpl_ros.estimate.network import KeypointNetwork
from gckpl_ros.estimate.onnx import Runtime
from gckpl_ros.estimate.tokens import SIZES, TokenNetwork
from gckpl_ros.io.recording.replay import replay
from gckpl_ros.pipeline import Pipeline
from gckpl_ros.types import Boxes, Cloud, Sample
from gckpl_training.lidar import SENSORS, Sensor, scan, sensor
from gckpl_training.motion.library import sample_poses
from gckpl_training.simulate.maker import CropConfig, detector_boxes
from gckpl_training.simulate.people import CropSource
from gckpl_training.street.recording import write_street

RANGES_M: Final = (5.0, 10.0, 20.0, 30.0)
PEOPLE: Final = (1, 2, 6, 16, 32)


def simulate_rows(people: int = 128, repeats: int = 3) -> list[dict[str, Any]]:
    """Bare bodies scanned per second, and whole training crops (posed, dressed, placed, scanned, augmented).

    A training source may cut more than one crop, each with its own noise and augmentation, out of one scan.
    """
    return [simulate_row(model, distance, people, repeats) for model in SENSORS.values() for distance in RANGES_M]


def simulate_row(model: Sensor, distance: float, people: int, repeats: int) -> dict[str, Any]:
    """One sensor at one range: rates per second of `people` at a time, medians of `repeats`."""
    source = CropSource(CropConfig(range_m=(distance, distance)), 0, torch.device("cpu"), split="train")
    generator, body = source.generator, source.body
    posed = ground(body(body.sample_betas(people, generator), source.poses(people), torch.zeros(people, 3)))
    vertices = move(posed, torch.tensor([[distance, 0.0, -model.mount_height_m]])).vertices
    returns = scan(vertices, body.faces, model, cull=True, generator=generator)
    scan_s = _median_s(lambda: scan(vertices, body.faces, model, cull=True, generator=generator), repeats)
    crop_s = _median_s(lambda: source.scan_people(people, model, source.config), repeats)
    return {
        "sensor": model.name,
        "range_m": int(distance),
        "returns_per_body": round(returns.mask.sum().item() / people, 1),
        "bodies_scanned_per_s": round(people / scan_s),
        "training_crops_per_s": round(people * source.views / crop_s),
    }


def pipeline_rows(weights: str = "", crowds: Sequence[int] = PEOPLE, repeats: int = 20) -> list[dict[str, Any]]:
    """Medians of each stage in ms, for more and more people around a 32-beam sensor; boxes given but for `detect`."""
    config = Config.parse({"estimate": {"weights": weights}, "detect": {"confirm_travel_m": 0.0}})
    return [_pipeline_row(Pipeline(config), people, repeats) for people in crowds]


def _pipeline_row(pipeline: Pipeline, people: int, repeats: int) -> dict[str, Any]:
    cloud, boxes = crowd(people)
    found = [pipeline.process(Sample(cloud)).timings_ms["detect"] for _ in range(repeats)]
    frames = [pipeline.process(Sample(cloud, boxes)) for _ in range(repeats)]
    stages = {stage: median(f.timings_ms[stage] for f in frames) for stage in ("crop", "estimate", "track")}
    rounded = {f"{stage}_ms": round(ms, 2) for stage, ms in {"detect": median(found), **stages}.items()}
    total = round(sum(rounded.values()), 2)
    return {"people": people, "points": len(cloud), "skeletons": len(frames[-1].tracks), **rounded, "total_ms": total}


def crowd(people: int, seed: int = 0, lidar: str = "spinner32") -> tuple[Cloud, Boxes]:
    """People 4 to 12 m around a sensor on flat ground, none hiding another, with their boxes."""
    model, body, generator = sensor(lidar), load_body(), torch.Generator().manual_seed(seed)
    azimuth = torch.arange(people) * (2 * torch.pi / people)
    distance = 4 + 8 * torch.rand(people, generator=generator)
    place = torch.stack([distance * azimuth.cos(), distance * azimuth.sin()], 1)
    place = torch.nn.functional.pad(place, (0, 1), value=-model.mount_height_m)
    pose = turn(sample_poses(people, generator), azimuth)
    posed = move(ground(body(body.sample_betas(people, generator), pose, torch.zeros(people, 3))), place)
    returns = scan(posed.vertices, body.faces, model, cull=True, generator=generator)
    center, size, yaw = (value.numpy() for value in detector_boxes(posed, generator, 0.0))
    points = np.concatenate([ground_returns(model), returns.points[returns.mask].numpy()])
    return Cloud(points, 0, "lidar"), Boxes(center, size, yaw, np.ones(people, np.float32))


def ground_returns(model: Sensor) -> Float32[np.ndarray, "n 3"]:
    """Where the beams of a sensor with an elevation table meet flat ground."""
    elevation = np.radians([e for e in model.elevations_deg if e < 0])[:, None]
    azimuth = np.arange(model.columns)[None] * model.azimuth_step
    distance = -model.mount_height_m / np.tan(elevation)
    x, y = distance * np.cos(azimuth), distance * np.sin(azimuth)
    points = np.stack([x, y, np.full_like(x, -model.mount_height_m)], -1)
    return points[np.broadcast_to(distance < model.max_range_m, x.shape)].astype(np.float32)


PEOPLE_AT_ONCE, POINTS_EACH = 10, 192


def backend_rows(repeats: int = 40) -> list[dict[str, Any]]:
    """Each size under each runtime that is installed, 10 people of 192 points: medians on one core, best on two.

    On one core it is that core's own time, whatever else the machine does; a size that does not ship is untrained.
    """
    cloud = torch.randn(PEOPLE_AT_ONCE, POINTS_EACH, 3) * torch.tensor([0.25, 0.25, 0.5])
    views = torch.tensor([[8.0, 1.0, 0.0]]).repeat(PEOPLE_AT_ONCE, 1)
    people = PersonBatch(cloud, torch.ones(cloud.shape[:2], dtype=torch.bool), views)
    rows = []
    multiply_fast()
    for name, config in SIZES.items():
        network = load_network(name) if name in SHIPPED else TokenNetwork(config).eval()
        for backend in get_args(EstimateConfig.model_fields["backend"].annotation):
            times = {}
            for threads in (1, 2):
                torch.set_num_threads(threads)
                try:
                    runtime = network if backend == "torch" else Runtime(network, backend, threads)
                except InputError:
                    break
                times[threads] = _times_s(runtime, people, repeats)
            if times:
                own = 1e3 * median(cpu for cpu, _ in times[1])
                wall = 1e3 * min(wall for _, wall in times[2])
                row = {
                    "network": name,
                    "runtime": backend,
                    "one_core_ms": round(own, 1),
                    "two_cores_ms": round(wall, 1),
                }
                rows.append(row)
    return rows


@torch.inference_mode()
def _times_s(network: KeypointNetwork | Runtime, people: PersonBatch, repeats: int) -> list[tuple[float, float]]:
    """CPU time and time of each call."""
    times = []
    for _ in range(repeats):
        cpu, start = process_time(), perf_counter()
        network.predict(people)
        times.append((process_time() - cpu, perf_counter() - start))
    return times


def replay_rows(recording: Path | None = None, weights: str = "") -> list[dict[str, Any]]:
    """A whole replay, reading and writing included: frames per second, and medians of each stage in ms."""
    with TemporaryDirectory() as folder:
        source = recording or write_street(Path(folder) / "street.mcap")
        # the simulated sensor moves: people are tracked in the fixed frame of its recording
        config = Config.parse({"estimate": {"weights": weights}, "track": {"frame": "" if recording else "odom"}})
        start = perf_counter()
        summary = replay(source, Path(folder) / "skeletons.mcap", config)
        wall_s = perf_counter() - start
    stages = {f"{stage}_ms": round(times["median"], 2) for stage, times in summary.stages_ms.items()}
    per_frame = round(summary.people / summary.frames, 1)
    return [
        {
            "frames": summary.frames,
            "people_per_frame": per_frame,
            "frames_per_s": round(summary.frames / wall_s, 1),
            **stages,
        }
    ]


def _median_s(call: Callable[[], object], repeats: int) -> float:
    durations = []
    for _ in range(repeats):
        start = perf_counter()
        call()
        durations.append(perf_counter() - start)
    return median(durations)
