"""The pipeline with a real but untrained network: its keypoints mean nothing, their way through the stages does."""

import numpy as np
import pytest
import torch
from scenes import CENTERS, FRAME_NS, boxes, cloud

from gckpl_ros.config import Config
from gckpl_ros.errors import InputError
from gckpl_ros.estimate.checkpoint import save_network
from gckpl_ros.estimate.estimator import Estimator
from gckpl_ros.estimate.tokens import TokenConfig, TokenNetwork
from gckpl_ros.people.crop import crop
from gckpl_ros.pipeline import Pipeline
from gckpl_ros.types import Boxes, Cloud, Sample, TrackState


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "untrained.safetensors"
    save_network(path, TokenNetwork(TokenConfig(width=32, point_width=16, layers=1)), {})
    return str(path)


def pipeline(weights, **sections):
    estimate = {"weights": weights, "device": "cpu"} | sections.pop("estimate", {})
    return Pipeline(Config.parse({"estimate": estimate, "track": {"smoothing": 0.0}} | sections))


def test_given_boxes_come_out_as_tracks_with_the_keypoints_of_their_points(weights):
    frame = pipeline(weights).process(Sample(cloud(3), boxes()))
    config = Config()
    crops, _, _ = crop(cloud(3), boxes(), config.crop)
    expected = Estimator.load(config.estimate.model_copy(update={"weights": weights, "device": "cpu"}))(crops)
    np.testing.assert_array_equal(frame.tracks.skeletons.keypoints, expected.skeletons.keypoints)
    np.testing.assert_array_equal(frame.tracks.boxes.centers, CENTERS)
    assert (frame.stamp_ns, frame.frame_id, frame.dropped, frame.parts) == (3 * FRAME_NS, "lidar", {}, None)
    assert list(frame.timings_ms) == ["detect", "crop", "estimate", "track"]
    assert all(ms >= 0 for ms in frame.timings_ms.values())


def test_people_are_detected_and_followed_when_no_boxes_are_given(weights):
    walk = pipeline(weights, detect={"method": "shape", "confirm_s": 0.3})
    frames = [walk.process(Sample(cloud(i, CENTERS + np.float32([0, 0.1 * i, 0])))) for i in range(6)]
    assert [len(frame.tracks) for frame in frames] == [0, 0, 3, 3, 3, 3]
    last = frames[-1].tracks
    assert sorted(last.ids) == [0, 1, 2]
    order = np.argsort(last.boxes.centers[:, 0])
    np.testing.assert_allclose(last.boxes.centers[order, :2], CENTERS[:, :2] + [0, 0.5], atol=0.15)


def test_drops_of_all_stages_are_counted_and_the_nearest_kept(weights):
    given = boxes(np.concatenate((CENTERS, [[4, 6, -0.6], [5, 0, 40]])))
    given.sizes[0] = -1
    frame = pipeline(weights, estimate={"max_people": 3}, crop={"min_points": 100}).process(Sample(cloud(), given))
    np.testing.assert_array_equal(frame.tracks.boxes.centers, CENTERS[1:])
    assert frame.dropped == {"bad_box": 1, "few_points": 2}
    nearest = pipeline(weights, estimate={"max_people": 1}, crop={"min_points": 100}).process(Sample(cloud(), given))
    np.testing.assert_array_equal(nearest.tracks.boxes.centers, CENTERS[1:2])
    assert nearest.dropped == {"bad_box": 1, "few_points": 2, "too_many": 1}


def test_parts_lead_back_to_the_points_and_to_the_track_of_their_person(weights):
    scene = cloud()
    frame = pipeline(weights).process(Sample(scene, boxes()), {"parts"})
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
        frame = drive.process(Sample(cloud(i, seen), boxes(seen), T))
    assert list(frame.tracks.ids) == [0, 1, 2]
    np.testing.assert_allclose(frame.tracks.velocities, 0, atol=0.3)  # of 5 m/s; what an untrained network says jumps


def test_nobody_in_nobody_out(weights):
    empty = Cloud(np.zeros((0, 3), np.float32), 0, "lidar")
    assert len(pipeline(weights).process(Sample(empty)).tracks) == 0
    assert len(pipeline(weights).process(Sample(empty, Boxes.empty())).tracks) == 0


def test_detector_and_tracker_can_be_off(weights):
    off = pipeline(weights, detect={"enabled": False}, track={"enabled": False})
    assert len(off.process(Sample(cloud(0))).tracks) == 0
    frames = [off.process(Sample(cloud(i), boxes())) for i in range(2)]
    assert [list(frame.tracks.ids) for frame in frames] == [[0, 1, 2], [3, 4, 5]]


def test_reset_forgets_everybody(weights):
    forgetful = pipeline(weights)
    forgetful.process(Sample(cloud(0), boxes()))
    forgetful.reset()
    frame = forgetful.process(Sample(cloud(1), boxes()))
    assert list(frame.tracks.ids) == [3, 4, 5]
    assert set(frame.tracks.states) == {TrackState.NEW}


def test_the_same_clouds_give_the_same_bytes(weights):
    def run():
        same = pipeline(weights, track={"smoothing": 0.5})
        return [same.process(Sample(cloud(i), boxes())).tracks.skeletons.keypoints.tobytes() for i in range(3)]

    assert run() == run()


def test_weights_that_do_not_exist_are_the_users_error(tmp_path):
    with pytest.raises(InputError, match=r"none\.safetensors"):
        pipeline(str(tmp_path / "none.safetensors"))


def test_found_people_that_the_network_doubts_are_dropped_and_given_ones_kept(tmp_path):
    network = TokenNetwork(TokenConfig(width=16, point_width=8, heads=2, layers=1))
    network.calibration.copy_(torch.tensor([0.0, -2.0]))  # confidence is sigmoid(-2) = 0.12, whatever the points
    save_network(tmp_path / "doubtful.safetensors", network, {})
    options = {"detect": {"method": "shape", "confirm_s": 0.1, "min_confidence": 0.4}}
    doubtful = pipeline(str(tmp_path / "doubtful.safetensors"), **options)
    frames = [doubtful.process(Sample(cloud(i)), {"parts"}) for i in range(3)]
    assert [len(frame.tracks) for frame in frames] == [0, 0, 0]
    assert frames[-1].dropped == {"unsure": 3}
    assert len(frames[-1].parts.index) == 0
    assert len(doubtful.process(Sample(cloud(3), boxes())).tracks) == 3
    options["detect"]["min_confidence"] = 0.1
    trusting = pipeline(str(tmp_path / "doubtful.safetensors"), **options)
    assert len([trusting.process(Sample(cloud(i))) for i in range(3)][-1].tracks) == 3


def config(weights, **sections):
    return Config.parse({"estimate": {"weights": weights, "device": "cpu"}} | sections)


def test_other_values_are_taken_over_between_two_clouds_and_people_keep_their_ids(weights):
    running = pipeline(weights, detect={"method": "shape"})
    before = running.process(Sample(cloud(0), boxes()))
    after = running.process(Sample(cloud(1), boxes()))
    running.configure(config(weights, crop={"min_points": 1000}))
    hidden = running.process(Sample(cloud(2), boxes()))
    assert hidden.dropped == {"few_points": 3}
    assert before.tracks.ids.tolist() == after.tracks.ids.tolist() == hidden.tracks.ids.tolist()
    running.configure(config(weights, detect={"enabled": False}))
    assert set(running.process(Sample(cloud(3))).tracks.states) == {TrackState.LOST}, "nobody looks for people any more"
    running.configure(config(weights, detect={"method": "shape", "confirm_s": 0.1}))
    assert len([s for s in running.process(Sample(cloud(4))).tracks.states if s != TrackState.LOST]) > 0


def test_warming_up_leaves_no_trace(weights):
    cold, warm = pipeline(weights), pipeline(weights)
    warm.warm_up()
    cold, warm = cold.process(Sample(cloud(0), boxes())), warm.process(Sample(cloud(0), boxes()))
    assert cold.tracks.ids.tolist() == warm.tracks.ids.tolist()
    np.testing.assert_array_equal(cold.tracks.skeletons.keypoints, warm.tracks.skeletons.keypoints)


def test_everybody_who_is_seen_comes_with_the_crop_and_the_tracked_by_their_ids(weights):
    watched = pipeline(weights)
    first, *_, last = [watched.process(Sample(cloud(i), boxes())) for i in range(3)]
    assert [ids.tolist() for _, ids in (first.tracked(), last.tracked())] == [[], [0, 1, 2]], "at first all are new"
    people, _ = last.tracked()
    np.testing.assert_array_equal(people.origins, CENTERS)
    hidden = watched.process(Sample(cloud(3), boxes(CENTERS[1:])))
    assert hidden.tracks.ids.tolist() == [1, 2, 0] and len(hidden.people) == 2
    people, ids = hidden.tracked()
    np.testing.assert_array_equal(people.origins, CENTERS[1:])
    assert ids.tolist() == [1, 2]


def test_another_network_can_take_over_between_two_frames(weights):
    running, other = (
        pipeline(weights),
        TokenNetwork(TokenConfig(width=16, point_width=8, heads=2, layers=1)).eval(),
    )
    running.process(Sample(cloud(0), boxes()))
    running.network = other
    crops, _, _ = crop(cloud(1), boxes(), Config().crop)
    expected = Estimator(other, torch.device("cpu"))(crops).skeletons.confidence
    found = running.process(Sample(cloud(1), boxes())).tracks.skeletons.confidence
    np.testing.assert_array_equal(found, expected)
