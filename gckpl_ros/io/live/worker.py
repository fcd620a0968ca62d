"""The thread that makes skeletons of live clouds; the node and `gckpl live` differ only in where messages go."""

from collections.abc import Collection
from dataclasses import replace
from threading import Event, Lock, Thread
from time import perf_counter
from traceback import format_exc
from typing import Any, Final, Protocol, runtime_checkable

from gckpl_ros.adapt import Adapter, NoAdapter
from gckpl_ros.config import Config
from gckpl_ros.io.live.matching import LiveInput
from gckpl_ros.io.live.sample import Sample
from gckpl_ros.io.live.status import Status
from gckpl_ros.io.messages.outputs import Outputs
from gckpl_ros.pipeline import Pipeline
from gckpl_ros.types import Frame

_PATIENCE_S: Final = 0.1


@runtime_checkable
class Sink(Protocol):
    """Where results go."""

    def wanted(self) -> Collection[str]:
        """Names of the outputs that somebody takes."""
        ...

    def publish(self, name: str, message: Any) -> None:
        """Send one output."""
        ...

    def log(self, text: str) -> None:
        """Tell a person that something went wrong."""
        ...


class Worker:
    """Takes samples, runs the pipeline, publishes. No message can end it: what fails is counted, and told once."""

    def __init__(self, pipeline: Pipeline, source: LiveInput, outputs: Outputs, sink: Sink, status: Status) -> None:
        self._pipeline = pipeline
        self._source = source
        self._outputs = outputs
        self._sink = sink
        self._status = status
        self._lock = Lock()  # between two clouds
        self._ending = Event()
        self._thread: Thread | None = None
        self._told: set[str] = set()

    @property
    def adapter(self) -> Adapter | NoAdapter:
        """What learns beside the work; it runs while the worker does."""
        return self._pipeline.adapter

    def start(self) -> None:
        """Begin, with nobody known and nothing waiting."""
        self.reset()
        self._source.clear()
        self._ending.clear()
        self.adapter.start()
        self._thread = Thread(target=self._run, name="gckpl worker", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End after the cloud in work; markers of people are deleted."""
        self._ending.set()
        if self._thread:
            self._thread.join()
            self._thread = None
            self.adapter.stop()
            self._farewell()

    def reset(self) -> None:
        """Forget everybody; ids are not used again."""
        with self._lock:
            self._pipeline.reset()

    def configure(self, config: Config) -> None:
        """Take over other values between two clouds."""
        with self._lock:
            self._pipeline.configure(config)
            self._outputs.configure(config.output)

    def _run(self) -> None:
        while not self._ending.is_set():
            try:
                if sample := self._source.take(_PATIENCE_S):
                    with self._lock:
                        self._process(sample)
            except Exception as error:
                self._fail(error)

    def _process(self, sample: Sample) -> None:
        if sample.restarted:
            self._pipeline.reset()
        start = perf_counter()
        wanted = self._sink.wanted()
        frame = self._pipeline.process(sample.cloud, sample.boxes, sample.T_fixed_cloud, parts="parts" in wanted)
        frame = replace(frame, timings_ms={"decode": sample.decode_ms, **frame.timings_ms})
        encode_ms = self._publish(sample, frame, wanted)
        latency_ms = sample.wait_ms + sample.decode_ms + 1e3 * (perf_counter() - start)
        timings = {"wait": sample.wait_ms, **frame.timings_ms, "encode": encode_ms}
        self._status.add(replace(frame, timings_ms=timings), latency_ms)

    def _publish(self, sample: Sample, frame: Frame, wanted: Collection[str]) -> float:
        start = perf_counter()
        for name, message in self._outputs.encode(sample.cloud, frame, wanted):
            self._sink.publish(name, message)
        return 1e3 * (perf_counter() - start)

    def _fail(self, error: Exception) -> None:
        self._status.skip(f"internal error: {type(error).__name__}")
        if type(error).__name__ not in self._told:
            self._told.add(type(error).__name__)
            self._sink.log(f"a cloud was skipped, please report this:\n{format_exc()}")

    def _farewell(self) -> None:
        try:
            for name, message in self._outputs.clear(self._sink.wanted()):
                self._sink.publish(name, message)
        except Exception as error:
            self._fail(error)
