"""Learning in a process of its own: it may crash, hang or be killed, and those that estimate do not notice.

    those that estimate             the process
      people --- files in memory --->  Adapter, step by step, within adapt.budget_ms_per_s
      network <-- files in memory ---

What passes through the socket is small, so that nobody waits in writing; arrays lie in files, in memory where the
system has a folder for that.
"""

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from copy import deepcopy
from dataclasses import replace
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from threading import Event, Lock, RLock, Thread
from time import monotonic, perf_counter
from typing import Any, Final, NamedTuple
from weakref import finalize

import torch

from gckpl_ros.adapt.adapter import Adapter, Handover, NoAdapter
from gckpl_ros.adapt.guard import Anchors
from gckpl_ros.adapt.storage import Activity, AdaptationState, Progress
from gckpl_ros.adapt.trainer import default_teacher
from gckpl_ros.config import Config
from gckpl_ros.errors import InputError
from gckpl_ros.estimate.checkpoint import fingerprint
from gckpl_ros.estimate.network import KeypointNetwork
from gckpl_ros.learn.teachers import Teacher
from gckpl_ros.people.tracklets import Tracklet

_MEMORY: Final = Path("/dev/shm")
HUNG_S: Final = 120.0
"""Who works and says nothing for so long is ended."""
_ANSWER_S: Final = 60.0
_FAREWELL_S: Final = 10.0
_LOOK_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 60.0
"""Between two starts, each twice as long as the one before, from a second on."""


class _News(NamedTuple):
    """How things are; a file of weights where there are others."""

    state: AdaptationState
    progress: Progress
    weights: str | None


class _Wanted(NamedTuple):
    """So many tracklets."""

    most: int


class _Answer(NamedTuple):
    """To a command: what it gave, or why it was refused."""

    number: int
    value: Any
    refusal: str | None


class _People(NamedTuple):
    """A file of tracklets; None: no learning now, wait to be woken."""

    file: str | None


class _Command(NamedTuple):
    """A method of the adapter and what it takes."""

    number: int
    name: str
    arguments: tuple[Any, ...]


class _Awake:
    """There may be learning again."""


# The side of those that estimate.


class AdapterProcess(Handover):
    """The adapter of live input: as ``Adapter``, in a process that is watched, and started anew where it ends."""

    def __init__(
        self,
        config: Config,
        network: KeypointNetwork,
        device: torch.device,
        teacher: Teacher,
        anchors: Anchors,
        gives_way: bool = True,
    ) -> None:
        """``network`` is left alone. ``gives_way``: the process learns behind those that estimate."""
        super().__init__(config.adapt.tracklet_s)
        self._network, self._device = deepcopy(network).cpu(), device
        self._config, self._learns_from, self._gives_way = config, (teacher, anchors), gives_way
        self._accepted: tuple[Path | None, Progress] = None, Progress()
        self._restarts, self._commands = 0, 0
        self._place = Path(mkdtemp(prefix="gckpl_", dir=_MEMORY if _MEMORY.is_dir() else None))
        finalize(self, rmtree, self._place, ignore_errors=True)
        self._living, self._sending, self._asking = Lock(), RLock(), Lock()
        self._child: _Child | None = None
        self._answer: tuple[int, Future[_Answer]] | None = None
        self._ending = Event()
        self._thread: Thread | None = None

    def configure(self, config: Config) -> None:
        """Take over other values of ``adapt``, but for those that are FIXED."""
        self._config = config
        self._send(_Command(0, "configure", (config,)))

    def start(self) -> None:
        """Begin to learn in a process, within ``adapt.budget_ms_per_s``; nothing if it runs."""
        with self._living:
            if self._thread is None:
                self._ending.clear()
                self._thread = Thread(target=self._run, name="gckpl adapter", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """End the process, which saves if ``adapt.folder`` is set; the weights are kept."""
        with self._living:
            if self._thread is not None:
                with suppress(InputError):
                    self._ask("stop", wait_s=_FAREWELL_S)
                self._ending.set()
                self._thread.join()
                self._thread = None

    def resume(self) -> None:
        """Go on after ``pause``."""
        super().resume()
        self._send(_Awake())

    def reset(self) -> None:
        """Back to the weights that were loaded; all that was collected is forgotten, a failure too."""
        self._ask("reset")
        self._forget()
        self._send(_Awake())

    def save(self, path: Path | None = None) -> Path:
        """As of ``Adapter``; raises InputError, also where no process answers."""
        return Path(self._ask("save", path))

    def load(self, path: Path | None = None) -> None:
        """As of ``Adapter``; raises InputError, also where no process answers."""
        self._ask("load", path)

    def _run(self) -> None:
        """Keep one process alive, and talk with it."""
        pause_s, place = 1.0, self._place
        while not self._ending.is_set():
            self._hand_over(replace(self._state, restarts=self._restarts))
            try:
                start = (self._config, self._network, self._device, *self._learns_from)
                self._child = child = _Child(place, start, self._gives_way)
                child.begin(*self._accepted)
                began_s, why = monotonic(), self._converse(child, place)
                pause_s = 1.0 if monotonic() - began_s > _LONGEST_PAUSE_S else pause_s
            except OSError as error:
                why = f"could not be started: {error}"
            if self._child:
                self._child.end()
            self._child = None
            self._deliver(None, f"the process that learns {why}; it is started anew, ask again")
            if not self._ending.is_set():
                self._restarts += 1
                progress = replace(self._accepted[1], reason=f"the process that learns {why}")
                self._hand_over(progress.state(Activity.COLLECTING, self._restarts))
                self._ending.wait(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _converse(self, child: "_Child", place: Path) -> str:
        """Until the process ends or is to end; says how it ended."""
        heard_s, asleep = monotonic(), False
        while not self._ending.is_set():
            try:
                if not child.socket.poll(_LOOK_S):
                    if not asleep and monotonic() - heard_s > HUNG_S:
                        return f"said nothing for {HUNG_S:g} s"
                    continue
                message = child.socket.recv()
            except (EOFError, OSError):
                return f"ended with status {child.status()}"
            heard_s, asleep = monotonic(), False
            match message:
                case _News():
                    self._hear(message)
                case _Answer():
                    self._deliver(message)
                case _Wanted():
                    with self._sending:  # who resumes wakes the process after it was told to sleep
                        seen = self._take(message.most)
                        self._send(_People(None if seen is None else _written(place / "people", seen)))
                    asleep = seen is None
        return "was to end"

    def _hear(self, news: _News) -> None:
        before, fresh = self._accepted[0], None
        if news.weights:
            fresh = deepcopy(self._network)
            fresh.load_state_dict(torch.load(news.weights, weights_only=True))
            fresh.to(self._device)
            if before:
                before.unlink(missing_ok=True)
        self._accepted = Path(news.weights) if news.weights else before, news.progress
        self._hand_over(replace(news.state, restarts=self._restarts), fresh)

    def _ask(self, name: str, *arguments: Any, wait_s: float = _ANSWER_S) -> Any:
        """Have the process do something; raises InputError where it refuses, or there is none."""
        with self._asking:
            self._commands += 1
            waiting: Future[_Answer] = Future()
            self._answer = self._commands, waiting
            until_s = monotonic() + wait_s
            while not self._send(_Command(self._commands, name, arguments)):
                if self._thread is None or self._ending.wait(0.05) or monotonic() > until_s:
                    raise InputError("no process learns now: it starts with the node's work, and anew after it ended")
            try:
                answer = waiting.result(max(until_s - monotonic(), 0.0))
            except TimeoutError as error:
                raise InputError(f"the process that learns gave no answer within {wait_s:g} s") from error
        if answer.refusal is not None:
            raise InputError(answer.refusal)
        return answer.value

    def _deliver(self, answer: "_Answer | None", refusal: str | None = None) -> None:
        """To whoever waits for this one; None: whatever it is, it is refused."""
        if self._answer and not self._answer[1].done():
            number, waiting = self._answer
            if answer is None or answer.number == number:
                waiting.set_result(answer or _Answer(number, None, refusal))

    def _send(self, message: object) -> bool:
        """To the process, if there is one."""
        with self._sending:
            child = self._child
            if child is None:
                return False
            try:
                child.socket.send(message)
            except OSError:
                return False
            return True


class _Child:
    """A process that runs ``serve``, at the other end of a socket."""

    def __init__(self, place: Path, start: tuple[Any, ...], gives_way: bool) -> None:
        self.socket, theirs = Pipe()
        self._place = place
        _written(place / "start", start)
        code = f"from gckpl_ros.adapt.process import serve; serve({theirs.fileno()}, {str(place)!r}, {gives_way})"
        # One thread, and large arrays given back to the system: a heap that learns for hours does not grow.
        frugal = {"OMP_NUM_THREADS": "1", "MALLOC_MMAP_THRESHOLD_": "1048576", "MALLOC_TRIM_THRESHOLD_": "1048576"}
        frugal["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        self._process = subprocess.Popen(
            [sys.executable, "-c", code], pass_fds=[theirs.fileno()], env={**os.environ, **frugal}
        )
        theirs.close()

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def begin(self, weights: Path | None, progress: Progress) -> None:
        """Say where to go on."""
        self.socket.send((str(weights) if weights else None, progress))

    def status(self) -> int | None:
        """How the process ended."""
        with suppress(subprocess.TimeoutExpired):
            return self._process.wait(5)
        return None

    def end(self) -> None:
        """Whatever it does."""
        self._process.kill()
        self._process.wait()
        self.socket.close()


def _written(path: Path, value: object) -> str:
    """A file that only this process wrote and the other reads, once."""
    path.write_bytes(pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL))
    return str(path)


def start_adapter(config: Config, network: KeypointNetwork) -> AdapterProcess | NoAdapter:
    """What learns beside live estimation by ``network``, if it is to; raises InputError where it has no teacher."""
    if not config.adapt.enabled:
        return NoAdapter()
    device = next(network.parameters()).device
    return AdapterProcess(config, network, device, default_teacher(config, network), Anchors.load())


# The side of the process.

_IDLE_S: Final = 0.5
_NICENESS: Final = 10
"""Of learning, not of the start: a tenth of a core where all are busy, so that commands are still answered."""


class _Served(Adapter):
    """An adapter that asks for people and tells what comes of them, through a socket."""

    def __init__(self, socket: Connection, place: Path, *learnable: Any) -> None:
        self._socket, self._place, self._told = socket, place, 0
        self._ready = False
        super().__init__(*learnable)
        self._loaded, self._ready = fingerprint(learnable[1]), True

    def go_on(self, weights: str | None, progress: Progress) -> None:
        """Where the process before this one was, if there was one."""
        network = deepcopy(self._trainer.network)
        if weights:
            network.load_state_dict(torch.load(weights, weights_only=True))
        if weights or progress.step:
            self._trainer.continue_from(network, progress)
        other = fingerprint(self._trainer.network) != self._loaded
        self._report(self._trainer.network if other else None)

    def obey(self, command: _Command) -> None:
        """Do what the other side asks, and answer."""
        try:
            answer = _Answer(command.number, getattr(self, command.name)(*command.arguments), None)
        except InputError as error:
            answer = _Answer(command.number, None, str(error))
        self._socket.send(answer)

    def serve(self) -> None:
        """Learn within the budget until the other side is gone."""
        rest_s, kept_s = 0.0, perf_counter()
        while True:
            while self._socket.poll(rest_s):
                self._hear()
                rest_s = 0.0
            start_s = perf_counter()
            busy = self._config.budget_ms_per_s > 0 and self.advance()
            now_s = perf_counter()
            if now_s - kept_s > self._config.save_every_s:
                self.stop()
                kept_s = perf_counter()
            rest_s = rest_after(now_s - start_s, self._config.budget_ms_per_s) if busy else _IDLE_S

    def _take(self, most: int) -> Sequence[Tracklet] | None:
        if super()._take(0) is None:
            return None
        self._socket.send(_Wanted(most))
        while not isinstance(reply := self._hear(), _People):
            pass
        if reply.file is not None:
            seen: Sequence[Tracklet] = pickle.loads(Path(reply.file).read_bytes())
            return seen
        while not isinstance(self._hear(), _Awake):
            pass
        return None

    def _hear(self) -> object:
        message = self._socket.recv()
        if isinstance(message, _Command):
            self.obey(message)
        return message

    def _hand_over(self, state: AdaptationState, fresh: KeypointNetwork | None = None) -> None:
        super()._hand_over(state, fresh)
        if self._ready:
            self._tell(self._weights(fresh) if fresh else None)

    def _fail(self, error: Exception) -> None:
        super()._fail(error)
        self._tell(None)

    def _tell(self, weights: str | None) -> None:
        self._socket.send(_News(self.status, deepcopy(self._trainer.progress), weights))

    def _weights(self, network: KeypointNetwork) -> str:
        self._told += 1
        path = self._place / f"weights_{os.getpid()}_{self._told}"
        torch.save({name: value.cpu() for name, value in network.state_dict().items()}, path)
        return str(path)


def serve(socket: int, place: str, gives_way: bool) -> None:
    """Learn for the process at the other end of a socket (a file descriptor), until that is gone; then tidy up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the other side, which then closes
    torch.set_num_threads(1)
    connection = Connection(socket)
    with suppress(EOFError, OSError):
        learnable = pickle.loads((Path(place) / "start").read_bytes())
        adapter = _Served(connection, Path(place), *learnable)
        adapter.go_on(*connection.recv())
        if gives_way:
            os.nice(_NICENESS)
        adapter.serve()
    rmtree(place, ignore_errors=True)


def rest_after(spent_s: float, budget_ms_per_s: float) -> float:
    """How long to rest after work, so that the share of both that is work is the budget (over 0)."""
    return spent_s * max(1000 / budget_ms_per_s - 1, 0)
