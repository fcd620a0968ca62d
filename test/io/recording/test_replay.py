import json
from dataclasses import replace as with_values

import numpy as np
import pytest
from ros_messages import PERSON, SCAN_NS, START_NS, cloud, detections, of_yolo, transforms

from gckpl_ros.commands.replay import main
from gckpl_ros.config import Config, DetectConfig, load_config
from gckpl_ros.errors import InputError
from gckpl_ros.io.live.interface import INPUTS
from gckpl_ros.io.messages.pointcloud2 import to_points
from gckpl_ros.io.messages.skeletons import from_skeleton_array
from gckpl_ros.io.recording.bag import BagReader, BagWriter
from gckpl_ros.io.recording.replay import CLOUD_TYPE, MARKERS, SKELETONS, TF_TYPE, replay
from gckpl_ros.reasons import BAD_CLOUD, BAD_SCORE, BAD_TURN, OTHER_CLASS, SCORE_OUTSIDE


@pytest.fixture
def config(weights):
    return Config.parse({"estimate": {"weights": str(weights), "device": "cpu"}, "track": {"confirm_hits": 1}})


KINDS = {
    "/rear/points": CLOUD_TYPE,
    "/points": CLOUD_TYPE,
    "/lidar/points": CLOUD_TYPE,
    "/detections": INPUTS["detections"].type,
    "/tf": TF_TYPE,
    "/tf_static": TF_TYPE,
}


def record(path, *messages):
    """Messages are (scan number, topic, message)."""
    with BagWriter(path, {topic: KINDS[topic] for _, topic, _ in messages}) as writer:
        for i, topic, message in messages:
            writer.write(topic, START_NS + round(i * SCAN_NS), message)
    return path


def seen_by_a_detector(path, scans=4):
    clouds = [(i, "/lidar/points", cloud(i)) for i in range(scans)]
    return record(path, *clouds, *((i, "/detections", detections(i, "person", "car")) for i in range(scans)))


def within(config, tolerance_ms):
    """Stamps this near belong together."""
    values = config.model_dump()
    values["input"]["tolerance_s"] = tolerance_ms / 1e3
    return Config.parse(values)


class Samples:
    """The sink that keeps every sample."""

    def __init__(self):
        self.samples = []

    def wanted(self):
        return ()

    def write(self, sample, frame):
        self.samples.append(sample)


def frames(path):
    with BagReader(path) as bag:
        return [from_skeleton_array(bag.decode(r)) for r in bag.records([SKELETONS])]


def test_a_person_that_a_detector_sees_becomes_one_skeleton_with_one_id(tmp_path, config):
    source, out = seen_by_a_detector(tmp_path / "in.mcap"), tmp_path / "out.mcap"
    summary = replay(source, out, config)
    found = frames(out)
    assert [frame.stamp_ns for frame in found] == [START_NS + i * SCAN_NS for i in range(4)]
    assert {frame.frame_id for frame in found} == {"lidar"}
    assert [len(frame.tracks) for frame in found] == [1, 1, 1, 1]
    assert len({int(frame.tracks.ids[0]) for frame in found}) == 1
    np.testing.assert_allclose(found[0].tracks.boxes.centers, [PERSON], atol=1e-6)
    assert (summary.clouds, summary.frames, summary.people, summary.ids) == (4, 4, 4, 1)
    assert summary.dropped == {"detection of another class": 4} and summary.skipped == {}
    assert summary.examples == {"detection of another class": "car"}
    assert {"decode", "crop", "estimate", "track", "encode", "total"} <= set(summary.stages_ms)


def test_boxes_of_yolo_ros_are_boxes_too(tmp_path, config):
    kind, source = "yolo_msgs/msg/DetectionArray", tmp_path / "in.mcap"
    with BagWriter(source, {"/lidar/points": CLOUD_TYPE, "/yolo/detections_3d": kind}) as writer:
        for i in range(4):
            stamp = START_NS + i * SCAN_NS
            writer.write("/lidar/points", stamp, cloud(i))
            writer.write("/yolo/detections_3d", stamp, of_yolo(detections(i, "person", "car")))
    values = config.model_dump()
    values["input"] |= {"detections_type": kind, "detections": "/yolo/detections_3d"}
    replay(source, tmp_path / "out.mcap", Config.parse(values))
    replay(seen_by_a_detector(tmp_path / "usual.mcap"), tmp_path / "expected.mcap", config)
    for found, expected in zip(frames(tmp_path / "out.mcap"), frames(tmp_path / "expected.mcap"), strict=True):
        np.testing.assert_array_equal(found.tracks.skeletons.keypoints, expected.tracks.skeletons.keypoints)
        assert len(found.tracks) == 1


def test_every_output_has_one_message_for_each_cloud(tmp_path, config):
    out = tmp_path / "out.mcap"
    replay(seen_by_a_detector(tmp_path / "in.mcap"), out, config)
    with BagReader(out) as bag:
        assert bag.topics == {
            SKELETONS: "gckpl_ros/msg/SkeletonArray",
            MARKERS: "visualization_msgs/msg/MarkerArray",
            "/tf": TF_TYPE,
        }
        assert [bag.count(topic) for topic in bag.topics] == [4, 4, 4]
        (first, *_) = (bag.decode(r) for r in bag.records(["/tf"]))
    assert first.transforms[0].child_frame_id == f"body_{frames(out)[0].tracks.ids[0]}"


def test_the_same_recording_makes_the_same_bytes(tmp_path, config):
    source = seen_by_a_detector(tmp_path / "in.mcap")
    for name in ("a.mcap", "b.mcap"):
        replay(source, tmp_path / name, config, include_cloud=True)
    assert (tmp_path / "a.mcap").read_bytes() == (tmp_path / "b.mcap").read_bytes()


def test_clouds_and_transforms_are_copied_on_request(tmp_path, config):
    source = record(
        tmp_path / "in.mcap",
        (0, "/tf_static", transforms(0, "base", "lidar", 2)),
        (0, "/tf", transforms(0, "odom", "base", 3)),
        (0, "/lidar/points", cloud(0)),
    )
    nobody_looks = config.model_copy(update={"detect": DetectConfig(enabled=False)})
    replay(source, tmp_path / "out.mcap", nobody_looks, include_cloud=True)
    with BagReader(tmp_path / "out.mcap") as bag:
        (copy,) = (bag.decode(r) for r in bag.records(["/lidar/points"]))
        tf = [bag.decode(r).transforms for r in bag.records(["/tf"])]
        assert bag.count("/tf_static") == 1
    np.testing.assert_array_equal(to_points(copy)[0], to_points(cloud(0))[0])
    assert [t[0].child_frame_id for t in tf if t] == ["base"]


def test_one_absurd_box_loses_only_itself(tmp_path, config):
    messages = []
    for i in range(3):
        found = detections(i, "person", "person", "person")
        found.detections[0].bbox.center = absurd(found.detections[0].bbox.center, x=1e200)
        found.detections[1].results[0].hypothesis.score = float("nan")
        found.detections[2].results[0].hypothesis.score = 5.0
        messages += [(i, "/lidar/points", cloud(i)), (i, "/detections", found)]
    source, out = record(tmp_path / "in.mcap", *messages), tmp_path / "out.mcap"
    summary = replay(source, out, config)
    assert [len(frame.tracks) for frame in frames(out)] == [1, 1, 1]
    assert {score for frame in frames(out) for score in frame.tracks.boxes.scores.tolist()} == {1.0}
    assert summary.dropped == {BAD_TURN: 3, BAD_SCORE: 3} and summary.mended == {SCORE_OUTSIDE: 3}
    assert summary.examples == {BAD_TURN: "1e+200, 0, 0, 1", BAD_SCORE: "nan", SCORE_OUTSIDE: "5"}


def absurd(pose, **values):
    turn = with_values(pose.orientation, **values)
    return with_values(pose, orientation=turn)


def test_a_stream_of_rubbish_makes_no_long_summary(tmp_path, config):
    messages = [(0, "/lidar/points", cloud(0)), (0, "/detections", detections(0, *("c" * n for n in range(1, 600))))]
    for i in range(1, 90):
        broken = cloud(i)
        broken.data = broken.data[:-i]
        messages.append((i, "/lidar/points", broken))
    summary = replay(record(tmp_path / "in.mcap", *messages), tmp_path / "out.mcap", config)
    assert summary.skipped == {BAD_CLOUD: 89} and summary.dropped[OTHER_CLASS] == 599
    assert summary.examples[BAD_CLOUD].startswith("cloud: data has 719 bytes"), "the first"
    assert all(len(example) <= 160 for example in summary.examples.values())


def test_clouds_that_cannot_be_used_are_skipped_and_counted(tmp_path, config):
    nothing = np.full((5, 3), np.nan)
    no_xyz = cloud(2)
    no_xyz.fields = no_xyz.fields[:2]
    source = record(
        tmp_path / "in.mcap",
        (0, "/lidar/points", cloud(0)),
        (1, "/lidar/points", cloud(1, nothing)),
        (2, "/lidar/points", no_xyz),
        (3, "/lidar/points", cloud(3)),
        (4, "/lidar/points", cloud(2)),  # late
    )
    summary = replay(source, tmp_path / "out.mcap", config)
    assert (summary.clouds, summary.frames) == (5, 2)
    assert summary.skipped == {
        "cloud without a finite point": 1,
        "cloud that contradicts itself": 1,
        "cloud that is not newer than the one before": 1,
    }


def test_when_the_recording_starts_anew_nobody_from_before_is_known(tmp_path, config):
    clouds = [(received, "/lidar/points", cloud(i)) for received, i in enumerate((12, 13, 0, 1))]
    boxes = [(received, "/detections", detections(i, "person")) for received, i in enumerate((12, 13, 0, 1))]
    source = record(tmp_path / "in.mcap", *clouds, *boxes)
    replay(source, tmp_path / "out.mcap", within(config, 1.0))
    ids = [int(frame.tracks.ids[0]) for frame in frames(tmp_path / "out.mcap")]
    assert len(ids) == 4 and len(set(ids)) == 2


def test_no_output_and_a_reason_if_no_cloud_can_be_used(tmp_path, config):
    source = record(tmp_path / "in.mcap", (0, "/lidar/points", cloud(0, np.zeros((4, 3)))))
    with pytest.raises(InputError, match="none of the 1 clouds on /lidar/points can be used: cloud without a finite"):
        replay(source, tmp_path / "out.mcap", config)
    assert [path.name for path in tmp_path.iterdir()] == ["in.mcap"]


@pytest.mark.parametrize(
    "offset_ms, tolerance_ms, people", [(20, 50.0, 1), (70, 50.0, 0), (70, 80.0, 1), (20, 10.0, 0)]
)
def test_detections_belong_to_a_cloud_of_nearly_the_same_stamp(tmp_path, config, offset_ms, tolerance_ms, people):
    scans = [(i, "/lidar/points", cloud(i)) for i in range(11)]  # 10 Hz
    source = record(
        tmp_path / "in.mcap", *scans, (0, "/detections", detections(0, "person", offset_ns=-offset_ms * 10**6))
    )
    summary = replay(source, tmp_path / "out.mcap", within(config, tolerance_ms))
    first = frames(tmp_path / "out.mcap")[0]
    assert len(first.tracks) == people
    assert summary.dropped["cloud without detections of its time"] == 11 - people


def test_detections_in_another_frame_are_brought_into_the_clouds(tmp_path, config):
    # The sensor sits 2 m ahead of base: what lies at x = 6 for it lies at x = 8 for base.
    source = record(
        tmp_path / "in.mcap",
        (0, "/tf_static", transforms(0, "base", "lidar", 2)),
        (0, "/lidar/points", cloud(0)),
        (0, "/detections", detections(0, "person", frame="base", at=PERSON + np.array([2, 0, 0]))),
    )
    replay(source, tmp_path / "out.mcap", config)
    (frame,) = frames(tmp_path / "out.mcap")
    np.testing.assert_allclose(frame.tracks.boxes.centers, [PERSON], atol=1e-5)


def test_clouds_without_a_transform_to_the_fixed_frame_are_skipped(tmp_path, config):
    source = record(
        tmp_path / "in.mcap",
        *((i, "/tf", transforms(i, "odom", "lidar", i)) for i in (1, 3)),
        *((i, "/lidar/points", cloud(i)) for i in range(5)),
    )
    fixed = config.model_copy(update={"track": config.track.model_copy(update={"frame": "odom"})})
    kept = Samples()
    summary = replay(source, tmp_path / "out.mcap", fixed, sinks=[kept])
    assert [sample.T_fixed_cloud[0, 3] for sample in kept.samples] == [1, 2, 3]
    assert summary.skipped == {"no transform at its time": 2}
    assert summary.examples["no transform at its time"].startswith("from lidar to odom: ")
    with pytest.raises(InputError, match=r"none of the 5 clouds .* map not known .*lidar, odom"):
        unknown = config.model_copy(update={"track": config.track.model_copy(update={"frame": "map"})})
        replay(source, tmp_path / "other.mcap", unknown)


def rig_of_two(path, missing=()):
    """Two sensors, the rear one 3 m behind and 20 ms late; a mount that knows both."""
    mounts = [
        (0, "/tf_static", transforms(0, "base", "lidar", 1)),
        (0, "/tf_static", transforms(0, "base", "rear", -2)),
    ]
    front = [(i, "/points", cloud(i, points=[PERSON])) for i in range(5)]
    rear = [(i + 0.2, "/rear/points", cloud(i + 0.2, [PERSON], "rear")) for i in range(5) if i not in missing]
    return record(path, *mounts, *sorted(front + rear, key=lambda message: message[0]))


def given(config, **values):
    """The configuration with other values of ``input``."""
    return config.model_copy(update={"input": config.input.model_copy(update=values)})


@pytest.mark.parametrize(("frame", "front_x"), [("", 6.0), ("base", 7.0)])
def test_clouds_of_several_sensors_are_merged_in_the_frame_that_is_asked_for(tmp_path, config, frame, front_x):
    kept, two = Samples(), given(config, points=("points", "/rear/points"), frame=frame)
    summary = replay(rig_of_two(tmp_path / "in.mcap"), tmp_path / "out.mcap", two, sinks=[kept])
    assert [sample.cloud.stamp_ns for sample in kept.samples] == [START_NS + i * SCAN_NS for i in range(5)]
    assert {sample.cloud.frame_id for sample in kept.samples} == {frame or "lidar"}
    for sample in kept.samples:
        np.testing.assert_allclose(sample.cloud.points[:, 0], [front_x, front_x - 3], atol=1e-6)
    assert (summary.clouds, summary.frames, summary.skipped) == (10, 5, {})
    assert summary.topic == "/points, /rear/points"


def test_a_scan_without_one_sensor_goes_without_it_and_is_counted(tmp_path, config):
    kept, two = Samples(), given(config, points=("points", "/rear/points"))
    source = rig_of_two(tmp_path / "in.mcap", missing=(1, 4))
    summary = replay(source, tmp_path / "out.mcap", two, sinks=[kept])
    assert [len(sample.cloud) for sample in kept.samples] == [2, 1, 2, 2, 1]
    assert summary.dropped == {"cloud of another sensor is missing": 2}


def test_a_topic_that_is_not_there_is_replaced_by_the_only_one_and_the_summary_says_so(tmp_path, config):
    source = seen_by_a_detector(tmp_path / "in.mcap")
    summary = replay(source, tmp_path / "out.mcap", given(config, detections="boxes"))
    assert summary.topic == "/lidar/points" and summary.people == 4
    assert summary.notes == [
        "/lidar/points in place of /points, which has no PointCloud2",
        "/detections in place of /boxes, which has no Detection3DArray",
    ]
    (tmp_path / "two").mkdir()
    two = rig_of_two(tmp_path / "two" / "in.mcap")
    with pytest.raises(InputError, match=r"several topics .*choose by --topic /points \| /rear/points"):
        replay(two, tmp_path / "out.mcap", given(config, points=("/lidar/points",)))
    with pytest.raises(InputError, match="topic /top is not in it"):
        replay(two, tmp_path / "out.mcap", given(config, points=("/points", "/top")))


def test_classes_and_the_use_of_detections_are_parameters(tmp_path, config):
    """Nobody else looks for people here."""
    source = seen_by_a_detector(tmp_path / "in.mcap")
    config = config.model_copy(update={"detect": DetectConfig(enabled=False)})
    for values, people, dropped in (
        ({"classes": ("car",)}, 4, {"detection of another class": 4}),
        ({"classes": ("car", "")}, 8, {}),
        ({"detections": ""}, 0, {}),
    ):
        summary = replay(source, tmp_path / "out.mcap", given(config, **values))
        assert (summary.people, summary.dropped) == (people, dropped)


def test_options_go_over_parameters_and_name_topics_that_must_be_there(tmp_path, weights, capsys):
    source, out = seen_by_a_detector(tmp_path / "in.mcap"), tmp_path / "out.mcap"
    overrides = (f"estimate.weights={weights}", "input.classes=[nobody]", "track.confirm_hits=1")
    main(source, out, classes=(), tolerance_ms=0.0, overrides=overrides, summary=tmp_path / "s.json")
    assert json.loads((tmp_path / "s.json").read_text())["people"] == 8
    assert "in place of" in capsys.readouterr().out
    for wrong in ({"topic": ("/lidar/pints",)}, {"detections": "/boxes"}):
        with pytest.raises(InputError, match="is not in it"):
            main(source, out, overrides=overrides, **wrong)


def test_the_output_is_not_the_input(tmp_path, config):
    source = seen_by_a_detector(tmp_path / "in.mcap")
    with pytest.raises(InputError, match="is the recording to be read"):
        replay(source, source, config)


def test_the_command_prints_a_table_and_writes_the_summary(tmp_path, weights, capsys):
    source, file = seen_by_a_detector(tmp_path / "in.mcap"), tmp_path / "summary.json"
    overrides = (f"estimate.weights={weights}", "track.confirm_hits=1")
    main(source, tmp_path / "out.mcap", detections="none", overrides=overrides, summary=file)
    table = capsys.readouterr().out
    summary = json.loads(file.read_text())
    assert "clouds" in table and "total, ms (p95)" in table
    assert (summary["clouds"], summary["dropped"]) == (4, {})  # no detections, no cars among them
    with pytest.raises(InputError, match="cannot write"):
        main(source, tmp_path / "out.mcap", overrides=overrides, summary=source / "summary.json")


def test_single_values_go_over_the_file_and_the_file_over_the_defaults(tmp_path):
    file = tmp_path / "some.yaml"
    file.write_text("crop: {margin_m: 0.3, min_points: 5}\n")
    config = load_config(file, ["crop.margin_m=0.2", "track.frame=odom", "detect.enabled=false"])
    assert (config.crop.margin_m, config.crop.min_points, config.track.frame) == (0.2, 5, "odom")
    assert not config.detect.enabled
    assert load_config() == Config()


@pytest.mark.parametrize("override", ["crop", "crop=1", "crop.margin_m", "margin_m=1", "=1", "crop.margin_m=[1"])
def test_overrides_that_cannot_be_read(override):
    with pytest.raises(InputError, match="--set"):
        load_config(None, [override])


@pytest.mark.parametrize("override, reason", [("crop.margn=1", "crop.margn"), ("crop.margin_m=-1", "greater than")])
def test_overrides_that_are_wrong(override, reason):
    with pytest.raises(InputError, match=reason):
        load_config(None, [override])
