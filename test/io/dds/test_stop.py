import os
import signal
from threading import Timer
from time import monotonic

import pytest

from gckpl_ros.io.dds.stop import Stop


def send(number, after_s):
    timer = Timer(after_s, os.kill, (os.getpid(), number))
    timer.start()
    return timer


def test_nobody_asks():
    with Stop() as stop:
        start = monotonic()
        assert not stop.wait(0.05) and not stop.wait(-1.0)
        assert monotonic() - start >= 0.05


def test_sigterm_ends_a_wait_at_once():
    with Stop() as stop:
        timer = send(signal.SIGTERM, 0.1)
        start = monotonic()
        assert stop.wait(60.0) and stop.wait(60.0)
        assert monotonic() - start < 30
    timer.join()


def test_sigint_is_a_normal_end():
    with Stop() as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop.wait(60.0)


def test_where_it_is_early_sigint_is_a_keyboard_interrupt_on_leaving_and_further_ones_change_nothing():
    left = False
    with pytest.raises(KeyboardInterrupt), Stop(early=True) as stop:
        timer = send(signal.SIGINT, 0.05)
        assert stop.wait(60.0)
        timer.join()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.raise_signal(number)
        assert stop.wait(60.0)
        left = True
    assert left


def test_another_error_goes_before():
    with pytest.raises(ValueError, match="other"), Stop(early=True) as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop.wait(60.0)
        raise ValueError("other")


def test_afterwards_signals_do_what_they_did_before():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with Stop():
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
