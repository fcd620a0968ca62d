"""A recording with clouds in, a recording with skeletons out."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

from gckpl_ros.adapt import load_adapter
from gckpl_ros.config import Config
from gckpl_ros.errors import InputError
from gckpl_ros.io.live.interface import OUTPUTS, resolve
from gckpl_ros.io.messages.outputs import Outputs
from gckpl_ros.io.recording.bag import BagReader, BagWriter, Record
from gckpl_ros.io.recording.recorded_input import CLOUD_TYPE, TF_TYPE, RecordedInput
from gckpl_ros.io.recording.summary import Summary, Tally
from gckpl_ros.pipeline import Pipeline
from gckpl_ros.runner import Runner, Sink
from gckpl_ros.types import Frame, Sample

# What the live node publishes too, on the topics that it has by default.
_TOPICS = {name: resolve(OUTPUTS[name].topic) for name in ("skeletons", "markers", "tf")}
SKELETONS, MARKERS = _TOPICS["skeletons"], _TOPICS["markers"]

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
    include_cloud: bool = False,
    sinks: Sequence[Sink] = (),
    progress: Progress = lambda records, total: records,
    save_weights: Path | None = None,
) -> Summary:
    """Skeletons of every cloud in ``source`` into ``out`` (.mcap); the same input makes the same bytes.

    ``include_cloud``: clouds and transforms are copied into it. ``sinks`` take every frame too. Clouds that cannot be
    used are skipped and counted. With ``adapt.enabled`` it learns between clouds, and what was learnt goes to
    ``save_weights``. Raises InputError if the recording, the topics, the weights or the place of the output are wrong,
    or if not a single cloud can be used; then there is no output.
    """
    if save_weights and not config.adapt.enabled:
        raise InputError("--save-weights: nothing is learnt without --set adapt.enabled=true")
    if source.resolve() == out.resolve():
        raise InputError(f"{out} is the recording to be read: give the output another name")
    with BagReader(source) as bag:
        tally = Tally()
        replayed = RecordedInput(bag, config, tally)
        topic = ", ".join(replayed.topics)
        copied = dict.fromkeys(replayed.topics, CLOUD_TYPE) if include_cloud else {}
        copied |= dict.fromkeys(bag.of_type(TF_TYPE), TF_TYPE) if include_cloud else {}
        topics = {*replayed.topics, *copied}
        pipeline = Pipeline(config)
        adapter = load_adapter(config, pipeline.network)
        written = {topic: OUTPUTS[name].type for name, topic in _TOPICS.items()}
        with BagWriter(out, written | copied) as writer:
            runner = Runner(pipeline, [adapter], [_Written(writer, Outputs(writer.types, config.output)), *sinks])
            records = progress(bag.records(topics), sum(map(bag.count, topics)))
            for _, frame in runner.run(replayed.samples(_copied(records, copied, writer))):
                adapter.keep_pace()
                tally.add(frame)
            tally.check(source, topic)
        adapter.stop()
    if save_weights:
        adapter.save(save_weights)
    return tally.summary(source, out, topic, adapter.status, replayed.notes)


def _copied(records: Iterable[Record], topics: Collection[str], writer: BagWriter) -> Iterator[Record]:
    """The records, of which some go into the output as they are."""
    for record in records:
        if record.topic in topics:
            writer.write_raw(*record)
        yield record
