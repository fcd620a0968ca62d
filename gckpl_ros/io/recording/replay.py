"""The command `gckpl replay`: a recording with clouds in, a recording with skeletons out."""

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import tyro

from gckpl_ros.adapt import load_adapter
from gckpl_ros.config import Config, load_config
from gckpl_ros.errors import InputError
from gckpl_ros.files import write_file
from gckpl_ros.io.live.interface import OUTPUTS, resolve
from gckpl_ros.io.messages.outputs import Outputs
from gckpl_ros.io.recording.bag import BagReader, BagWriter, Record
from gckpl_ros.io.recording.replay_input import CLOUD_TYPE, TF_TYPE, Options, ReplayInput
from gckpl_ros.io.recording.summary import Summary, Tally, table
from gckpl_ros.pipeline import Pipeline
from gckpl_ros.runner import Runner, Sink
from gckpl_ros.types import Frame, Sample

if TYPE_CHECKING:
    from gckpl_ros.view.rerun_view import RerunView

# What the live node publishes too, on the topics that it has by default.
_TOPICS = {name: resolve(OUTPUTS[name].topic) for name in ("skeletons", "markers", "tf")}
SKELETONS, MARKERS = _TOPICS["skeletons"], _TOPICS["markers"]

DEFAULTS = Options()
Progress: TypeAlias = Callable[[Iterable[Record], int], Iterable[Record]]


class _Written:
    """The sink of a replay: what is published live goes into a recording, received when its cloud was."""

    def __init__(self, writer: BagWriter, outputs: Outputs) -> None:
        self._writer = writer
        self._outputs = outputs

    def wanted(self) -> Collection[str]:
        """Always the same."""
        return _TOPICS

    def write(self, sample: Sample, frame: Frame) -> None:
        """All outputs of a frame."""
        for name, message in self._outputs.encode(sample.cloud, frame, _TOPICS):
            self._writer.write(_TOPICS[name], sample.received_ns, message)


def replay(
    source: Path,
    out: Path,
    config: Config,
    options: Options = DEFAULTS,
    sinks: Sequence[Sink] = (),
    progress: Progress = lambda records, total: records,
    save_weights: Path | None = None,
) -> Summary:
    """Skeletons of every cloud in ``source`` into ``out`` (.mcap); the same input makes the same bytes.

    Clouds that cannot be used are skipped and counted. With ``adapt.enabled`` it learns between clouds, and what was
    learnt goes to ``save_weights``. ``sinks`` take every frame too. Raises InputError if the recording, the topics, the
    weights or the place of the output are wrong, or if not a single cloud can be used; then there is no output.
    """
    if save_weights and not config.adapt.enabled:
        raise InputError("--save-weights: nothing is learnt without --set adapt.enabled=true")
    if source.resolve() == out.resolve():
        raise InputError(f"{out} is the recording to be read: give the output another name")
    with BagReader(source) as bag:
        tally = Tally()
        replayed = ReplayInput(bag, options, config.track.frame, tally)
        copied = {replayed.topic: CLOUD_TYPE} if options.include_cloud else {}
        copied |= dict.fromkeys(bag.of_type(TF_TYPE), TF_TYPE) if options.include_cloud else {}
        topics = {replayed.topic, *copied}
        pipeline = Pipeline(config)
        adapter = load_adapter(config, pipeline.network)
        written = {topic: OUTPUTS[name].type for name, topic in _TOPICS.items()}
        with BagWriter(out, written | copied) as writer:
            runner = Runner(pipeline, [adapter], [_Written(writer, Outputs(writer.types, config.output)), *sinks])
            records = progress(bag.records(topics), sum(map(bag.count, topics)))
            for _, frame in runner.run(replayed.samples(_copied(records, copied, writer))):
                adapter.keep_pace()
                tally.add(frame)
            tally.check(source, replayed.topic)
        adapter.stop()
    if save_weights:
        adapter.save(save_weights)
    return tally.summary(source, out, replayed.topic, adapter.status)


def _copied(records: Iterable[Record], topics: Collection[str], writer: BagWriter) -> Iterator[Record]:
    """The records, of which some go into the output as they are."""
    for record in records:
        if record.topic in topics:
            writer.write_raw(*record)
        yield record


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
    with ExitStack() as stack:
        result = replay(
            source,
            out,
            load_config(config, overrides),
            options,
            [stack.enter_context(_rerun())] if viz else (),
            progress=lambda records, total: track(records, "replaying", total, console=console),
            save_weights=save_weights,
        )
    Console().print(table(result))
    if summary:
        write_file(summary, json.dumps(result.to_dict(), indent=2) + "\n", mend="name another file with --summary")


def _rerun() -> "RerunView":
    from gckpl_ros.view.rerun_view import RerunView

    return RerunView(spawn=True)
