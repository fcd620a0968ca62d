"""The online adapter: what runner, node and commands see of learning, safe to use from any thread."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from threading import Event, Lock, RLock, Thread, get_native_id
from time import perf_counter
from typing import Final, NoReturn

import torch

from gckpl_ros.adapt.collector import Collector, lasting
from gckpl_ros.adapt.guard import Anchors
from gckpl_ros.adapt.storage import LEARNER_FILE, WEIGHTS_FILE, Activity, AdaptationState, Progress, Storage
from gckpl_ros.adapt.trainer import Trainer, default_teacher
from gckpl_ros.config import AdaptConfig, Config
from gckpl_ros.errors import InputError
from gckpl_ros.estimate.network import KeypointNetwork
from gckpl_ros.learn.teachers import Teacher
from gckpl_ros.people.tracklets import Tracklet
from gckpl_ros.types import Frame, Sample

# What passes between the threads that estimate and the one that learns, under a lock that is held for moments only.


class Handover:
    """People go one way, networks and news the other; nothing here waits for a step."""

    def __init__(self, tracklet_s: float) -> None:
        self._lock = Lock()
        self._collector = Collector(lasting(tracklet_s))
        self._fresh: KeypointNetwork | None = None
        self._state = AdaptationState(Activity.COLLECTING)
        self._paused, self._failure = False, ""

    @property
    def status(self) -> AdaptationState:
        """How things are now; never waits for a step."""
        with self._lock:
            if self._failure:
                return replace(self._state, state=Activity.FAILED, reason=self._failure)
            return replace(self._state, state=Activity.PAUSED, reason="on request") if self._paused else self._state

    def observe(self, sample: Sample, frame: Frame) -> None:
        """Take in the tracked people of one frame; never waits for a step, never raises."""
        try:
            with self._lock:
                if not (self._paused or self._failure):
                    self._collector.add(*frame.tracked(), frame.stamp_ns, sample.pose)
        except Exception as error:
            self._fail(error)

    def end_tracks(self) -> None:
        """What comes next does not go on from what came: time restarted."""
        with self._lock:
            self._collector.end()

    def update(self) -> KeypointNetwork | None:
        """A network to estimate with from now on, each only once."""
        with self._lock:
            fresh, self._fresh = self._fresh, None
            return fresh

    def pause(self) -> None:
        """Neither collect nor learn, until ``resume``."""
        with self._lock:
            self._paused = True
            self._collector.end()

    def resume(self) -> None:
        """Go on after ``pause``."""
        with self._lock:
            self._paused = False

    def _take(self, most: int) -> Sequence[Tracklet] | None:
        """Tracklets that wait; None where there is no learning now."""
        with self._lock:
            return None if self._paused or self._failure else self._collector.take(most)

    def _hand_over(self, state: AdaptationState, fresh: KeypointNetwork | None = None) -> None:
        """What ``status`` says from now on; ``fresh``: what ``update`` gives next."""
        with self._lock:
            self._state, self._fresh = state, fresh or self._fresh

    def _fail(self, error: Exception) -> None:
        with self._lock:
            self._failure = f"{type(error).__name__}: {error}"

    def _forget(self) -> None:
        """Nobody was ever seen, nothing ever failed."""
        with self._lock:
            self._collector.clear()
            self._failure = ""


class Adapter(Handover):
    """Learns beside the estimation, on its own copy of the network; every method may be called from any thread.

    Live: ``start`` its thread, ``stop`` it. Replay: ``keep_pace`` after every cloud, ``stop`` at the end (saves).
    """

    def __init__(
        self, config: Config, network: KeypointNetwork, device: torch.device, teacher: Teacher, anchors: Anchors
    ) -> None:
        """``network`` is left alone. Continues what ``adapt.folder`` holds; what does not fit is told as reason."""
        super().__init__(config.adapt.tracklet_s)
        self._config, self._device, self._owed = config.adapt, device, 0.0
        self._working = RLock()  # of the trainer and the files, held for whole steps
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]
        self._pace = Pace(self._advance, self._keep, config.adapt)
        self._storage = Storage(network, config.estimate.weights)
        with self._workplace():
            self._trainer = Trainer(config.adapt, network, device, teacher, anchors)
            self._begin()

    def configure(self, config: Config) -> None:
        """Take over other values of ``adapt``, but for those that are FIXED."""
        self._config = self._pace.config = config.adapt
        self._trainer.configure(config.adapt)

    def work(self, steps: int) -> None:
        """Learn so many steps now, in the caller's thread; the same input gives the same weights. Never raises."""
        for _ in range(steps):
            self._advance()

    def keep_pace(self) -> None:
        """For replay, after every cloud: work ``adapt.steps_per_cloud`` steps; fractions add up."""
        self._owed += self._config.steps_per_cloud
        steps = int(self._owed)
        self._owed -= steps
        self.work(steps)

    def start(self) -> None:
        """Begin to learn in a thread of its own, within ``adapt.budget_ms_per_s``; nothing if it runs."""
        self._pace.start()

    def stop(self) -> None:
        """End the thread after the step in work, and save if ``adapt.folder`` is set; the weights are kept."""
        self._pace.stop()
        self._keep()

    def reset(self) -> None:
        """Back to the weights that were loaded; all that was collected is forgotten, a failure too."""
        with self._workplace():
            self._forget()
            self._trainer.reset()
            self._report(self._trainer.network)

    def save(self, path: Path | None = None) -> Path:
        """Write the accepted weights to ``path``, or weights and learner to ``adapt.folder``; returns the first file.

        Raises InputError where there is no folder or it cannot be written.
        """
        file = path or self._folder() / WEIGHTS_FILE
        with self._workplace():
            self._storage.save_weights(file, self._trainer.network, self._trainer.progress)
            if path is None:
                learner = file.with_name(LEARNER_FILE)
                self._storage.save_learner(learner, self._trainer.progress, self._trainer.learner_state())
        return file

    def load(self, path: Path | None = None) -> None:
        """Go on from the weights in ``path``, or from weights and learner in ``adapt.folder``.

        Raises InputError if they cannot be read, are not adapted from the loaded weights, or the guard refuses them.
        """
        file = path or self._folder() / WEIGHTS_FILE
        with self._workplace():
            network = self._storage.load_weights(file, self._device)
            if objection := self._trainer.guard.objection(network):
                raise InputError(f"weights {file} are refused: {objection}")
            learner = file.with_name(LEARNER_FILE)
            if path is None and learner.exists():
                self._trainer.continue_from(network, *self._storage.load_learner(learner, self._device))
            else:
                self._trainer.continue_from(network, Progress())
            self._report(network)

    def _begin(self) -> None:
        """Continue what a former run left, if it fits."""
        self._report()
        try:
            if self._config.folder and (self._folder() / WEIGHTS_FILE).exists():
                self.load()
        except InputError as error:
            self._complain(f"began anew: {error}")

    def _keep(self) -> None:
        """Save, where there is a folder; that it failed is told."""
        try:
            if self._config.folder:
                self.save()
        except InputError as error:
            self._complain(str(error))

    def _folder(self) -> Path:
        if not self._config.folder:
            raise InputError("there is no folder for adapted weights: set adapt.folder")
        return Path(self._config.folder)

    def _advance(self) -> bool:
        """Label and learn for one step; says whether there was anything to do."""
        try:
            with self._workplace():
                return self._step()
        except Exception as error:
            self._fail(error)
            return False

    def _step(self) -> bool:
        seen = self._take(self._trainer.wants())
        if seen is None:
            return False
        before = self._trainer.network
        self._trainer.show(seen)
        ready = self._trainer.ready
        if ready:
            self._trainer.learn()
        self._report(self._trainer.network if self._trainer.network is not before else None)
        return ready or bool(seen)

    def _complain(self, reason: str) -> None:
        self._trainer.progress.reason = reason
        self._report()

    def _report(self, fresh: KeypointNetwork | None = None) -> None:
        """Tell how far the trainer is; what it wrote on the device is whole before anyone takes ``fresh``."""
        progress = self._trainer.progress
        activity = Activity.TRAINING if self._trainer.ready else Activity.COLLECTING
        if self._stream:
            self._stream.synchronize()
        losses = dict(progress.losses)
        state = AdaptationState(
            activity, losses=losses, reason=progress.reason, drift_m=progress.drift_m, **progress.counts()
        )
        self._hand_over(state, fresh)

    @contextmanager
    def _workplace(self) -> Iterator[None]:
        """One at a time, and on CUDA beside the stream of those that estimate."""
        with self._working, torch.cuda.stream(self._stream):
            yield


# The null object for an adapter that is off.

_OFF: Final = "adaptation is off: set adapt.enabled"


class NoAdapter:
    """Stands in for the adapter when it is off: learns nothing, and answers every command with InputError."""

    status: Final = AdaptationState(Activity.DISABLED)

    def observe(self, sample: Sample, frame: Frame) -> None:
        """Looks at nothing."""

    def end_tracks(self) -> None:
        """Nothing to end."""

    def update(self) -> KeypointNetwork | None:
        """Never."""
        return None

    def configure(self, config: Config) -> None:
        """Nothing to take over."""

    def work(self, steps: int) -> None:
        """No steps."""

    def keep_pace(self) -> None:
        """No steps."""

    def start(self) -> None:
        """No thread."""

    def stop(self) -> None:
        """No thread, nothing to save."""

    def pause(self) -> NoReturn:
        """Raises InputError: it is off."""
        raise InputError(_OFF)

    def resume(self) -> NoReturn:
        """Raises InputError: it is off."""
        raise InputError(_OFF)

    def reset(self) -> NoReturn:
        """Raises InputError: it is off."""
        raise InputError(_OFF)

    def save(self, path: Path | None = None) -> Path:
        """Raises InputError: it is off."""
        raise InputError(_OFF)

    def load(self, path: Path | None = None) -> NoReturn:
        """Raises InputError: it is off."""
        raise InputError(_OFF)


def load_adapter(config: Config, network: KeypointNetwork) -> Adapter | NoAdapter:
    """What learns beside the estimation by ``network``, if it is to; raises InputError where it has no teacher."""
    if not config.adapt.enabled:
        return NoAdapter()
    device = next(network.parameters()).device
    return Adapter(config, network, device, default_teacher(config, network), Anchors.load())


# The thread that learns within a budget, below the priority of those that estimate.

_IDLE_S: Final = 0.1
_NICENESS: Final = 10


class Pace:
    """Calls ``advance`` so that it takes its share of the time, and ``keep`` now and then; both must not raise.

    ``advance`` works for one step, and says whether there was anything to do.
    """

    def __init__(self, advance: Callable[[], bool], keep: Callable[[], None], config: AdaptConfig) -> None:
        self.config = config
        self._advance, self._keep = advance, keep
        self._lock = Lock()
        self._ending, self._alone = Event(), Event()
        self._thread: Thread | None = None

    def start(self) -> None:
        """Begin; nothing if it runs."""
        with self._lock:
            if self._thread is None:
                self._ending.clear()
                self._alone.clear()
                self._thread = Thread(target=self._run, name="gckpl adapter", daemon=True)
                threads = torch.get_num_threads()
                self._thread.start()
                self._alone.wait()
                torch.set_num_threads(threads)  # threads to come take over what was set last, by whichever thread

    def stop(self) -> None:
        """End after the step in work."""
        with self._lock:
            self._ending.set()
            if self._thread is not None:
                self._thread.join()
                self._thread = None

    def _run(self) -> None:
        _give_way()
        self._alone.set()
        kept_s = perf_counter()
        while not self._ending.is_set():
            start_s = perf_counter()
            busy = self.config.budget_ms_per_s > 0 and self._advance()
            now_s = perf_counter()
            if now_s - kept_s > self.config.save_every_s:
                self._keep()
                kept_s = perf_counter()
            self._ending.wait(rest_s(now_s - start_s, self.config.budget_ms_per_s) if busy else _IDLE_S)


def rest_s(spent_s: float, budget_ms_per_s: float) -> float:
    """How long to rest after work, so that the share of both that is work is the budget (over 0)."""
    return spent_s * max(1000 / budget_ms_per_s - 1, 0)


def _give_way() -> None:
    """Compute on one core, and on Linux, where a thread has a niceness of its own, after the others.

    Several threads of torch wait for each other in a loop: on cores that are busy one is many times faster.
    """
    torch.get_num_threads()  # else the first computation would set this thread's number anew
    torch.set_num_threads(1)
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, get_native_id(), _NICENESS)
