"""A replayed recording as scenes: every cloud with its frame, its truth and the sensor's place."""

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress

from gckpl_ros.config import Config
from gckpl_ros.evaluate.people import People
from gckpl_ros.io.bag import BagReader
from gckpl_ros.io.messages import from_skeleton_array
from gckpl_ros.io.replay import Options, replay
from gckpl_ros.io.sample import Sample
from gckpl_ros.io.summary import Summary
from gckpl_ros.io.tf import TransformBuffer
from gckpl_ros.types import Frame
from gckpl_ros.view.rerun_view import RerunView
from gckpl_ros.view.scene import Scene

TRUTH = "/truth/skeletons"


def replay_scenes(
    source: Path, out: Path, config: Config, console: Console, viz: bool = False
) -> tuple[list[Scene], Summary]:
    """Replay a recording and keep every cloud with its frame, for the pictures."""
    scenes: list[Scene] = []
    with ExitStack() as stack:
        bar = stack.enter_context(Progress(console=console, transient=True))
        view = stack.enter_context(RerunView(spawn=True)) if viz else None

        def observe(sample: Sample, frame: Frame) -> None:
            scenes.append(Scene(sample.cloud, frame))
            if view is not None:
                view.log(sample.cloud, frame, sample.boxes, sample.T_fixed_cloud)

        def progress(records: Iterable[Any], total: int) -> Iterable[Any]:
            return bar.track(records, total, description="replaying")

        summary = replay(source, out, config, Options(), observe, progress)
    return scenes, summary


def with_truth(scenes: Sequence[Scene], source: Path) -> tuple[list[Scene], list[People]]:
    """Scenes with the truth and the sensor's pose of their stamp, and the truth with its number of returns."""
    frames, transforms, fixed = _recorded(source)
    told, truths = [], []
    for scene in scenes:
        frame = frames.get(scene.cloud.stamp_ns)
        if frame is None:
            told.append(scene)
            continue
        pose = transforms.lookup(fixed, scene.cloud.frame_id, scene.cloud.stamp_ns) if fixed else None
        told.append(replace(scene, truth=frame.tracks.skeletons.keypoints, T_fixed_cloud=pose))
        owners = Scene(scene.cloud, frame).owners.astype(np.int64)
        truths.append(People.of(frame, np.bincount(owners + 1, minlength=len(frame.tracks) + 1)[1:]))
    return told, truths


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
