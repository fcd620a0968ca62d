"""What passes between the threads that estimate and the one that learns, under a lock that is held for moments only."""

from collections.abc import Sequence
from dataclasses import replace
from threading import Lock

import numpy as np
from jaxtyping import Float64, Int64

from gckpl_ros.adapt.online.collector import Collector
from gckpl_ros.adapt.online.examples import Seen
from gckpl_ros.adapt.online.state import Activity, AdaptationState
from gckpl_ros.estimate.network import KeypointNetwork
from gckpl_ros.types import Crops


class Handover:
    """People go one way, networks and news the other; nothing here waits for a step."""

    def __init__(self, frames: int) -> None:
        self._lock = Lock()
        self._collector = Collector(frames)
        self._fresh: KeypointNetwork | None = None
        self._said = AdaptationState(Activity.COLLECTING)
        self._paused, self._failure = False, ""

    @property
    def status(self) -> AdaptationState:
        """How things are now; never waits for a step."""
        with self._lock:
            if self._failure:
                return replace(self._said, state=Activity.FAILED, reason=self._failure)
            return replace(self._said, state=Activity.PAUSED, reason="on request") if self._paused else self._said

    def observe(
        self, crops: Crops, ids: Int64[np.ndarray, " b"], stamp_ns: int, T_fixed_cloud: Float64[np.ndarray, "4 4"]
    ) -> None:
        """Take in the tracked people of one frame; never waits for a step, never raises. (Pipeline calls it.)"""
        try:
            with self._lock:
                if not (self._paused or self._failure):
                    self._collector.add(crops, ids, stamp_ns, T_fixed_cloud)
        except Exception as error:
            self._fail(error)

    def end_tracks(self) -> None:
        """What comes next does not go on from what came: time restarted. (Pipeline.reset calls it.)"""
        with self._lock:
            self._collector.end()

    def update(self) -> KeypointNetwork | None:
        """A network to estimate with from now on, each only once. (Pipeline calls it before it estimates.)"""
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

    def _take(self, most: int) -> Sequence[Seen] | None:
        """Tracklets that wait; None where there is no learning now."""
        with self._lock:
            return None if self._paused or self._failure else self._collector.take(most)

    def _tell(self, said: AdaptationState, fresh: KeypointNetwork | None = None) -> None:
        """What ``status`` says from now on; ``fresh``: what ``update`` gives next."""
        with self._lock:
            self._said, self._fresh = said, fresh or self._fresh

    def _fail(self, error: Exception) -> None:
        with self._lock:
            self._failure = f"{type(error).__name__}: {error}"

    def _forget(self) -> None:
        """Nobody was ever seen, nothing ever failed."""
        with self._lock:
            self._collector.clear()
            self._failure = ""
