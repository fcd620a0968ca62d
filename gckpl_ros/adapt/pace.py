"""The thread that learns within a budget, below the priority of those that estimate."""

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from threading import Event, Lock, Thread, get_native_id
from time import perf_counter
from typing import Final

import torch

from gckpl_ros.config import AdaptConfig

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
