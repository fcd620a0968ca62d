"""Everything here talks to real nodes: without ROS 2 these tests are skipped."""

from importlib import import_module
from os import environ, getpid

import pytest


@pytest.fixture(scope="session")
def rig():
    """The module ros_rig, in a ROS domain of its own."""
    pytest.importorskip("rclpy", reason="ROS 2 is not installed")
    environ["ROS_DOMAIN_ID"] = str(1 + getpid() % 100)
    return import_module("ros_rig")


@pytest.fixture
def peer(rig):
    peer = rig.Peer()
    yield peer
    peer.close()


@pytest.fixture
def start(rig, peer, tmp_path_factory, weights):
    """Starts nodes, on an untrained network unless told otherwise; they are gone after the test."""
    nodes = []

    def start(*arguments, **parameters):
        usual = {"estimate__weights": str(weights), "estimate__device": "cpu", "estimate__threads": 1}
        nodes.append(rig.NodeProcess(tmp_path_factory.mktemp("node"), *arguments, **usual | parameters))
        return nodes[-1]

    yield start
    for node in nodes:
        node.end()
    assert rig.until(lambda: "gckpl" not in peer.others())


@pytest.fixture
def active(start, peer):
    """Starts a node and brings it up."""

    def active(*arguments, of="/gckpl", **parameters):
        node = start(*arguments, **parameters)
        assert peer.change("configure", "activate", of=of) == [True, True], node.log
        return node

    return active
