"""A DDS network of its own for each test process, over loopback; nothing else on the machine is in it."""

import os
from time import monotonic, sleep

import pytest

from gckpl_ros.io.live.network import LOOPBACK


@pytest.fixture(autouse=True)
def network(monkeypatch):
    """Processes started by a test inherit this. The tag keeps other test runs on this machine out."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    tag = f"<CycloneDDS><Domain><Discovery><Tag>gckpl_test_{os.getpid()}</Tag></Discovery></Domain></CycloneDDS>"
    monkeypatch.setenv("ROS_DOMAIN_ID", str(40 + worker % 50))
    monkeypatch.delenv("ROS_AUTOMATIC_DISCOVERY_RANGE", raising=False)
    monkeypatch.setenv("CYCLONEDDS_URI", f"{LOOPBACK},{tag}")


@pytest.fixture
def wait_until():
    """Wait until something holds; a busy machine is no failure."""

    def wait(holds, seconds=30.0):
        until = monotonic() + seconds
        while not (result := holds()):
            assert monotonic() < until, "it did not come to hold"
            sleep(0.01)
        return result

    return wait
