"""`gckpl adaptation` and what `gckpl live` runs, over a real network, with a real adapter on an untrained network."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from gckpl_ros.adapt import Activity
from gckpl_ros.commands.adaptation import main
from gckpl_ros.config import Config
from gckpl_ros.errors import InputError
from gckpl_ros.estimate.checkpoint import load_network
from gckpl_ros.io.dds.node import Node
from gckpl_ros.io.dds.participant import Participant
from gckpl_ros.pipeline import Pipeline

PATIENCE_S = 60.0


@pytest.fixture
def live(weights):
    """Runs a node with these values of `adapt`."""

    @contextmanager
    def run(**adapt):
        values = {"estimate": {"weights": str(weights), "device": "cpu"}, "adapt": adapt}
        settings = Config.parse(values | {"input": {"silence_s": 60.0}})
        with Participant() as network:
            node = Node(network, Pipeline(settings), settings, "gckpl")
            with node.running():
                yield node

    return run


@pytest.fixture
def gckpl(capsys):
    """What `gckpl adaptation` says."""

    def run(*arguments, **options):
        main(*arguments, timeout_s=PATIENCE_S, **options)
        return capsys.readouterr().out

    return run


def told(node, gckpl, wait_until, **options):
    """What `gckpl adaptation status` says of a node, which reports as soon as somebody listens."""
    with ThreadPoolExecutor(1) as pool:
        said = pool.submit(gckpl, "status", **options)
        wait_until(lambda: "adaptation" in node.wanted())
        wait_until(lambda: node.report() or said.done())
        return said.result()


def test_adaptation_that_is_off_is_told_and_cannot_be_steered(live, gckpl, wait_until):
    with live() as node:
        assert told(node, gckpl, wait_until) == "state: disabled\n"
        for action in ("pause", "resume", "reset", "save", "load"):
            with pytest.raises(InputError, match="adaptation is off"):
                gckpl(action)


def test_it_works_as_long_as_the_node_does(live):
    def at_work():
        return "gckpl adapter" in {thread.name for thread in threading.enumerate()}

    with live(enabled=True):
        assert at_work()
    assert not at_work()
    with live():
        assert not at_work()


def test_it_is_paused_resumed_and_reset(live, gckpl, wait_until):
    with live(enabled=True) as node:
        assert json.loads(told(node, gckpl, wait_until, as_json=True))["state"] == "collecting"
        assert gckpl("pause") == "nothing is collected or learnt\n"
        assert told(node, gckpl, wait_until).startswith("state: paused\nstep: 0\n")
        assert gckpl("resume") == "adaptation goes on\n"
        assert node.adaptation.state == Activity.COLLECTING
        assert gckpl("reset").startswith("back to the weights that were loaded")
        assert node.adaptation.state == Activity.COLLECTING


def test_it_is_saved_and_loaded(live, gckpl, tmp_path):
    with live(enabled=True, folder=str(tmp_path / "adapted")):
        said = gckpl("save")
        written = said.removeprefix("written to ").strip()
        assert load_network(written).config.width == 32
        assert gckpl("load") == "back to what was last written\n"


def test_it_says_why_it_cannot_be_saved(live, gckpl):
    with live(enabled=True), pytest.raises(InputError, match="folder"):
        gckpl("save")


def test_nobody_there_is_told():
    for action in ("status", "pause"):
        with pytest.raises(InputError, match="Does a node or `gckpl live` of this name run"):
            main(action, timeout_s=0.05)
