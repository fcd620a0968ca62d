"""The pipeline with a real but untrained network: its keypoints mean nothing, their way through the stages does."""

import numpy as np
import pytest
import torch
from walkers import crowd, labelled

from gckpl_ros.adapt import Activity, AdaptationState
from gckpl_ros.adapt import guard as anchors_module
from gckpl_ros.adapt.guard import save_anchors
from gckpl_ros.config import Config
from gckpl_ros.errors import InputError
from gckpl_ros.estimate.checkpoint import save_network
from gckpl_ros.estimate.estimator import Estimator
from gckpl_ros.estimate.network import KeypointNetwork, NetworkConfig
from gckpl_ros.people.crop import crop
from gckpl_ros.pipeline import Pipeline
from gckpl_ros.types import Boxes, Cloud, TrackState

CENTERS = np.array([[4, 0, -0.6], [6, 3, -0.6], [9, -4, -0.6]], np.float32)
FRAME_NS = 100_000_000


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "untrained.safetensors"
    save_network(path, KeypointNetwork(NetworkConfig(width=32, point_width=16, layers=1)), {})
    return str(path)


def pipeline(weights, **sections):
    estimate = {"weights": weights, "device": "cpu"} | sections.pop("estimate", {})
    return Pipeline(Config.parse({"estimate": estimate, "track": {"smoothing": 0.0}} | sections))


def body(center, points=120):
    """Trunk and head, as the detector wants them: 1.75 m tall around the centre."""
    rng = np.random.default_rng(0)
    angle = np.arctan2(-center[1], -center[0]) + rng.uniform(-1.4, 1.4, points)
    z = rng.uniform(0.05, 1.75, points)
    radius = np.where(z > 1.5, 0.1, 0.25)
    return np.column_stack((radius * np.cos(angle), radius * np.sin(angle), z - 0.9)) + center


def cloud(i=0, centers=CENTERS):
    ground = np.column_stack((np.random.default_rng(1).uniform(-12, 12, (8000, 2)), np.full(8000, -1.5)))
    points = np.concatenate((ground, *(body(center) for center in centers)))
    return Cloud(points.astype(np.float32), i * FRAME_NS, "lidar")


def boxes(centers=CENTERS):
    n = len(centers)
    size = np.tile(np.float32([0.8, 0.8, 1.8]), (n, 1))
    return Boxes(np.asarray(centers, np.float32), size, np.zeros(n, np.float32), np.ones(n, np.float32))


def test_given_boxes_come_out_as_tracks_with_the_keypoints_of_their_points(weights):
    frame = pipeline(weights).process(cloud(3), boxes())
    config = Config()
    crops, _, _ = crop(cloud(3), boxes(), config.crop)
    expected = Estimator.load(config.estimate.model_copy(update={"weights": weights, "device": "cpu"}))(crops)
    np.testing.assert_array_equal(frame.tracks.skeletons.keypoints, expected.skeletons.keypoints)
    np.testing.assert_array_equal(frame.tracks.boxes.centers, CENTERS)
    assert (frame.stamp_ns, frame.frame_id, frame.dropped, frame.parts) == (3 * FRAME_NS, "lidar", {}, None)
    assert list(frame.timings_ms) == ["detect", "crop", "estimate", "track"]
    assert all(ms >= 0 for ms in frame.timings_ms.values())


def test_people_are_detected_and_followed_when_no_boxes_are_given(weights):
    walk = pipeline(weights, detect={"confirm_looks": 3})
    frames = [walk.process(cloud(i, CENTERS + np.float32([0, 0.1 * i, 0]))) for i in range(6)]
    assert [len(frame.tracks) for frame in frames] == [0, 0, 3, 3, 3, 3]
    last = frames[-1].tracks
    assert sorted(last.ids) == [0, 1, 2]
    order = np.argsort(last.boxes.centers[:, 0])
    np.testing.assert_allclose(last.boxes.centers[order, :2], CENTERS[:, :2] + [0, 0.5], atol=0.15)


def test_drops_of_all_stages_are_counted_and_the_nearest_kept(weights):
    given = boxes(np.concatenate((CENTERS, [[4, 6, -0.6], [5, 0, 40]])))
    given.sizes[0] = -1
    frame = pipeline(weights, estimate={"max_people": 3}, crop={"min_points": 100}).process(cloud(), given)
    np.testing.assert_array_equal(frame.tracks.boxes.centers, CENTERS[1:2])
    assert frame.dropped == {"too_many": 2, "bad_box": 1, "few_points": 1}


def test_parts_lead_back_to_the_points_and_to_the_track_of_their_person(weights):
    scene = cloud()
    frame = pipeline(weights).process(scene, boxes(), parts=True)
    parts = frame.parts
    np.testing.assert_allclose(parts.probability.sum(axis=1), 1, atol=1e-5)
    offsets = scene.points[parts.index] - frame.tracks.boxes.centers[parts.person]
    assert (np.abs(offsets) <= np.float32([0.55, 0.55, 1.05]) + 1e-5).all()
    assert set(parts.person) == {0, 1, 2}


def test_tracks_are_kept_in_the_fixed_frame(weights):
    drive = pipeline(weights)
    for i in range(8):
        T = np.eye(4)
        T[0, 3] = 0.5 * i
        seen = (CENTERS - T[:3, 3]).astype(np.float32)
        frame = drive.process(cloud(i, seen), boxes(seen), T)
    assert list(frame.tracks.ids) == [0, 1, 2]
    np.testing.assert_allclose(frame.tracks.velocities, 0, atol=1e-3)


def test_nobody_in_nobody_out(weights):
    empty = Cloud(np.zeros((0, 3), np.float32), 0, "lidar")
    assert len(pipeline(weights).process(empty).tracks) == 0
    assert len(pipeline(weights).process(empty, Boxes.empty()).tracks) == 0


def test_detector_and_tracker_can_be_off(weights):
    off = pipeline(weights, detect={"enabled": False}, track={"enabled": False})
    assert len(off.process(cloud(0)).tracks) == 0
    frames = [off.process(cloud(i), boxes()) for i in range(2)]
    assert [list(frame.tracks.ids) for frame in frames] == [[0, 1, 2], [3, 4, 5]]


def test_reset_forgets_everybody(weights):
    forgetful = pipeline(weights)
    forgetful.process(cloud(0), boxes())
    forgetful.reset()
    frame = forgetful.process(cloud(1), boxes())
    assert list(frame.tracks.ids) == [3, 4, 5]
    assert set(frame.tracks.states) == {TrackState.NEW}


def test_the_same_clouds_give_the_same_bytes(weights):
    def run():
        same = pipeline(weights, track={"smoothing": 0.5})
        return [same.process(cloud(i), boxes()).tracks.skeletons.keypoints.tobytes() for i in range(3)]

    assert run() == run()


def test_weights_that_do_not_exist_are_the_users_error(tmp_path):
    with pytest.raises(InputError, match=r"none\.safetensors"):
        pipeline(str(tmp_path / "none.safetensors"))


def test_found_people_that_the_network_doubts_are_dropped_and_given_ones_kept(tmp_path):
    network = KeypointNetwork(NetworkConfig(width=16, point_width=8, heads=2, layers=1))
    network.calibration.copy_(torch.tensor([0.0, -2.0]))  # confidence is sigmoid(-2) = 0.12, whatever the points
    save_network(tmp_path / "doubtful.safetensors", network, {})
    options = {"detect": {"confirm_looks": 1}}
    doubtful = pipeline(str(tmp_path / "doubtful.safetensors"), **options)
    frames = [doubtful.process(cloud(i), parts=True) for i in range(3)]
    assert [len(frame.tracks) for frame in frames] == [0, 0, 0]
    assert frames[-1].dropped == {"unsure": 3}
    assert len(frames[-1].parts.index) == 0
    assert len(doubtful.process(cloud(3), boxes()).tracks) == 3
    options["detect"]["min_confidence"] = 0.1
    trusting = pipeline(str(tmp_path / "doubtful.safetensors"), **options)
    assert len([trusting.process(cloud(i)) for i in range(3)][-1].tracks) == 3


def config(weights, **sections):
    return Config.parse({"estimate": {"weights": weights, "device": "cpu"}} | sections)


def test_other_values_are_taken_over_between_two_clouds_and_people_keep_their_ids(weights):
    running = pipeline(weights)
    before = running.process(cloud(0), boxes())
    after = running.process(cloud(1), boxes())
    running.configure(config(weights, crop={"min_points": 1000}))
    hidden = running.process(cloud(2), boxes())
    assert hidden.dropped == {"few_points": 3}
    assert before.tracks.ids.tolist() == after.tracks.ids.tolist() == hidden.tracks.ids.tolist()
    running.configure(config(weights, detect={"enabled": False}))
    assert set(running.process(cloud(3)).tracks.states) == {TrackState.LOST}, "nobody looks for people any more"
    running.configure(config(weights, detect={"confirm_looks": 1}))
    assert len([s for s in running.process(cloud(4)).tracks.states if s != TrackState.LOST]) > 0


def test_warming_up_leaves_no_trace(weights):
    cold, warm = pipeline(weights), pipeline(weights)
    warm.warm_up()
    cold, warm = cold.process(cloud(0), boxes()), warm.process(cloud(0), boxes())
    assert cold.tracks.ids.tolist() == warm.tracks.ids.tolist()
    np.testing.assert_array_equal(cold.tracks.skeletons.keypoints, warm.tracks.skeletons.keypoints)


@pytest.fixture
def learning(weights, tmp_path, monkeypatch):
    """A pipeline that adapts, with few anchors; its adapter works when it is told to."""
    save_anchors(tmp_path / "anchors.npz", labelled(crowd(8), 0.0))
    monkeypatch.setattr(anchors_module, "shipped_anchors", lambda: tmp_path / "anchors.npz")
    return lambda **values: pipeline(weights, adapt={"enabled": True, "frames": 2, "min_tracklets": 1} | values)


def test_without_adaptation_there_is_an_adapter_that_is_off(weights):
    assert pipeline(weights).adapter.status == AdaptationState(Activity.DISABLED)


def test_the_adapter_sees_tracked_people_only_in_the_fixed_frame(learning):
    watched, shown = learning(), []
    watched.adapter.observe = lambda *given: shown.append(given)
    T = np.eye(4)
    T[:3, 3] = [1, 2, 0]
    for i in range(3):
        watched.process(cloud(i), boxes(), T)
    assert [ids.tolist() for _, ids, _, _ in shown] == [[], [0, 1, 2], [0, 1, 2]], "the first time everybody is new"
    crops, _, stamp_ns, T_fixed_cloud = shown[-1]
    np.testing.assert_array_equal(crops.origins, CENTERS)
    assert stamp_ns == 2 * FRAME_NS
    np.testing.assert_array_equal(T_fixed_cloud, T)


def test_a_network_of_the_adapter_estimates_from_the_next_cloud_on(learning, tmp_path):
    running, other = learning(), KeypointNetwork(NetworkConfig(width=16, point_width=8, heads=2, layers=1)).eval()
    running.process(cloud(0), boxes())
    fresh = iter([other])
    running.adapter.update = lambda: next(fresh, None)
    frames = [running.process(cloud(i), boxes()) for i in (1, 2)]
    crops, _, _ = crop(cloud(1), boxes(), Config().crop)
    expected = Estimator(other, torch.device("cpu"))(crops).skeletons.confidence
    for frame in frames:
        np.testing.assert_array_equal(frame.tracks.skeletons.confidence, expected)


def test_time_that_restarts_ends_the_adapters_tracklets(learning):
    running = learning()
    for i in range(2):
        running.process(cloud(i), boxes())
    running.reset()
    running.process(cloud(2), boxes())
    running.process(cloud(3), boxes())
    assert len(running.adapter._collector) == 0, "one look at each person before, one after"
    running.process(cloud(4), boxes())
    assert len(running.adapter._collector) == 3


def test_the_adapters_values_are_taken_over_between_two_clouds(learning, weights):
    running, steps = learning(steps_per_cloud=2.0), []
    running.adapter.work = steps.append
    running.adapter.keep_pace()
    running.configure(config(weights, adapt={"enabled": True, "steps_per_cloud": 5.0}))
    running.adapter.keep_pace()
    assert steps == [2, 5]


def test_adaptation_without_anchors_is_the_users_error(weights, monkeypatch, tmp_path):
    monkeypatch.setattr(anchors_module, "shipped_anchors", lambda: tmp_path / "none.npz")
    with pytest.raises(InputError, match=r"cannot read anchors .*none\.npz"):
        pipeline(weights, adapt={"enabled": True})
