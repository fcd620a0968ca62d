import os

import pytest

from gckpl_ros.errors import InputError
from gckpl_ros.io.live.network import BUFFERS, LOOPBACK, buffer_warning, configure, domain_id


@pytest.mark.parametrize(("value", "number"), [("", 0), ("0", 0), ("7", 7), ("232", 232)])
def test_the_domain_comes_from_the_environment(monkeypatch, value, number):
    monkeypatch.setenv("ROS_DOMAIN_ID", value)
    assert domain_id() == number


def test_without_a_domain_it_is_0(monkeypatch):
    monkeypatch.delenv("ROS_DOMAIN_ID", raising=False)
    assert domain_id() == 0


@pytest.mark.parametrize("value", ["233", "-1", "x", "1.5", " "])
def test_what_is_no_domain_is_refused(monkeypatch, value):
    monkeypatch.setenv("ROS_DOMAIN_ID", value)
    with pytest.raises(InputError, match="ROS_DOMAIN_ID"):
        domain_id()


@pytest.mark.parametrize(
    ("given", "local", "configured"),
    [
        ("", False, BUFFERS),
        ("", True, f"{BUFFERS},{LOOPBACK}"),
        ("file:///etc/cyclone.xml", False, f"{BUFFERS},file:///etc/cyclone.xml"),
        ("file:///etc/cyclone.xml", True, f"{BUFFERS},file:///etc/cyclone.xml"),
    ],
)
def test_what_the_user_configures_counts_and_comes_last(monkeypatch, given, local, configured):
    monkeypatch.setenv("CYCLONEDDS_URI", given)
    for _ in range(2):
        configure(local)
        assert os.environ["CYCLONEDDS_URI"] == configured


def test_the_discovery_range_of_ros_counts_as_local(monkeypatch):
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    monkeypatch.delenv("CYCLONEDDS_URI", raising=False)
    configure(local=False)
    assert os.environ["CYCLONEDDS_URI"] == f"{BUFFERS},{LOOPBACK}"


def test_small_receive_buffers_are_told_with_what_mends_them(tmp_path):
    limit = tmp_path / "rmem_max"
    assert buffer_warning(limit) == ""
    limit.write_text("212992\n")
    told = buffer_warning(limit)
    assert told.startswith("net.core.rmem_max is 208 KiB") and "sysctl -w net.core.rmem_max=16777216" in told
    limit.write_text("16777216\n")
    assert buffer_warning(limit) == ""
