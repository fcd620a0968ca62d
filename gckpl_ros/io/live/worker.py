"""The thread that makes skeletons of live clouds, and what services ask of it.

The node and `gckpl live` differ only in where messages go.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import partial
from threading import Event, Lock, Thread
from time import perf_counter
from traceback import format_exc
from typing import Any, Final, NamedTuple, Protocol, TypeAlias, runtime_checkable

from gckpl_ros.adapt import AdapterProcess, NoAdapter
from gckpl_ros.config import Config
from gckpl_ros.errors import InputError
from gckpl_ros.io.live.live_input import LiveInput
from gckpl_ros.io.live.status import Status
from gckpl_ros.io.messages.outputs import Outputs
from gckpl_ros.pipeline import Pipeline
from gckpl_ros.reasons import INTERNAL
from gckpl_ros.runner import Runner
from gckpl_ros.types import Frame, Sample

_PATIENCE_S: Final = 0.1


@runtime_checkable
class Transport(Protocol):
    """Where messages go."""

    def wanted(self) -> Collection[str]:
        """Names of the outputs that somebody takes."""
        ...

    def publish(self, name: str, message: Any) -> None:
        """Send one output."""
        ...

    def log(self, text: str) -> None:
        """Tell a person that something went wrong."""
        ...


class _Messages:
    """The sink of live frames: each wanted output, made and sent."""

    def __init__(self, outputs: Outputs, transport: Transport) -> None:
        self._outputs = outputs
        self._transport = transport
        self._wanted: Collection[str] = ()

    def wanted(self) -> Collection[str]:
        """What somebody takes now; the next frame is written for them."""
        self._wanted = self._transport.wanted()
        return self._wanted

    def write(self, sample: Sample, frame: Frame) -> None:
        """Publish a frame."""
        for name, message in self._outputs.encode(sample.cloud, frame, self._wanted):
            self._transport.publish(name, message)


class Worker:
    """The loop on live samples, in its own thread. No message can end it: what fails is counted, and logged once."""

    def __init__(
        self,
        pipeline: Pipeline,
        adapter: AdapterProcess | NoAdapter,
        source: LiveInput,
        outputs: Outputs,
        transport: Transport,
        status: Status,
    ) -> None:
        """``adapter``: learns beside the work, while the worker runs."""
        self.adapter = adapter
        self._runner = Runner(pipeline, [adapter], [_Messages(outputs, transport)])
        self._source = source
        self._outputs = outputs
        self._transport = transport
        self._status = status
        self._lock = Lock()  # between two clouds
        self._ending = Event()
        self._thread: Thread | None = None
        self._logged: set[str] = set()

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
            self._runner.reset()

    def configure(self, config: Config) -> None:
        """Take over other values between two clouds."""
        with self._lock:
            self._runner.configure(config)
            self._outputs.configure(config.output)

    def _run(self) -> None:
        while not self._ending.is_set():
            try:
                if sample := self._source.take(_PATIENCE_S):
                    with self._lock:
                        self._step(sample)
            except Exception as error:
                self._fail(error)

    def _step(self, sample: Sample) -> None:
        start = perf_counter()
        frame = self._runner.step(sample)
        latency_ms = sample.wait_ms + sample.decode_ms + 1e3 * (perf_counter() - start)
        self._status.add(replace(frame, timings_ms={"wait": sample.wait_ms, **frame.timings_ms}), latency_ms)

    def _fail(self, error: Exception) -> None:
        self._status.count(INTERNAL, example=f"{type(error).__name__}: {error}")
        if type(error).__name__ not in self._logged:
            self._logged.add(type(error).__name__)
            self._transport.log(f"a cloud was skipped, please report this:\n{format_exc()}")

    def _farewell(self) -> None:
        try:
            for name, message in self._outputs.clear(self._transport.wanted()):
                self._transport.publish(name, message)
        except Exception as error:
            self._fail(error)


class Answer(NamedTuple):
    """The response of a std_srvs/Trigger or SetBool."""

    success: bool
    message: str


Serve: TypeAlias = Callable[[Any], Answer]


Act: TypeAlias = Callable[[Worker, Any], str]


def served(worker: Worker) -> Mapping[str, Serve]:
    """What answers a request, by names of SERVICES; `enable` is left to whoever can shut the inputs."""
    return {name: partial(_answer, act, worker) for name, act in _ACTS.items()}


def _answer(act: Act, worker: Worker, request: Any) -> Answer:
    """Whoever asks is told why something cannot be done."""
    try:
        return Answer(True, act(worker, request))
    except InputError as error:
        return Answer(False, str(error))


def _reset_tracks(worker: Worker, request: Any) -> str:
    worker.reset()
    return "everybody is forgotten"


def _pause(worker: Worker, request: Any) -> str:
    if request.data:
        worker.adapter.pause()
        return "nothing is collected or learnt"
    worker.adapter.resume()
    return "adaptation goes on"


def _reset(worker: Worker, request: Any) -> str:
    worker.adapter.reset()
    return "back to the weights that were loaded; what was collected is forgotten"


def _save(worker: Worker, request: Any) -> str:
    return f"written to {worker.adapter.save()}"


def _load(worker: Worker, request: Any) -> str:
    worker.adapter.load()
    return "back to what was last written"


_ACTS: Final[Mapping[str, Act]] = {
    "reset_tracks": _reset_tracks,
    "pause_adaptation": _pause,
    "reset_adaptation": _reset,
    "save_adaptation": _save,
    "load_adaptation": _load,
}
