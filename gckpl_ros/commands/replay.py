"""The command `gckpl replay`: a recording with clouds in, a recording with skeletons out."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.console import Console
from rich.progress import track

from gckpl_ros.config import load_config
from gckpl_ros.files import write_file
from gckpl_ros.io.live.interface import NO_DETECTIONS, input_overrides, resolve
from gckpl_ros.io.recording.clouds import open_recording
from gckpl_ros.io.recording.replay import CLOUD_TYPE, replay
from gckpl_ros.io.recording.summary import Summary, table
from gckpl_ros.runner import Sink

if TYPE_CHECKING:
    from gckpl_ros.view.rerun_view import RerunView


def main(
    source: Annotated[
        Path,
        tyro.conf.Positional,
        tyro.conf.arg(
            metavar="IN",
            help="rosbag2 directory, .mcap or .db3; clouds: .pcd, .ply, .bin, .npy, .feather, or a folder of them",
        ),
    ],
    out: Annotated[Path, tyro.conf.arg(metavar="OUT.mcap", help="recording to write")],
    topic: Annotated[
        tuple[str, ...], tyro.conf.arg(metavar="TOPIC ...", help="PointCloud2 topics, in place of input.points")
    ] = (),
    detections: Annotated[
        str | None,
        tyro.conf.arg(metavar="TOPIC", help="Detection3DArray topic, in place of input.detections; none: not used"),
    ] = None,
    classes: Annotated[
        tuple[str, ...] | None,
        tyro.conf.arg(
            help="classes of detections that are people, in place of input.classes; given without names: all"
        ),
    ] = None,
    tolerance_ms: Annotated[
        float | None, tyro.conf.arg(help="how far apart stamps may be, in place of input.tolerance_s")
    ] = None,
    config: Annotated[Path | None, tyro.conf.arg(help="YAML file, see `gckpl config`")] = None,
    overrides: Annotated[
        tuple[str, ...], tyro.conf.arg(name="set", metavar="SECTION.KEY=VALUE", help="single parameters")
    ] = (),
    include_cloud: Annotated[bool, tyro.conf.arg(help="copy the clouds and transforms into the output")] = False,
    viz: Annotated[bool, tyro.conf.arg(help="show everything in rerun while it runs")] = False,
    report: Annotated[
        Path | None, tyro.conf.arg(metavar="FOLDER", help="write a report with pictures (needs the extra [report])")
    ] = None,
    summary: Annotated[Path | None, tyro.conf.arg(metavar="FILE.json", help="write the summary as JSON too")] = None,
    save_weights: Annotated[
        Path | None, tyro.conf.arg(metavar="FILE.safetensors", help="write the weights learnt with adapt.enabled")
    ] = None,
) -> None:
    """Find people in recorded LiDAR clouds and write their tracked 3D skeletons, markers and TF as MCAP."""
    console = Console(stderr=True)
    settings = load_config(config, [*overrides, *_inputs(topic, detections, classes, tolerance_ms)])
    _check(source, topic, detections, settings.input.detections_type)
    with ExitStack() as stack:
        sinks: list[Sink] = [stack.enter_context(_rerun())] if viz else []
        draw = _report(source, sinks) if report else None
        result = replay(
            source,
            out,
            settings,
            include_cloud,
            sinks,
            progress=lambda records, total: track(records, "replaying", total, console=console),
            save_weights=save_weights,
        )
    Console().print(table(result))
    if draw and report:
        Console().print(f"report: {draw(report, result).resolve()}", soft_wrap=True)
    if summary:
        write_file(summary, json.dumps(result.to_dict(), indent=2) + "\n", mend="name another file with --summary")


def _report(source: Path, sinks: list[Sink]) -> Callable[[Path, Summary], Path]:
    """What draws the report once all is replayed; keeps the frames for it as one more sink."""
    from gckpl_ros.commands.report import Scenes, report

    scenes = Scenes(source)
    sinks.append(scenes)
    return lambda folder, result: report(folder, scenes, result)


def _rerun() -> "RerunView":
    from gckpl_ros.view.rerun_view import RerunView

    return RerunView(spawn=True)


def _inputs(
    topic: Sequence[str], detections: str | None, classes: Sequence[str] | None, tolerance_ms: float | None
) -> Iterator[str]:
    """Options as overrides; JSON is YAML."""
    yield from input_overrides(topic, detections)
    if classes is not None:
        yield f"input.classes={json.dumps(classes)}"
    if tolerance_ms is not None:
        yield f"input.tolerance_s={tolerance_ms / 1e3}"


def _check(source: Path, topic: Sequence[str], detections: str | None, kind: str) -> None:
    """Raises InputError that lists all topics where one that was asked for is not there: no other takes its place."""
    with open_recording(source) as bag:
        for name in topic:
            bag.topic(CLOUD_TYPE, resolve(name))
        if detections and detections != NO_DETECTIONS:
            bag.topic(kind, resolve(detections), option="--detections")
