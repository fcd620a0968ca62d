"""The report of a replayed recording: pictures, times, and the accuracy where the recording has the truth.

`gckpl replay --report` and `gckpl demo` write it.
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from gckpl_ros.evaluate.matching import People
from gckpl_ros.evaluate.report import Report, evaluate
from gckpl_ros.io.messages.skeletons import from_skeleton_array
from gckpl_ros.io.messages.tf import TransformBuffer, TransformError
from gckpl_ros.io.recording.clouds import open_recording
from gckpl_ros.io.recording.summary import Summary as Replayed
from gckpl_ros.types import Frame, Sample
from gckpl_ros.view.report import Figure, Summary, write_report
from gckpl_ros.view.scene import Scene

TRUTH: Final = "/truth/skeletons"
MIN_POINTS: Final = 8
"""People with fewer returns need not be found."""
MOST_SCENES: Final = 400
"""Clouds are kept for the pictures, evenly over the recording: memory is bounded, however long it is."""


class Scenes:
    """The sink of a replay that keeps clouds with their frames, and everybody who was found and who was there."""

    def __init__(self, source: Path) -> None:
        """Read the truth and the transforms of the recording ahead; raises InputError if it cannot be read."""
        self._truth, self._transforms, self._fixed = _recorded(source)
        self._every, self._count = 1, 0
        self.scenes: list[Scene] = []
        self.found: list[People] = []
        self.true: list[People] = []

    def wanted(self) -> Collection[str]:
        """Nothing but people."""
        return ()

    def write(self, sample: Sample, frame: Frame) -> None:
        """Take in one instant."""
        truth = self._truth.get(sample.cloud.stamp_ns)
        self.found.append(People.of(frame))
        if truth:
            owners = Scene(sample.cloud, truth).owners.astype(np.int64)
            self.true.append(People.of(truth, np.bincount(owners + 1, minlength=len(truth.tracks) + 1)[1:]))
        if self._count % self._every == 0:
            keypoints = truth.tracks.skeletons.keypoints if truth else None
            self.scenes.append(Scene(sample.cloud, frame, keypoints, self._pose(sample)))
        self._count += 1
        if len(self.scenes) > MOST_SCENES:
            self.scenes, self._every = self.scenes[::2], 2 * self._every

    def evaluation(self) -> Report | None:
        """How right it was; None where the recording has no truth."""
        return evaluate(self.found, self.true, min_points=MIN_POINTS) if self.true else None

    def _pose(self, sample: Sample) -> np.ndarray | None:
        if sample.T_fixed_cloud is not None or not self._fixed:
            return sample.T_fixed_cloud
        try:
            return self._transforms.lookup(self._fixed, sample.cloud.frame_id, sample.cloud.stamp_ns)
        except TransformError:
            return None


def report(folder: Path, scenes: Scenes, replayed: Replayed, title: str = "", lead: str = "") -> Path:
    """Write the report of a replay into a folder; returns its page."""
    evaluation = scenes.evaluation()
    title, lead = title or f"People in {Path(replayed.source).name}", lead or _lead(evaluation)
    return write_report(folder, scenes.scenes, summarise(replayed, evaluation, scenes.scenes, title, lead))


def _recorded(source: Path) -> tuple[dict[int, Frame], TransformBuffer, str]:
    """The truth by stamp, all transforms, and the name of the frame that is nobody's child."""
    frames: dict[int, Frame] = {}
    transforms = TransformBuffer()
    parents: set[str] = set()
    children: set[str] = set()
    with open_recording(source) as bag:
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


def summarise(replayed: Replayed, evaluation: Report | None, scenes: Sequence[Scene], title: str, lead: str) -> Summary:
    """The report's words and numbers; without an evaluation they tell nothing of accuracy."""
    figures = evaluation.figures if evaluation else {}
    return Summary(
        title=title,
        lead=lead,
        figures=[*_replay(replayed, scenes), *(_accuracy(figures) if figures else _found(replayed))],
        charts=_charts(figures["keypoints"]) if figures else {},
        commands=_commands(replayed, bool(figures)),
    )


def _lead(evaluation: Report | None) -> str:
    compared = ", and compared with the truth in it" if evaluation else ""
    return f"A recording, replayed through detection, keypoint network and tracker as a robot would run them{compared}."


def _found(replayed: Replayed) -> list[Figure]:
    per_frame = replayed.people / max(replayed.frames, 1)
    return [
        Figure("People per frame", f"{per_frame:.1f}", f"{replayed.people:,} sightings"),
        Figure("Different ids", str(replayed.ids), "who comes back later has a new one"),
    ]


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


def _commands(replayed: Replayed, measured: bool) -> list[tuple[str, str]]:
    source, out = replayed.source, replayed.out
    again = ("Measure it again, with tables and plots.", f"gckpl evaluate {out} --truth-bag {source} --out evaluation")
    return [
        ("Look at the result: RViz and Foxglove open the recording and play its markers.", f"ros2 bag play {out}"),
        ("See it in 3D without ROS (needs the extra [viz]).", f"gckpl replay {source} --out {out} --viz"),
        *([again] if measured else []),
        ("Replay another recording with a PointCloud2 topic.", "gckpl replay my_bag --out skeletons.mcap"),
        ("Every parameter, with its range.", "gckpl config"),
    ]
