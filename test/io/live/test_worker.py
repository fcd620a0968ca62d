"""The worker with a real pipeline (untrained network) and real messages: what comes out, and that nothing ends it."""

from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic, sleep

import numpy as np
import pytest
import rubbish
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ros_messages import PERSON, SCAN_NS, START_NS, TYPES, cloud, detections, header, transforms

from gckpl_ros.adapt import NoAdapter
from gckpl_ros.config import Config
from gckpl_ros.io.live.live_input import LiveInput
from gckpl_ros.io.live.status import Status
from gckpl_ros.io.live.worker import Worker
from gckpl_ros.io.messages.outputs import Outputs
from gckpl_ros.io.messages.skeletons import from_skeleton_array, stamp_ns
from gckpl_ros.io.messages.tf import TransformBuffer
from gckpl_ros.pipeline import Pipeline
from gckpl_ros.reasons import INTERNAL, REPLACED
from gckpl_ros.types import TrackState

PATIENCE_S = 60.0  # a detector that is held up by a busy machine is not silent


@dataclass
class Shelf:
    """Keeps what is published, and takes everything."""

    names: tuple[str, ...] = ("skeletons", "markers", "joint_array", "parts", "tf", "processing_time")
    kept: dict[str, list] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    broken: bool = False

    def wanted(self):
        if self.broken:
            raise RuntimeError("the network is gone")
        return self.names

    def publish(self, name, message):
        self.kept.setdefault(name, []).append(message)

    def log(self, text):
        self.told.append(text)


@dataclass
class Robot:
    """All parts of a live process but its transport."""

    worker: Worker
    input: LiveInput
    shelf: Shelf
    status: Status
    transforms: TransformBuffer

    def settle(self):
        """Until every cloud is accounted for: it has a result, or a reason why not."""
        until = monotonic() + PATIENCE_S
        while monotonic() < until:
            report = self.status.report()
            if report.clouds == report.frames + sum(report.skipped.values()):
                return report
            sleep(0.001)
        raise AssertionError(f"clouds unaccounted for: {report}")

    def see(self, *messages):
        for message in messages:
            self.input.add_cloud(message)
            self.settle()


@contextmanager
def robot(weights, **sections):
    sections = {"estimate": {"weights": str(weights), "device": "cpu"}} | sections
    sections["input"] = {"wait_s": 0.05, "silence_s": PATIENCE_S} | sections.get("input", {})
    config = Config.parse(sections)
    status, shelf, buffer = Status(), Shelf(), TransformBuffer(keep_s=10.0)
    source = LiveInput(config, buffer, status)
    worker = Worker(Pipeline(config), NoAdapter(), source, Outputs(TYPES, config.output), shelf, status)
    worker.start()
    try:
        yield Robot(worker, source, shelf, status, buffer)
    finally:
        worker.stop()


def skeletons(live):
    return [from_skeleton_array(message) for message in live.shelf.kept.get("skeletons", [])]


def test_a_detected_person_comes_out_with_the_clouds_stamp_in_every_output(weights):
    with robot(weights) as live:
        for i in range(3):
            live.input.add_detections(detections(i, "person"))
            live.see(cloud(i))
    found = skeletons(live)
    assert [frame.stamp_ns for frame in found] == [START_NS + i * SCAN_NS for i in range(3)]
    assert {frame.frame_id for frame in found} == {"lidar"}
    np.testing.assert_allclose(found[-1].tracks.boxes.centers, [PERSON], atol=1e-6)
    ids = {int(i) for frame in found for i in frame.tracks.ids}
    assert len(ids) == 1
    counts = {name: len(messages) for name, messages in live.shelf.kept.items()}
    assert counts == dict.fromkeys(Shelf.names, 3) | {"markers": 4}, "the last markers delete the person"
    assert live.shelf.kept["parts"][0].width == 60
    assert {marker.action for marker in live.shelf.kept["markers"][-1].markers} == {2}
    assert live.status.report().stages_ms.keys() >= {"wait", "decode", "crop", "estimate", "track", "encode", "latency"}


def test_only_what_somebody_takes_is_published(weights):
    with robot(weights) as live:
        live.shelf.names = ("joint_array",)
        live.input.add_detections(detections(0, "person"))
        live.see(cloud(0))
        live.shelf.names = ()
        live.see(cloud(1))
    assert {name: len(messages) for name, messages in live.shelf.kept.items()} == {"joint_array": 1}
    assert live.status.report().frames == 2


def test_ids_go_on_over_a_reset_and_over_a_jump_back_in_time(weights):
    with robot(weights, track={"confirm_hits": 1}) as live:

        def see(i):
            live.input.add_detections(detections(i, "person"))
            live.see(cloud(i))
            return skeletons(live)[-1].tracks.ids.tolist()

        assert [see(100), see(101)] == [[0], [0]]
        live.worker.reset()
        assert see(102) == [1]
        assert see(5) == [2]


def test_after_ten_seconds_of_silence_the_person_is_somebody_new(weights):
    with robot(weights, track={"confirm_hits": 1}) as live:
        for i in (0, 1, 101, 102):
            live.input.add_detections(detections(i, "person"))
            live.see(cloud(i))
    assert [frame.tracks.ids.tolist() for frame in skeletons(live)] == [[0], [0], [1], [1]]


def test_with_detections_for_every_other_cloud_the_person_is_carried_over_the_clouds_between(weights):
    with robot(weights, track={"confirm_hits": 1}) as live:
        for i in range(6):
            if i % 2 == 0:
                live.input.add_detections(detections(i, "person"))
            live.see(cloud(i))
    found = skeletons(live)
    assert [frame.tracks.ids.tolist() for frame in found] == [[0]] * 6
    assert [TrackState(frame.tracks.states[0]).name for frame in found] == ["TRACKED", "LOST"] * 3


def test_values_can_change_while_it_runs(weights):
    with robot(weights) as live:
        live.input.add_detections(detections(0, "person"))
        live.see(cloud(0))
        options = {"estimate": {"weights": str(weights)}, "crop": {"min_points": 100}, "output": {"body_frames": False}}
        live.worker.configure(Config.parse(options))
        live.input.add_detections(detections(1, "person"))
        live.see(cloud(1))
    assert [len(frame.tracks) for frame in skeletons(live)] == [1, 0]
    assert live.status.report().dropped == {"few_points": 1}
    assert len(live.shelf.kept["tf"]) == 1


def test_a_failure_is_counted_and_told_once_and_the_next_cloud_has_a_result(weights):
    with robot(weights) as live:
        live.shelf.broken = True
        live.see(cloud(0), cloud(1))
        live.shelf.broken = False
        live.see(cloud(2))
        report = live.status.report()
        assert report.skipped == {INTERNAL: 2} and report.examples[INTERNAL] == "RuntimeError: the network is gone"
        assert [frame.stamp_ns for frame in skeletons(live)] == [START_NS + 2 * SCAN_NS]
    (told,) = live.shelf.told
    assert "the network is gone" in told


def test_it_can_be_stopped_and_started_again_and_starts_with_nobody(weights):
    with robot(weights, track={"confirm_hits": 1}) as live:
        for i in (0, 1):
            live.input.add_detections(detections(i, "person"))
            live.see(cloud(i))
            live.worker.stop()
            live.input.add_cloud(cloud(i + 10))  # nobody listens
            live.worker.start()
            live.status.count(REPLACED)  # sent while it was stopped
    assert [frame.tracks.ids.tolist() for frame in skeletons(live)] == [[0], [1]]


def mend_frames(live):
    """Undo what rubbish has made of frames, all but one: these transforms are newer."""
    live.transforms.add(transforms(6, "earth", "odom", 0), static=True)
    for child in ("lidar", "", "a" * 300):
        live.transforms.add(transforms(6, "odom", child, 0), static=True)


@pytest.mark.parametrize(
    "sections", [{"input": {"wait_s": 0.005}}, {"track": {"frame": "odom"}, "input": {"wait_s": 0.0}}]
)
def test_no_message_can_end_it_and_every_cloud_is_accounted_for(weights, sections):
    @settings(max_examples=500, suppress_health_check=list(HealthCheck))
    @given(st.lists(rubbish.messages, min_size=1, max_size=4))
    def fuzz(messages):
        mend_frames(live)  # or one message could keep all others from having a result
        for message in messages:
            if hasattr(message, "detections"):
                live.input.add_detections(message)
            elif hasattr(message, "transforms"):
                live.transforms.add(message, static=len(message.transforms[0].child_frame_id) % 2 == 0)
            else:
                live.input.add_cloud(message)
        report = live.settle()
        assert not [reason for reason in report.skipped if "internal" in reason], live.shelf.told

    with robot(weights, **sections) as live:
        fuzz()
        assert live.status.report().clouds > 400
        assert live.status.report().frames > 8, "some are good enough for a result"
        now = 10 + max(stamp_ns(message.header.stamp) for message in live.shelf.kept["skeletons"]) // SCAN_NS
        live.shelf.kept.clear()
        live.input.clear()
        live.transforms.clear()
        mend_frames(live)
        live.input.add_detections(detections(now, "person"))
        live.see(cloud(now))
        assert [len(frame.tracks) for frame in skeletons(live)] == [1], "after all this it still works"
    assert header(0).frame_id == "lidar"
