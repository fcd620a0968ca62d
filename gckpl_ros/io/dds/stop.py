"""Ctrl-C and SIGTERM as a wish, not as an exception in the middle of anything."""

import os
import select
import signal
from types import FrameType, TracebackType
from typing import Any


class Stop:
    """While it is entered, SIGINT and SIGTERM only end the next `wait`. For the main thread.

    Where SIGINT is not the normal end (``early``), leaving raises KeyboardInterrupt after it.
    """

    def __init__(self, early: bool = False) -> None:
        self._early = early
        self._asked: int | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Stop":
        self._read, self._write = os.pipe()
        for each in (signal.SIGINT, signal.SIGTERM):
            self._before[each] = signal.signal(each, self._ask)
        return self

    def wait(self, seconds: float) -> bool:
        """Whether to end; waits for that, at most so long."""
        return self._asked is not None or bool(select.select([self._read], [], [], max(0.0, seconds))[0])

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each, handler in self._before.items():
            signal.signal(each, handler)
        os.close(self._write)
        os.close(self._read)
        if self._early and self._asked == signal.SIGINT and kind is None:
            raise KeyboardInterrupt

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self._asked is None:
            self._asked = number
            os.write(self._write, b"\0")
