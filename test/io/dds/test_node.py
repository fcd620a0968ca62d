"""What `gckpl live` runs, with a real pipeline (untrained network), seen by another participant of a real network."""

from contextlib import contextmanager
from itertools import count
from time import sleep

import numpy as np
import pytest
from ros_messages import SCAN_NS, START_NS, cloud, detections, transforms

from gckpl_ros.config import Config
from gckpl_ros.errors import InputError
from gckpl_ros.io.dds.node import Node
from gckpl_ros.io.dds.participant import LATCHED, RELIABLE, Participant
from gckpl_ros.io.live.interface import INPUTS, OUTPUTS
from gckpl_ros.io.messages.skeletons import stamp_ns
from gckpl_ros.io.messages.typestore import typestore
from gckpl_ros.pipeline import Pipeline
from gckpl_ros.reasons import UNREADABLE, UNREADABLE_CLOUD

CLOUD, BOXES, TF = (INPUTS[name].type for name in ("points", "detections", "tf"))


def config(weights, **sections):
    sections["input"] = {"wait_s": 0.05, "silence_s": 60.0} | sections.get("input", {})
    return Config.parse({"estimate": {"weights": str(weights), "device": "cpu"}} | sections)


@contextmanager
def live(settings, name="gckpl"):
    """A running node, and another participant."""
    with Participant() as network, Participant() as outside:
        node = Node(network, Pipeline(settings), settings, name)
        with node.running():
            yield node, outside


def listen(outside, *topics):
    """What comes on topics of OUTPUTS, by name."""
    got = {name: [] for name in topics}
    for name, messages in got.items():
        topic = OUTPUTS[name].topic.replace("~", "/gckpl")
        outside.subscribe(topic, OUTPUTS[name].type, messages.append, RELIABLE)
    return got


@pytest.fixture
def settle(wait_until):
    """Until every cloud has a result or a reason why not."""

    def until(node, clouds):
        def settled():
            report = node.status.report()
            done = report.frames + sum(report.skipped.values())
            return report if report.clouds >= clouds and done >= clouds else None

        return wait_until(settled)

    return until


@pytest.fixture
def bring(wait_until):
    """Publish what a cloud needs, and wait until the node has it: it counts what cannot be read and comes next."""

    def until(node, publisher, message):
        def refused():
            return node.status.report().dropped.get(UNREADABLE, 0)

        before = refused()
        publisher.publish(message)
        publisher.write(b"\0\1\0\0")
        wait_until(lambda: refused() > before)

    return until


def test_clouds_and_boxes_go_in_and_skeletons_with_their_stamps_come_out(weights, wait_until, settle, bring):
    with live(config(weights)) as (node, outside):
        got = listen(outside, "skeletons", "tf", "processing_time")
        clouds = outside.publisher("/points", CLOUD)
        boxes = outside.publisher("/detections", BOXES)
        wait_until(lambda: set(node.wanted()) == set(got) and clouds.subscribers and boxes.subscribers)
        for i in range(5):
            bring(node, boxes, detections(i, "person"))
            clouds.publish(cloud(i))
            settle(node, i + 1)
        wait_until(lambda: len(got["skeletons"]) == 5 == len(got["processing_time"]))
    stamps = [stamp_ns(message.header.stamp) for message in got["skeletons"]]
    assert stamps == [START_NS + i * SCAN_NS for i in range(5)]
    assert [len(message.skeletons) for message in got["skeletons"]] == [1] * 5
    assert {link.child_frame_id for message in got["tf"] for link in message.transforms} <= {"body_0"}


def test_transforms_of_the_network_carry_clouds_into_another_frame(weights, wait_until, settle, bring):
    with live(config(weights, input={"frame": "base_link"})) as (node, outside):
        got = listen(outside, "skeletons")
        mount = outside.publisher("/tf_static", TF, LATCHED)
        clouds = outside.publisher("/points", CLOUD)
        wait_until(lambda: node.wanted() and clouds.subscribers)
        bring(node, mount, transforms(0, "base_link", "lidar", 0.5))
        clouds.publish(cloud(0))
        settle(node, 1)
        wait_until(lambda: got["skeletons"])
    assert got["skeletons"][0].header.frame_id == "base_link"


def test_what_nobody_takes_is_not_wanted(weights, wait_until):
    with live(config(weights)) as (node, outside):
        assert list(node.wanted()) == []
        listen(outside, "joint_array", "diagnostics")
        wait_until(lambda: set(node.wanted()) == {"joint_array", "diagnostics"})


def test_diagnostics_tell_what_was_left_out(weights, wait_until, settle):
    with live(config(weights)) as (node, outside):
        node.report()
        got = listen(outside, "diagnostics")
        clouds = outside.publisher("/points", CLOUD)
        wait_until(lambda: node.wanted() and clouds.subscribers)
        clouds.publish(cloud(0, np.zeros((0, 3))))
        settle(node, 1)
        node.report()
        wait_until(lambda: got["diagnostics"])
    assert len(got["diagnostics"]) == 1
    values = {pair.key: pair.value for pair in got["diagnostics"][0].status[0].values}
    assert values["clouds"] == "1" and values["skipped: cloud without a finite point"] == "1"


def test_two_nodes_do_not_mix(weights, wait_until, settle):
    settings = config(weights)
    with live(settings, "robot1/gckpl") as (one, outside), live(settings, "robot2/gckpl") as (two, _):
        got = []
        outside.subscribe("/robot1/gckpl/skeletons", OUTPUTS["skeletons"].type, got.append)
        clouds = outside.publisher("/robot1/points", CLOUD)
        wait_until(lambda: clouds.subscribers and one.wanted())
        clouds.publish(cloud(0))
        settle(one, 1)
        wait_until(lambda: got)
        assert one.points == ["/robot1/points"] and two.points == ["/robot2/points"]
        assert two.status.report().clouds == 0
        wait_until(lambda: "/robot1/points" in two.elsewhere())


def test_bad_names_are_refused(weights):
    settings = config(weights, input={"points": ["no name"]})
    with Participant() as network, pytest.raises(InputError, match="'no name' is no ROS name"):
        Node(network, Pipeline(settings), settings, "gckpl")


def mutations(rng, message, msgtype):
    """Endless rubbish, most of it nearly right: truncated, with bytes changed, prolonged."""
    whole = np.frombuffer(typestore().serialize_cdr(message, msgtype), np.uint8)
    while True:
        data = whole[: rng.integers(4, len(whole) + 1)] if rng.random() < 0.3 else whole.copy()
        data = data.copy()
        for _ in range(rng.integers(0, 8)):
            data[rng.integers(4, max(5, len(data))) % len(data)] = rng.choice([0, 1, 127, 255, rng.integers(256)])
        yield data.tobytes() + rng.bytes(rng.integers(0, 2) * 16)


def test_no_bytes_end_it_and_all_are_accounted_for(weights, wait_until, settle):
    rng = np.random.default_rng(0)
    links = transforms(0, "odom", "lidar", 1.0)
    with live(config(weights, input={"wait_s": 0.0})) as (node, outside):
        got = listen(outside, "skeletons")
        sources = {
            outside.publisher("/points", CLOUD): mutations(rng, cloud(0), CLOUD),
            outside.publisher("/detections", BOXES): mutations(rng, detections(0, "person", "car"), BOXES),
            outside.publisher("/tf", TF): mutations(rng, links, TF),
            outside.publisher("/tf_static", TF, LATCHED): mutations(rng, links, TF),
        }
        wait_until(lambda: node.wanted() and all(publisher.subscribers for publisher in sources))

        def throw():
            """Five rounds. Best effort: what comes too fast is lost, and would not be tried."""
            for _ in range(5):
                for publisher, rubbish in sources.items():
                    publisher.write(next(rubbish))
            sleep(0.005)
            report = node.status.report()
            return report.skipped.get(UNREADABLE_CLOUD, 0) > 50 and report.dropped.get(UNREADABLE, 0) > 100

        for _ in range(100):
            throw()
        wait_until(throw)
        clouds, numbers = next(iter(sources)), count(10**6)
        sent = set()

        def works():
            clouds.publish(cloud(number := next(numbers)))
            sent.add(START_NS + number * SCAN_NS)
            return any(stamp_ns(message.header.stamp) in sent for message in got["skeletons"])

        wait_until(works)
        assert node.news() == []
