"""Up and down, with what is there in each state; ends without a trace; what fails can be tried again."""

from signal import SIGINT, SIGTERM
from time import sleep

import pytest

Duration = pytest.importorskip("rclpy.duration", reason="ROS 2 is not installed").Duration

INPUTS = ("/points", "/detections", "/tf", "/tf_static")


def subscriptions(peer):
    """How many of the inputs somebody subscribes to."""
    return sum(peer.node.count_subscribers(topic) > 0 for topic in INPUTS)


def test_each_state_has_what_it_needs_and_no_more(rig, peer, start):
    start()
    assert peer.state() == "unconfigured"
    assert peer.node.count_publishers("/gckpl/skeletons") == subscriptions(peer) == 0
    for _ in range(2):
        assert peer.change("configure") == [True]
        assert peer.state() == "inactive"
        assert rig.until(lambda: peer.node.count_publishers("/gckpl/skeletons"))
        assert subscriptions(peer) == 0
        assert peer.change("activate") == [True]
        assert peer.state() == "active"
        assert rig.until(lambda: subscriptions(peer) == len(INPUTS))
        assert peer.change("deactivate") == [True]
        assert rig.until(lambda: subscriptions(peer) == 0)
        assert peer.change("cleanup") == [True]
        assert rig.until(lambda: not peer.node.count_publishers("/gckpl/skeletons"))


@pytest.mark.parametrize("state", ["unconfigured", "inactive", "active"])
def test_shutdown_from_every_state(rig, peer, start, state):
    start()
    before = {"unconfigured": [], "inactive": ["configure"], "active": ["configure", "activate"]}[state]
    assert all(peer.change(*before, f"shutdown {state}"))
    assert peer.state() == "finalized"
    assert rig.until(lambda: subscriptions(peer) == 0)


def test_a_node_with_bad_weights_says_why_and_can_be_configured_again(peer, start, weights):
    node = start(estimate__weights="nowhere.safetensors")
    assert peer.change("configure") == [False]
    assert peer.state() == "unconfigured"
    assert "nowhere.safetensors" in node.log
    assert peer.set("estimate.weights", str(weights)) == ""
    assert peer.change("configure", "activate") == [True, True]


def test_a_bad_topic_name_is_told_at_configure(peer, start):
    node = start(input__points=["lidar points"])
    assert peer.change("configure") == [False]
    assert "'lidar points' is no topic name" in node.log
    assert peer.set("input.points", ["lidar/points"]) == ""
    assert peer.change("configure") == [True]


@pytest.mark.parametrize("signals", [(SIGINT,), (SIGTERM,), (SIGINT, SIGINT, SIGINT), (SIGINT, SIGTERM)])
def test_signals_end_it_without_a_traceback(active, signals):
    node = active()
    for number in signals:
        node.send(number)
        sleep(0.05)
    assert node.wait() == 0
    assert "Traceback" not in node.log


@pytest.mark.parametrize("after_s", [0.3, 1.0, 2.0])
def test_a_signal_while_it_starts_ends_it_too(start, after_s):
    node = start()
    sleep(after_s)
    node.send(SIGINT)
    assert node.wait() == 0
    assert "Traceback" not in node.log


def test_what_ros_refuses_at_the_start_is_one_line(start):
    node = start("--params-file", "nowhere.yaml")
    assert node.wait() == 1
    assert "nowhere.yaml" in node.log
    assert "Traceback" not in node.log


def test_it_can_bring_itself_up(start, peer):
    start(autostart=True)
    assert peer.state() == "active"
    assert peer.change("deactivate", "cleanup", "configure") == [True, True, True]
    assert peer.state() == "inactive"


def test_it_waits_with_the_reason_where_it_cannot_bring_itself_up(start, peer):
    node = start(autostart=True, estimate__weights="/nowhere")
    assert peer.state() == "unconfigured" and "/nowhere" in node.log


@pytest.fixture
def manager(peer):
    """The other side of a bond with /gckpl, as bondpy has it; two seconds of silence break it."""
    bondpy = pytest.importorskip("bondpy.bondpy")
    bond = bondpy.Bond(peer.node, "/bond", "gckpl")
    bond.connect_timeout, bond.heartbeat_timeout = 60.0, 2.0  # the node takes its time to start
    bond.start()
    yield bond
    bond.shutdown()


def test_an_active_node_has_a_bond_until_it_is_deactivated(peer, active, manager):
    active(bond_heartbeat_period=0.2)
    assert manager.wait_until_formed(Duration(seconds=10))
    sleep(3.0)
    assert not manager.is_broken()
    assert peer.change("deactivate") == [True]
    assert manager.wait_until_broken(Duration(seconds=0.5))


def test_the_heartbeat_has_its_period(rig, peer, active):
    pytest.importorskip("bond.msg")
    active(bond_heartbeat_period=0.2)
    said = peer.listen("/bond", "bond/msg/Status")
    assert rig.until(lambda: said)
    said.clear()
    sleep(2.0)
    assert 7 <= len(said) <= 13
    assert {(status.id, status.active) for status in said} == {("gckpl", True)}
    assert len({status.instance_id for status in said}) == 1


def test_a_manager_may_break_the_bond_and_the_node_works_on(rig, peer, active, manager):
    active(bond_heartbeat_period=0.2)
    assert manager.wait_until_formed(Duration(seconds=10))
    manager.break_bond()
    assert manager.wait_until_broken(Duration(seconds=1.5))  # the node has agreed: alone it takes 2 s
    said = peer.listen("/bond", "bond/msg/Status")
    sleep(0.5)
    said.clear()
    sleep(0.5)
    assert not said and peer.state() == "active"


def test_no_bond_where_nobody_wants_one(peer, active):
    active(bond_heartbeat_period=0.0)
    assert not peer.node.count_publishers("/bond")
