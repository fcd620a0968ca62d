"""The commands as users run them: real processes over loopback. sim --live -> live -> echo."""

import itertools
import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from threading import Event, Thread
from time import monotonic, sleep

import numpy as np
import pytest
from ros_messages import cloud

from gckpl_ros.commands import live
from gckpl_ros.config import load_config
from gckpl_ros.errors import InputError
from gckpl_ros.io.dds.participant import LATCHED, Participant, Profile
from gckpl_ros.io.live.interface import INPUTS, OUTPUTS, input_overrides
from gckpl_ros.io.messages.skeletons import stamp_ns
from gckpl_ros.reasons import UNREADABLE_CLOUD
from gckpl_training.commands import sim

CLOUD = INPUTS["points"].type
PATIENCE_S = 90.0
ALL = Profile(depth=10_000)  # nothing is lost if our thread is held up


class Process:
    """A command of gckpl; what it says goes to files, so that no pipe can fill."""

    def __init__(self, folder, *arguments):
        self._files = [folder / f"{arguments[0]}.{stream}" for stream in ("out", "err")]
        with self._files[0].open("w") as out, self._files[1].open("w") as err:
            command = [sys.executable, "-m", "gckpl_ros", *arguments]
            self._process = subprocess.Popen(command, stdout=out, stderr=err)

    @property
    def out(self):
        return self._files[0].read_text()

    @property
    def err(self):
        return self._files[1].read_text()

    @property
    def lives(self):
        return self._process.poll() is None

    def end(self, number):
        """The status after a signal."""
        self._process.send_signal(number)
        return self.status()

    def status(self):
        return self._process.wait(PATIENCE_S)

    def kill(self):
        self._process.kill()
        self._process.wait()


@pytest.fixture
def start(tmp_path):
    started = []

    def begin(*arguments):
        started.append(Process(tmp_path, *arguments))
        return started[-1]

    yield begin
    for process in started:
        process.kill()


class Ear:
    """Hears clouds (stamps), skeletons (stamps) and what /diagnostics says."""

    def __init__(self, network):
        self.clouds, self.skeletons, self.reports = [], [], []
        network.subscribe("/lidar/points", CLOUD, lambda m: self.clouds.append(stamp_ns(m.header.stamp)), ALL)
        for name, hear in (("skeletons", self._skeletons), ("diagnostics", self._diagnostics)):
            network.subscribe(OUTPUTS[name].topic.replace("~", "/gckpl"), OUTPUTS[name].type, hear, ALL)

    def _skeletons(self, message):
        self.skeletons.append(stamp_ns(message.header.stamp))

    def _diagnostics(self, message):
        self.reports.append({pair.key: pair.value for pair in message.status[0].values})

    @property
    def last(self):
        return self.reports[-1] if self.reports else {}


def rubbish(network):
    """Garbage where clouds should be, at each call: no CDR, too short, with more fields than there is room for."""
    publisher, rng = network.publisher("/lidar/points", CLOUD), np.random.default_rng(0)

    def throw():
        for length in range(4, 104):
            publisher.write(rng.bytes(length))
            publisher.write(b"\0\1\0\0" + b"\xff" * length)
            sleep(0.01)  # best effort keeps only the newest few

    return throw


def test_three_terminals(start, wait_until, weights):
    with Participant() as network:
        ear = Ear(network)
        options = ("--set", f"estimate.weights={weights}", "estimate.device=cpu")
        sensor = start("sim", "--live", "--sensor", "spinner16", "--seconds", "0.5", "--detections")
        wait_until(lambda: ear.clouds, PATIENCE_S)  # what the node hears, we hear too
        node = start("live", "--points", "/lidar/points", *options)
        wait_until(lambda: len(ear.skeletons) > 3, PATIENCE_S)
        echo = start("echo", "--json", "--count", "5")
        assert (echo.status(), echo.err) == (0, "")
        said = [json.loads(line) for line in echo.out.splitlines()]
        assert len(said) == 5 and {each["frame_id"] for each in said} == {"lidar"}
        assert all(0 < each["age_ms"] < 1e3 * PATIENCE_S for each in said)

        throw = rubbish(network)
        wait_until(lambda: throw() or int(ear.last.get(f"skipped: {UNREADABLE_CLOUD}", 0)) > 10, PATIENCE_S)
        heard = len(ear.skeletons)
        wait_until(lambda: len(ear.skeletons) > heard + 3, PATIENCE_S)

        endless = start("echo")
        wait_until(lambda: endless.out, PATIENCE_S)
        assert endless.end(signal.SIGINT) == 0
        assert sensor.end(signal.SIGINT) == 0
        assert node.end(signal.SIGINT) == 0
    assert set(ear.skeletons) | {each["stamp_ns"] for each in said} <= set(ear.clouds)
    assert ear.skeletons == sorted(set(ear.skeletons))
    assert "publishing /tf_static, /tf, /lidar/points, /truth/skeletons, /detections at 10 Hz" in sensor.err
    assert f"skipped: {UNREADABLE_CLOUD}" in node.err and " results\n" in node.err
    assert "Traceback" not in node.err + sensor.err


def test_without_clouds_it_says_where_there_are_some_and_ends_when_asked(start, wait_until, weights):
    node = start("live", "--set", f"estimate.weights={weights}")
    with Participant() as network:
        elsewhere = network.publisher("/velodyne_points", CLOUD)
        wait_until(
            lambda: "no clouds on /points; clouds are on /velodyne_points: choose by --points" in node.err, PATIENCE_S
        )
        assert elsewhere.subscribers == 0
        assert node.end(signal.SIGTERM) == 0
    assert node.err.splitlines()[-1] == "0 clouds, 0 results" and "Traceback" not in node.err


@contextmanager
def after(condition, number):
    """Sends this process a signal once something holds, for commands that run in it, and when patience ends."""
    ending, held, until_s = Event(), Event(), monotonic() + PATIENCE_S

    def watch():
        while not (ending.wait(0.05) or held.is_set() or monotonic() > until_s):
            if condition():
                held.set()
        if not ending.is_set():
            os.kill(os.getpid(), number)

    thread = Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()
    assert held.is_set(), "it did not come to hold"


def strange(message):
    """A cloud whose fields have names that a terminal might take for its own."""
    for field, name in zip(message.fields, ("[/x]", "[bold", "]"), strict=True):
        field.name = name
    return message


@pytest.mark.parametrize("terminal", [True, False])
def test_it_tells_how_it_goes_whatever_comes(monkeypatch, capsys, weights, terminal):
    monkeypatch.setenv("FORCE_COLOR" if terminal else "NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    for period in ("_LINE_S", "_PLAIN_LINE_S"):
        monkeypatch.setattr(live, period, 0.1)
    monkeypatch.setattr(live, "_SILENT_S", PATIENCE_S)
    with Participant() as network:
        ear, clouds, count = Ear(network), network.publisher("/points", CLOUD), itertools.count()

        def shown():
            message = cloud(next(count))
            clouds.publish(message if any("[bold" in value for value in ear.last.values()) else strange(message))
            return sum(report["frames"] != "0" for report in ear.reports) > 2  # lines come oftener than these

        with after(shown, signal.SIGINT):
            live.main(overrides=(f"estimate.weights={weights}", "input.wait_s=0", "output.diagnostics_period_s=0.2"))
    told = capsys.readouterr().err
    assert " Hz, 0 people, " in told or " Hz, 1 people, " in told
    assert "(its fields: [/x], [bold, ])" in told
    assert " results\n" in told and ("\x1b" in told) == terminal


def test_the_street_is_shown_as_often_as_wanted_with_stamps_that_go_on(wait_until, capsys):
    with Participant() as network:
        begun, stamps, truth = [], [], []
        network.subscribe("/tf_static", INPUTS["tf"].type, begun.append, LATCHED)
        network.subscribe("/lidar/points", CLOUD, lambda m: stamps.append(stamp_ns(m.header.stamp)), ALL)
        network.subscribe("/truth/skeletons", OUTPUTS["skeletons"].type, truth.append, ALL)
        sim.main(live=True, sensor="spinner16", seconds=0.2, rate=5.0, loops=4)
        wait_until(lambda: begun and len(stamps) == len(truth) == 8)
    start_ns = stamp_ns(begun[0].transforms[0].header.stamp)
    assert sorted(set(stamps)) == stamps
    assert all(stamp - start_ns >= i * 200e6 for i, stamp in enumerate(stamps)), "no faster than was asked for"
    assert {len(message.skeletons) for message in truth} == {7}
    assert "publishing" in capsys.readouterr().err


def test_bad_options_are_refused_before_anything_long(monkeypatch, weights):
    with pytest.raises(InputError, match="'no name' is no ROS name"):
        live.main(name="no name", overrides=(f"estimate.weights={weights}",))
    with pytest.raises(InputError, match=r"rate 0.0, loops 0"):
        sim.main(live=True, rate=0.0)
    monkeypatch.setenv("ROS_DOMAIN_ID", "1000")
    with pytest.raises(InputError, match="ROS_DOMAIN_ID=1000"):
        sim.main(live=True)


def test_options_become_parameters():
    overrides = list(input_overrides(("/a", "/b: c"), "none"))
    config = load_config(None, ["input.wait_s=1", *overrides])
    assert config.input.points == ("/a", "/b: c")
    assert config.input.detections == "" and config.input.wait_s == 1
    assert list(input_overrides((), None)) == []
