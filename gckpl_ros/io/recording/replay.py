"""The command `gckpl replay`: a recording with clouds in, a recording with skeletons out."""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Annotated, TypeAlias

import tyro

from gckpl_ros.config import Config, load_config
from gckpl_ros.errors import InputError
from gckpl_ros.files import write_file
from gckpl_ros.io.live.interface import OUTPUTS, resolve
from gckpl_ros.io.live.sample import Sample, SkippedError
from gckpl_ros.io.messages.outputs import Outputs
from gckpl_ros.io.recording.bag import BagReader, BagWriter, Record
from gckpl_ros.io.recording.replay_input import CLOUD_TYPE, TF_TYPE, Options, ReplayInput
from gckpl_ros.io.recording.summary import Summary, Tally, table
from gckpl_ros.pipeline import Pipeline
from gckpl_ros.types import Frame

# What the live node publishes too, on the topics that it has by default.
_TOPICS = {name: resolve(OUTPUTS[name].topic) for name in ("skeletons", "markers", "tf")}
SKELETONS, MARKERS = _TOPICS["skeletons"], _TOPICS["markers"]

DEFAULTS = Options()
Observer: TypeAlias = Callable[[Sample, Frame], None]
Progress: TypeAlias = Callable[[Iterable[Record], int], Iterable[Record]]


def _nobody(sample: Sample, frame: Frame) -> None:
    """Looks at nothing."""


def replay(
    source: Path,
    out: Path,
    config: Config,
    options: Options = DEFAULTS,
    observe: Observer = _nobody,
    progress: Progress = lambda records, total: records,
    save_weights: Path | None = None,
) -> Summary:
    """Skeletons of every cloud in ``source`` into ``out`` (.mcap); the same input makes the same bytes.

    Clouds that cannot be used are skipped and counted. With ``adapt.enabled`` it learns between clouds, and what was
    learnt goes to ``save_weights``. Raises InputError if the recording, the topics, the weights or the place of the
    output are wrong, or if not a single cloud can be used; then there is no output.
    """
    if save_weights and not config.adapt.enabled:
        raise InputError("--save-weights: nothing is learnt without --set adapt.enabled=true")
    if source.resolve() == out.resolve():
        raise InputError(f"{out} is the recording to be read: give the output another name")
    with BagReader(source) as bag:
        replayed = ReplayInput(bag, options, config.track.frame)
        copied = {replayed.topic: CLOUD_TYPE} if options.include_cloud else {}
        copied |= dict.fromkeys(bag.of_type(TF_TYPE), TF_TYPE) if options.include_cloud else {}
        topics = {replayed.topic, *copied}
        pipeline, tally = Pipeline(config), Tally(dropped=replayed.dropped)
        written = {topic: OUTPUTS[name].type for name, topic in _TOPICS.items()}
        with BagWriter(out, written | copied) as writer:
            outputs = Outputs(writer.types, config.output)
            for record in progress(bag.records(topics), sum(map(bag.count, topics))):
                if record.topic in copied:
                    writer.write_raw(*record)
                if record.topic == replayed.topic and (sample := _sample(replayed, record, tally)):
                    frame = _process(pipeline, sample)
                    tally.add(_write(writer, outputs, record.received_ns, sample, frame))
                    observe(sample, frame)
            tally.check(source, replayed.topic)
        pipeline.adapter.stop()
    if save_weights:
        pipeline.adapter.save(save_weights)
    return tally.summary(source, out, replayed.topic, pipeline.adapter.status)


def _sample(replayed: ReplayInput, record: Record, tally: Tally) -> Sample | None:
    tally.clouds += 1
    try:
        return replayed.sample(record)
    except SkippedError as error:
        tally.skip(error.reason, str(error))
        return None


def _process(pipeline: Pipeline, sample: Sample) -> Frame:
    if sample.restarted:
        pipeline.reset()
    frame = pipeline.process(sample.cloud, sample.boxes, sample.T_fixed_cloud)
    pipeline.adapter.keep_pace()
    return replace(frame, timings_ms={"decode": sample.decode_ms, **frame.timings_ms})


def _write(writer: BagWriter, outputs: Outputs, received_ns: int, sample: Sample, frame: Frame) -> Frame:
    """Write all outputs of a frame; returns it with the time that this took."""
    start = perf_counter()
    for name, message in outputs.encode(sample.cloud, frame, _TOPICS):
        writer.write(_TOPICS[name], received_ns, message)
    return replace(frame, timings_ms={**frame.timings_ms, "encode": 1e3 * (perf_counter() - start)})


def main(
    source: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="IN", help="rosbag2 directory, .mcap or .db3")],
    out: Annotated[Path, tyro.conf.arg(metavar="OUT.mcap", help="recording to write")],
    topic: Annotated[str, tyro.conf.arg(help="PointCloud2 topic; empty: the only one")] = "",
    detections: Annotated[str, tyro.conf.arg(help="Detection3DArray topic; empty: the only one; none: not used")] = "",
    classes: Annotated[
        tuple[str, ...], tyro.conf.arg(help="classes of detections that are people; given without names: all")
    ] = DEFAULTS.classes,
    tolerance_ms: Annotated[
        float | None, tyro.conf.arg(help="how far the stamps of cloud and detections may be apart; None: half a scan")
    ] = None,
    config: Annotated[Path | None, tyro.conf.arg(help="YAML file, see `gckpl config`")] = None,
    overrides: Annotated[
        tuple[str, ...], tyro.conf.arg(name="set", metavar="SECTION.KEY=VALUE", help="single parameters")
    ] = (),
    include_cloud: Annotated[bool, tyro.conf.arg(help="copy the clouds and transforms into the output")] = False,
    viz: Annotated[bool, tyro.conf.arg(help="show everything in rerun while it runs")] = False,
    summary: Annotated[Path | None, tyro.conf.arg(metavar="FILE.json", help="write the summary as JSON too")] = None,
    save_weights: Annotated[
        Path | None, tyro.conf.arg(metavar="FILE.safetensors", help="write the weights learnt with adapt.enabled")
    ] = None,
) -> None:
    """Find people in recorded LiDAR clouds and write their tracked 3D skeletons, markers and TF as MCAP."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    options = Options(topic, detections, classes, tolerance_ms, include_cloud)
    with _rerun() if viz else nullcontext(_nobody) as observe:
        result = replay(
            source,
            out,
            load_config(config, overrides),
            options,
            observe,
            progress=lambda records, total: track(records, "replaying", total, console=console),
            save_weights=save_weights,
        )
    Console().print(table(result))
    if summary:
        write_file(summary, json.dumps(result.to_dict(), indent=2) + "\n", mend="name another file with --summary")


@contextmanager
def _rerun() -> Iterator[Observer]:
    from gckpl_ros.view.rerun_view import RerunView

    with RerunView(spawn=True) as view:
        yield lambda sample, frame: view.log(sample.cloud, frame, sample.boxes, sample.T_fixed_cloud)
