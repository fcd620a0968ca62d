"""What the demo's report says beside the pictures: headline figures, charts, and the commands to go on with."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress

from gckpl_ros.config import Config
from gckpl_ros.evaluate.matching import People
from gckpl_ros.evaluate.report import Report
from gckpl_ros.io.messages.skeletons import from_skeleton_array
from gckpl_ros.io.messages.tf import TransformBuffer
from gckpl_ros.io.recording.bag import BagReader
from gckpl_ros.io.recording.replay import replay
from gckpl_ros.io.recording.summary import Summary as Replayed
from gckpl_ros.runner import Sink
from gckpl_ros.types import Frame, Sample
from gckpl_ros.view.report import Figure, Summary
from gckpl_ros.view.rerun_view import RerunView
from gckpl_ros.view.scene import Scene

# A replayed recording as scenes: every cloud with its frame, its truth and the sensor's place.

TRUTH = "/truth/skeletons"


def replay_scenes(
    source: Path, out: Path, config: Config, console: Console, viz: bool = False
) -> tuple[list[Scene], Replayed]:
    """Replay a recording and keep every cloud with its frame, for the pictures."""
    kept = Scenes()
    with ExitStack() as stack:
        bar = stack.enter_context(Progress(console=console, transient=True))
        sinks: list[Sink] = [kept, *([stack.enter_context(RerunView(spawn=True))] if viz else [])]

        def progress(records: Iterable[Any], total: int) -> Iterable[Any]:
            return bar.track(records, total, description="replaying")

        summary = replay(source, out, config, sinks=sinks, progress=progress)
    return kept.scenes, summary


class Scenes:
    """The sink that keeps every cloud with its frame."""

    def __init__(self) -> None:
        self.scenes: list[Scene] = []

    def wanted(self) -> Collection[str]:
        """Nothing but people."""
        return ()

    def write(self, sample: Sample, frame: Frame) -> None:
        """Keep one instant."""
        self.scenes.append(Scene(sample.cloud, frame))


def with_truth(scenes: Sequence[Scene], source: Path) -> tuple[list[Scene], list[People]]:
    """Scenes with the truth and the sensor's pose of their stamp, and the truth with its number of returns."""
    frames, transforms, fixed = _recorded(source)
    shown, truths = [], []
    for scene in scenes:
        frame = frames.get(scene.cloud.stamp_ns)
        if frame is None:
            shown.append(scene)
            continue
        pose = transforms.lookup(fixed, scene.cloud.frame_id, scene.cloud.stamp_ns) if fixed else None
        shown.append(replace(scene, truth=frame.tracks.skeletons.keypoints, T_fixed_cloud=pose))
        owners = Scene(scene.cloud, frame).owners.astype(np.int64)
        truths.append(People.of(frame, np.bincount(owners + 1, minlength=len(frame.tracks) + 1)[1:]))
    return shown, truths


def _recorded(source: Path) -> tuple[dict[int, Frame], TransformBuffer, str]:
    """The truth by stamp, all transforms, and the name of the frame that is nobody's child."""
    frames: dict[int, Frame] = {}
    transforms = TransformBuffer()
    parents: set[str] = set()
    children: set[str] = set()
    with BagReader(source) as bag:
        topics = {TRUTH, *bag.of_type("tf2_msgs/msg/TFMessage")}
        for record in bag.records(topics):
            message = bag.decode(record)
            if record.topic == TRUTH:
                frame = from_skeleton_array(message)
                frames[frame.stamp_ns] = frame
                continue
            transforms.add(message, static=record.topic.endswith("tf_static"))
            parents |= {transform.header.frame_id for transform in message.transforms}
            children |= {transform.child_frame_id for transform in message.transforms}
    return frames, transforms, next(iter(sorted(parents - children)), "")


LEAD = (
    "A LiDAR drives through a simulated street where people walk, stand, wave and crouch. Its clouds were recorded, "
    "replayed through detection, keypoint network and tracker as a robot would run them, and compared with the truth."
)


def summarise(replayed: Replayed, report: Report, scenes: Sequence[Scene], street: Path, skeletons: Path) -> Summary:
    """The report's words and numbers for a simulated recording ``street`` whose result is ``skeletons``."""
    figures = report.figures
    return Summary(
        title="People in a simulated street",
        lead=LEAD,
        figures=[*_replay(replayed, scenes), *_accuracy(figures)],
        charts=_charts(figures["keypoints"]),
        commands=_commands(street, skeletons),
    )


def _replay(replayed: Replayed, scenes: Sequence[Scene]) -> list[Figure]:
    seconds = (scenes[-1].cloud.stamp_ns - scenes[0].cloud.stamp_ns) * 1e-9
    points = round(sum(len(scene.cloud) for scene in scenes) / len(scenes))
    per_frame_ms = sum(sum(scene.frame.timings_ms.values()) for scene in scenes) / len(scenes)
    return [
        Figure("Frames", str(replayed.frames), f"{seconds:.1f} s, {points:,} points each"),
        Figure(
            "Frames per second",
            f"{1e3 / max(per_frame_ms, 1e-6):.1f}",
            f"{per_frame_ms:.0f} ms each, detection included",
        ),
    ]


def _accuracy(figures: Mapping[str, Any]) -> list[Figure]:
    people, tracking, keypoints = figures["people"], figures["tracking"], figures["keypoints"]
    shown = [
        Figure("Detection precision", f"{100 * people['precision']:.0f} %", f"{people['invented']} invented"),
        Figure(
            "Detection recall",
            f"{100 * people['recall']:.0f} %",
            f"of {people['true']} sightings of {tracking['people']} people",
        ),
        Figure("Id switches", str(tracking["id_switches"]), f"{tracking['fragmentations']} interruptions"),
    ]
    if not keypoints:
        return shown
    return [
        Figure("MPJPE", f"{100 * keypoints['mpjpe']:.1f} cm", "mean error of all keypoints"),
        Figure("PA-MPJPE", f"{100 * keypoints['pa_mpjpe']:.1f} cm", "after alignment: the pose alone"),
        Figure("PCK at 10 cm", f"{100 * keypoints['pck']['0.1']:.0f} %", "keypoints nearer than 10 cm"),
        *shown,
    ]


def _charts(keypoints: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    if not keypoints:
        return {}
    return {
        "Error by keypoint, cm": {name: 100 * error for name, error in keypoints["per_joint"].items()},
        "Error by distance from the sensor, cm": _by(keypoints["by_range"], "m"),
        "Error by returns on the person, cm": _by(keypoints["by_points"], "points"),
    }


def _by(bins: Mapping[str, Mapping[str, Any]], unit: str) -> dict[str, float]:
    return {f"{name} {unit}": 100 * row["mpjpe"] for name, row in bins.items()}


def _commands(street: Path, skeletons: Path) -> list[tuple[str, str]]:
    return [
        (
            "Look at the result: RViz and Foxglove open the recording and play its markers.",
            f"ros2 bag play {skeletons}",
        ),
        ("See it in 3D without ROS (needs the extra [viz]).", f"gckpl replay {street} --out {skeletons} --viz"),
        (
            "Measure it again, with tables and plots.",
            f"gckpl evaluate {skeletons} --truth-bag {street} --out evaluation",
        ),
        ("Replay your own recording with a PointCloud2 topic.", "gckpl replay my_bag --out skeletons.mcap"),
        ("Every parameter, with its range.", "gckpl config"),
    ]
