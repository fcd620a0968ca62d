"""The same parameters and the same recording, once replayed and once played over a real network: the same skeletons."""

import numpy as np
from ros_messages import SCAN_NS, START_NS, cloud, detections, transforms

from gckpl_ros.config import Config
from gckpl_ros.io.dds.node import Node
from gckpl_ros.io.dds.participant import LATCHED, RELIABLE, TRANSFORMS, Participant
from gckpl_ros.io.live.interface import INPUTS, OUTPUTS
from gckpl_ros.io.messages.skeletons import from_skeleton_array
from gckpl_ros.io.recording.bag import BagReader, BagWriter
from gckpl_ros.io.recording.replay import SKELETONS, replay
from gckpl_ros.pipeline import Pipeline
from gckpl_ros.reasons import OTHER_CLASS, UNREADABLE, UNREADABLE_CLOUD

CLOUD, BOXES, TF = (INPUTS[name].type for name in ("points", "detections", "tf"))
TOPICS = {"/tf_static": TF, "/tf": TF, "/boxes": BOXES, "/front": CLOUD, "/rear": CLOUD}
SCANS = 6


def robot_on_its_way():
    """Two sensors on a robot that drives and turns, boxes in a camera's frame, a person and a car."""
    for frame, x, yaw in (("front_lidar", 1, 0.1), ("rear_lidar", -2, np.pi), ("camera", 0.5, -0.4)):
        yield 0, "/tf_static", transforms(0, "base", frame, x, yaw)
    for i in range(-1, SCANS + 2):
        yield i, "/tf", transforms(i + 0.5, "odom", "base", 0.13 * i, 0.02 * i)
    for i in range(SCANS):
        seen = detections(i + 0.1, "Person", "car", frame="camera", at=(5.0 + 0.1 * i, 1.0, 0.0))
        yield i + 0.3, "/boxes", seen
        yield i + 0.4, "/rear", cloud(i + 0.2, somebody(i, -np.pi + 0.0, 2), "rear_lidar")
        yield i + 0.5, "/front", cloud(i, somebody(i, 0.1, -1), "front_lidar")


def somebody(i, yaw, x):
    """Points around the person, as a sensor at -x on base that looks along yaw has them."""
    c, s = np.cos(-0.4), np.sin(-0.4)
    at = np.array([5.0 + 0.1 * i, 1.0, 0.0]) @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]]) + [0.5 + x, 0, 0]
    c, s = np.cos(yaw), np.sin(yaw)
    points = at + np.random.default_rng(i).uniform([-0.2, -0.2, -0.8], [0.2, 0.2, 0.8], (60, 3))
    return points @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def record(path):
    with BagWriter(path, TOPICS) as writer:
        for i, topic, message in sorted(robot_on_its_way(), key=lambda given: given[0]):
            writer.write(topic, START_NS + round(i * SCAN_NS), message)
    return path


def played(recording, settings, wait_until):
    """What a node publishes; every message is sent once the one before it has its effect."""
    profiles = dict.fromkeys(TOPICS, RELIABLE) | {"/tf_static": LATCHED, "/tf": TRANSFORMS}
    with Participant() as network, Participant() as outside:
        node, got = Node(network, Pipeline(settings), settings, "gckpl"), []
        with node.running(), BagReader(recording) as bag:
            outside.subscribe(SKELETONS, OUTPUTS["skeletons"].type, got.append, RELIABLE)
            publishers = {topic: outside.publisher(topic, kind, profiles[topic]) for topic, kind in TOPICS.items()}
            wait_until(lambda: "skeletons" in node.wanted() and all(p.subscribers for p in publishers.values()))
            transforms, others = [], []
            for record in bag.records(TOPICS):
                (transforms if TOPICS[record.topic] == TF else others).append(record)
            # Boxes of the first scan come last, as from a detector that had to see it: a cold start waits for them.
            boxes, rear, front, *others = others
            for record in (*transforms, rear, front, boxes, *others):
                bring(node, publishers[record.topic], bag.decode(record), wait_until)
                if record is boxes or (record.topic == "/front" and record is not front):
                    scans = node.status.report().clouds // 2
                    wait_until(lambda scans=scans: node.status.report().frames == scans)
            wait_until(lambda: len(got) == SCANS)
        return [from_skeleton_array(message) for message in got], node.status.report()


def bring(node, publisher, message, wait_until):
    """Publish, and wait until the node has it: it counts what cannot be read and comes next on the same topic."""

    def refused():
        report = node.status.report()
        return report.dropped.get(UNREADABLE, 0) + report.skipped.get(UNREADABLE_CLOUD, 0)

    before = refused()
    publisher.publish(message)
    publisher.write(b"\0\1\0\0")
    wait_until(lambda: refused() > before)


def test_the_same_skeletons_come_out_of_a_replay_and_of_a_live_node(tmp_path, weights, wait_until):
    settings = Config.parse(
        {
            "estimate": {"weights": str(weights), "device": "cpu"},
            "input": {
                "points": ["/front", "/rear"],
                "detections": "/boxes",
                "classes": ["person"],
                "frame": "base",
                "tolerance_s": 0.03,
                "wait_s": 5.0,
                "silence_s": 60.0,
            },
            "track": {"frame": "odom", "confirm_hits": 1},
        }
    )
    source, out = record(tmp_path / "robot.mcap"), tmp_path / "skeletons.mcap"
    summary = replay(source, out, settings)
    with BagReader(out) as bag:
        replayed = [from_skeleton_array(bag.decode(record)) for record in bag.records([SKELETONS])]
    live, report = played(source, settings, wait_until)
    assert [frame.stamp_ns for frame in live] == [frame.stamp_ns for frame in replayed]
    assert [frame.stamp_ns for frame in live] == [START_NS + i * SCAN_NS for i in range(SCANS)]
    for one, other in zip(live, replayed, strict=True):
        assert one.frame_id == other.frame_id == "base"
        assert one.tracks.ids.tolist() == other.tracks.ids.tolist() == [0]
        for name in ("keypoints", "confidence", "visibility"):
            values = (getattr(frame.tracks.skeletons, name) for frame in (one, other))
            np.testing.assert_allclose(*values, atol=1e-5)
        np.testing.assert_allclose(one.tracks.boxes.centers, other.tracks.boxes.centers, atol=1e-5)
        np.testing.assert_allclose(one.tracks.boxes.yaws, other.tracks.boxes.yaws, atol=1e-5)
    assert summary.dropped == {OTHER_CLASS: SCANS}
    assert report.dropped[OTHER_CLASS] == SCANS
    speeds = np.linalg.norm(replayed[-1].tracks.velocities, axis=1)
    assert (speeds > 0.1).all(), "the robot drives: the person moves in odom"
