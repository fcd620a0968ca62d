"""THE loop: source -> pipeline -> observers -> sinks. Node, `gckpl live`, replays, collection and benchmarks run it."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from time import perf_counter
from typing import Protocol, runtime_checkable

from gckpl_ros.config import Config
from gckpl_ros.estimate.network import KeypointNetwork
from gckpl_ros.pipeline import Pipeline
from gckpl_ros.types import Frame, Sample


@runtime_checkable
class Observer(Protocol):
    """Sees every frame, and may give the pipeline another network between two; whoever inherits this does neither."""

    def update(self) -> KeypointNetwork | None:
        """A network to estimate with from the next frame on, each only once."""
        return None

    def observe(self, sample: Sample, frame: Frame) -> None:
        """Take in a frame with the sample it was made of."""
        return

    def end_tracks(self) -> None:
        """What comes next does not go on from what came: time restarted, or everybody is forgotten."""
        return

    def configure(self, config: Config) -> None:
        """Take over other values between two frames."""
        return


@runtime_checkable
class Sink(Protocol):
    """Where frames go; names its wishes first."""

    def wanted(self) -> Collection[str]:
        """Names of what it takes of the next frame; what nobody takes is not made."""
        ...

    def write(self, sample: Sample, frame: Frame) -> None:
        """Take a frame with the sample it was made of."""
        ...


class Runner:
    """Leads samples through the pipeline, shows each frame to all observers, then hands it to all sinks."""

    def __init__(self, pipeline: Pipeline, observers: Sequence[Observer] = (), sinks: Sequence[Sink] = ()) -> None:
        self._pipeline = pipeline
        self._observers = observers
        self._sinks = sinks

    def run(self, source: Iterable[Sample]) -> Iterator[tuple[Sample, Frame]]:
        """Every sample with its frame, once all have seen it."""
        for sample in source:
            yield sample, self.step(sample)

    def step(self, sample: Sample) -> Frame:
        """One sample all the way; the frame's timings tell how long its decoding and the sinks took too."""
        if sample.restarted:
            self.reset()
        for observer in self._observers:
            self._pipeline.network = observer.update() or self._pipeline.network
        wanted = {name for sink in self._sinks for name in sink.wanted()}
        frame = self._pipeline.process(sample, wanted)
        frame = replace(frame, timings_ms={"decode": sample.decode_ms, **frame.timings_ms})
        for observer in self._observers:
            observer.observe(sample, frame)
        start = perf_counter()
        for sink in self._sinks:
            sink.write(sample, frame)
        return replace(frame, timings_ms={**frame.timings_ms, "encode": 1e3 * (perf_counter() - start)})

    def reset(self) -> None:
        """Forget everybody; ids are not used again."""
        self._pipeline.reset()
        for observer in self._observers:
            observer.end_tracks()

    def configure(self, config: Config) -> None:
        """Take over other values between two samples; people and their ids stay, and so does all that is FIXED."""
        self._pipeline.configure(config)
        for observer in self._observers:
            observer.configure(config)
