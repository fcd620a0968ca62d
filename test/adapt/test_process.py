"""The process that learns: it is used, killed, stopped and asked; those that observe never wait for it."""

import itertools
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from gckpl_ros.adapt import Activity, AdapterProcess, process
from gckpl_ros.adapt.guard import finite
from gckpl_ros.adapt.storage import WEIGHTS_FILE
from gckpl_ros.errors import InputError
from gckpl_ros.estimate.checkpoint import fingerprint
from gckpl_ros.learn.teachers import SmoothingTeacher

PATIENCE_S = 120.0


@pytest.mark.parametrize(("spent_s", "budget", "rest"), [(0.2, 100.0, 1.8), (0.05, 500.0, 0.05), (3.0, 1000.0, 0.0)])
def test_rest_makes_work_its_share_of_the_time(spent_s, budget, rest):
    assert process.rest_after(spent_s, budget) == pytest.approx(rest)


@pytest.fixture
def running(network, anchors, config):
    """An adapter whose process learns as fast as it can, ended afterwards; the other tests leave it no idle core."""

    @contextmanager
    def make(gives_way=False, **values):
        quick = config(budget_ms_per_s=1000, **values)
        adapter = AdapterProcess(quick, network, torch.device("cpu"), SmoothingTeacher(), anchors, gives_way)
        adapter.start()
        try:
            yield adapter
        finally:
            adapter.stop()

    return make


def until(true, what="nothing happened"):
    deadline = time.monotonic() + PATIENCE_S
    while not (value := true()):
        assert time.monotonic() < deadline, what
        time.sleep(0.02)
    return value


def pid(adapter):
    return until(lambda: adapter._child and adapter._child.pid)


def alive(number):
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return True


def test_it_learns_is_killed_goes_on_and_ends(running, parade, network, tmp_path):
    shown = itertools.count(step=16)

    def watched(true):
        """As people go on passing."""

        def look():
            parade(adapter.observe, 16, first=next(shown))
            time.sleep(0.5)
            return true()

        return until(look)

    with running(folder=str(tmp_path)) as adapter:
        first = pid(adapter)
        fresh = watched(adapter.update)
        assert finite(fresh) and fingerprint(fresh) != fingerprint(network)
        assert next(fresh.parameters()).data_ptr() != next(network.parameters()).data_ptr()
        seen = adapter.status
        assert seen.state == Activity.TRAINING and seen.accepted > 0 and seen.restarts == 0

        os.kill(first, signal.SIGKILL)
        until(lambda: adapter.status.restarts == 1)
        assert "status -9" in adapter.status.reason and adapter.status.accepted >= seen.accepted
        second = pid(adapter)
        assert second != first
        watched(lambda: adapter.status.accepted > seen.accepted + 1 and adapter.status.state == Activity.TRAINING)

        adapter.pause()
        assert adapter.status.state == Activity.PAUSED
        assert adapter.save() == tmp_path / WEIGHTS_FILE  # asleep, it obeys
        adapter.resume()
        adapter.load()
        adapter.reset()
        reset = until(lambda: adapter.update() if adapter.status.step == 0 else None)
        assert fingerprint(reset) == fingerprint(network)
    assert not alive(first) and not alive(second)
    with pytest.raises(InputError, match="no process learns now"):
        adapter.save()


def test_it_gives_way_is_refused_and_where_it_hangs_it_is_ended(running, monkeypatch):
    own = os.getpriority(os.PRIO_PROCESS, 0)
    with running(gives_way=True) as adapter:
        hanging = pid(adapter)
        until(lambda: os.getpriority(os.PRIO_PROCESS, hanging) == min(own + 10, 19))
        assert os.getpriority(os.PRIO_PROCESS, 0) == own
        with pytest.raises(InputError, match=r"set adapt\.folder"):
            adapter.save()
        monkeypatch.setattr(process, "HUNG_S", 1.0)
        os.kill(hanging, signal.SIGSTOP)
        until(lambda: adapter.status.restarts > 0)
        assert "said nothing for 1 s" in adapter.status.reason and not alive(hanging)


def test_it_ends_with_the_one_it_learns_for():
    """Killed, the other side closes nothing: the process must notice by itself."""
    code = """
import os, torch
from gckpl_ros.adapt import AdapterProcess
from gckpl_ros.adapt.guard import Anchors
from gckpl_ros.config import Config
from gckpl_ros.errors import InputError
from gckpl_ros.estimate.checkpoint import load_network
from gckpl_ros.learn.teachers import SmoothingTeacher
adapter = AdapterProcess(Config(), load_network(""), torch.device("cpu"), SmoothingTeacher(), Anchors.load(), False)
adapter.start()
while not adapter._child:
    pass
try:
    adapter.save()
except InputError:
    pass
print(adapter._child.pid, adapter._place, flush=True)
os.kill(os.getpid(), 9)
"""
    number, folder = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.split()
    until(lambda: not alive(int(number)), "it goes on alone")
    until(lambda: not Path(folder).exists(), "its files stay in memory")
