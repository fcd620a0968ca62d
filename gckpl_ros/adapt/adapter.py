"""The online adapter: what it sees, what it says, and learning step by step as a replay does."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Final, NoReturn

import torch

from gckpl_ros.adapt.collector import Collector, lasting
from gckpl_ros.adapt.guard import Anchors
from gckpl_ros.adapt.storage import LEARNER_FILE, WEIGHTS_FILE, Activity, AdaptationState, Progress, Storage
from gckpl_ros.adapt.trainer import Trainer, default_teacher
from gckpl_ros.config import Config
from gckpl_ros.errors import InputError
from gckpl_ros.estimate.network import KeypointNetwork
from gckpl_ros.learn.teachers import Teacher
from gckpl_ros.people.tracklets import Tracklet
from gckpl_ros.types import Frame, Sample

# What passes between those that estimate and the one that learns, under a lock that is held for moments only.


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
    """Learns on its own copy of the network, in the caller's thread; the same input gives the same weights.

    Replay: ``keep_pace`` after every cloud, ``stop`` at the end (saves). Live: process.py runs it in a process.
    """

    def __init__(
        self, config: Config, network: KeypointNetwork, device: torch.device, teacher: Teacher, anchors: Anchors
    ) -> None:
        """``network`` is left alone. Continues what ``adapt.folder`` holds; what does not fit is told as reason."""
        super().__init__(config.adapt.tracklet_s)
        self._config, self._device, self._owed = config.adapt, device, 0.0
        self._storage = Storage(network, config.estimate.weights)
        self._trainer = Trainer(config.adapt, network, device, teacher, anchors)
        self._begin()

    def configure(self, config: Config) -> None:
        """Take over other values of ``adapt``, but for those that are FIXED."""
        self._config = config.adapt
        self._trainer.configure(config.adapt)

    def work(self, steps: int) -> None:
        """Learn so many steps now. Never raises."""
        for _ in range(steps):
            self.advance()

    def advance(self) -> bool:
        """Label and learn for one step; says whether there was anything to do. Never raises."""
        try:
            return self._step()
        except Exception as error:
            self._fail(error)
            return False

    def keep_pace(self) -> None:
        """For replay, after every cloud: work ``adapt.steps_per_cloud`` steps; fractions add up."""
        self._owed += self._config.steps_per_cloud
        steps = int(self._owed)
        self._owed -= steps
        self.work(steps)

    def stop(self) -> None:
        """Save if ``adapt.folder`` is set; the weights are kept, and that it failed is told."""
        try:
            if self._config.folder:
                self.save()
        except InputError as error:
            self._complain(str(error))

    def reset(self) -> None:
        """Back to the weights that were loaded; all that was collected is forgotten, a failure too."""
        self._forget()
        self._trainer.reset()
        self._report(self._trainer.network)

    def save(self, path: Path | None = None) -> Path:
        """Write the accepted weights to ``path``, or weights and learner to ``adapt.folder``; returns the first file.

        Raises InputError where there is no folder or it cannot be written.
        """
        file = path or self._folder() / WEIGHTS_FILE
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

    def _folder(self) -> Path:
        if not self._config.folder:
            raise InputError("there is no folder for adapted weights: set adapt.folder")
        return Path(self._config.folder)

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
        """Tell how far the trainer is."""
        activity = Activity.TRAINING if self._trainer.ready else Activity.COLLECTING
        self._hand_over(self._trainer.progress.state(activity), fresh)


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

    def advance(self) -> bool:
        """Nothing to do."""
        return False

    def keep_pace(self) -> None:
        """No steps."""

    def start(self) -> None:
        """No process."""

    def stop(self) -> None:
        """Nothing to save."""

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
    """What learns step by step beside the estimation by ``network``, if it is to.

    Raises InputError where it has no teacher.
    """
    if not config.adapt.enabled:
        return NoAdapter()
    if config.estimate.backend != "torch":
        raise InputError("adapt.enabled learns in torch: set estimate.backend to torch")
    device = next(network.parameters()).device
    return Adapter(config, network, device, default_teacher(config, network), Anchors.load())
