import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from people import STANDING

from gckpl_ros.config import TrackConfig
from gckpl_ros.skeleton import INDEX, MIRROR
from gckpl_ros.track import NoTracker, Tracker
from gckpl_ros.types import Boxes, Skeletons, TrackState

EYE = np.eye(4)
FRAME_NS = 100_000_000
OFFSETS = STANDING @ np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 1]])  # looks along y


def people(*centers, confidence=0.8):
    """Boxes and rigid skeletons at these centres."""
    c = np.array(centers, np.float32).reshape(-1, 3)
    n = len(c)
    boxes = Boxes(c, np.tile(np.float32([0.8, 0.7, 1.8]), (n, 1)), np.full(n, 0.5, np.float32), np.ones(n, np.float32))
    weight = np.full((n, 14), confidence, np.float32)
    return boxes, Skeletons((c[:, None] + OFFSETS).astype(np.float32), weight, weight)


def transform(yaw, translation):
    T = np.eye(4)
    T[:2, :2] = [[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]
    T[:3, 3] = translation
    return T


def follow(tracker, positions_per_frame, T=EYE):
    return [tracker(*people(*p), stamp_ns=i * FRAME_NS, T_fixed_cloud=T) for i, p in enumerate(positions_per_frame)]


def walk(i, speed=1.4):
    return (5.0, speed * 0.1 * i, 0.0)


def test_a_person_is_new_then_tracked_with_the_true_velocity():
    out = follow(Tracker(TrackConfig(smoothing=0)), [[walk(i)] for i in range(20)])
    assert [int(t.states[0]) for t in out[:3]] == [TrackState.NEW, TrackState.TRACKED, TrackState.TRACKED]
    assert {int(t.ids[0]) for t in out} == {0}
    np.testing.assert_allclose(out[-1].velocities[0], [0, 1.4, 0], atol=0.02)


def test_occlusion_of_half_a_second_keeps_the_id_and_carries_box_and_skeleton_along():
    hidden = range(10, 15)
    out = follow(Tracker(TrackConfig()), [[] if i in hidden else [walk(i)] for i in range(20)])
    for i in hidden:
        assert list(out[i].states) == [TrackState.LOST]
        np.testing.assert_allclose(out[i].boxes.centers[0], walk(i), atol=0.05)
        np.testing.assert_allclose(out[i].skeletons.keypoints[0], walk(i) + OFFSETS, atol=0.1)
        assert out[i].boxes.yaws[0] == pytest.approx(0.5)
    assert list(out[15].states) == [TrackState.TRACKED]
    assert {int(t.ids[0]) for t in out} == {0}


def test_after_too_long_the_track_ends_and_its_id_is_not_used_again():
    config = TrackConfig(max_age_s=0.5, memory_s=0.7)
    out = follow(Tracker(config), [[walk(0)]] * 5 + [[]] * 8 + [[walk(0)]] * 2)
    assert [len(t) for t in out[5:13]] == [1, 1, 1, 1, 1, 0, 0, 0]
    assert list(out[-1].ids) == [1]


@pytest.mark.parametrize("hertz", [5, 10, 20])
def test_two_seconds_out_of_sight_keep_the_id_and_nothing_is_invented_meanwhile(hertz):
    """Somebody walks on behind a wall at 1.4 m/s: reported as lost for 0.6 s, remembered for longer."""
    tracker = Tracker(TrackConfig())
    seen = lambda s: s < 2 or s >= 4  # noqa: E731
    out = []
    for i in range(5 * hertz):
        boxes, skeletons = people(*([(5, 1.4 * i / hertz, 0)] if seen(i / hertz) else []))
        out.append(tracker(boxes, skeletons, round(i * 1e9 / hertz), EYE))
    assert {int(id) for t in out for id in t.ids} == {0}
    assert out[-1].states[0] == TrackState.TRACKED
    assert sum(len(t) for t in out[2 * hertz : 4 * hertz]) == pytest.approx(0.6 * hertz, abs=1)


def test_who_comes_back_is_known_by_the_size_of_the_body():
    """Where somebody tall was lost a child comes out: a stranger."""

    def of_size(size, place):
        boxes, skeletons = people(place)
        keypoints = (np.float32(place) + size * OFFSETS[None]).astype(np.float32)
        return boxes, Skeletons(keypoints, skeletons.confidence, skeletons.visibility)

    tracker = Tracker(TrackConfig())
    for i in range(10):
        tracker(*of_size(1.0, (5, 0, 0)), i * FRAME_NS, EYE)
    assert list(tracker(*of_size(0.65, (5, 0.4, 0)), 25 * FRAME_NS, EYE).ids) == [1]
    assert tracker(*of_size(1.02, (5, 0.4, 0)), 26 * FRAME_NS, EYE).ids[0] == 0


def test_unconfirmed_people_are_not_carried_on():
    out = follow(Tracker(TrackConfig(confirm_hits=3)), [[walk(0)], [walk(1)], []])
    assert len(out[2]) == 0


def test_crossing_people_keep_their_ids():
    def crossing(i):
        return [(0.12 * (i - 20), 0.25, 0.0), (0.12 * (20 - i), -0.25, 0.0)]

    rng = np.random.default_rng(1)
    frames = [[tuple(np.add(p, rng.normal(0, 0.04, 3))) for p in crossing(i)] for i in range(40)]
    for out in follow(Tracker(TrackConfig()), frames):
        assert list(out.ids) == [0, 1]


def test_rows_keep_the_order_of_the_boxes_and_the_lost_follow():
    tracker = Tracker(TrackConfig(confirm_hits=1))
    follow(tracker, [[(0, 0, 0), (3, 0, 0), (6, 0, 0)]])
    out = tracker(*people((6, 0, 0), (9, 0, 0), (0, 0, 0)), stamp_ns=FRAME_NS, T_fixed_cloud=EYE)
    assert list(out.ids) == [2, 3, 0, 1]
    assert list(out.states) == [TrackState.TRACKED] * 3 + [TrackState.LOST]


def test_nobody_is_matched_beyond_the_gate():
    out = follow(Tracker(TrackConfig(gate_m=0.5)), [[(0, 0, 0)], [(0.6, 0, 0)]])
    assert list(out[1].ids) == [1]


@pytest.mark.parametrize("stamp_ns", [10 * FRAME_NS, 60 * FRAME_NS])
def test_time_that_jumps_back_or_far_ahead_starts_anew(stamp_ns):
    tracker = Tracker(TrackConfig())
    for i in range(3):
        tracker(*people(walk(0)), stamp_ns=(20 + i) * FRAME_NS, T_fixed_cloud=EYE)
    out = tracker(*people(walk(0)), stamp_ns=stamp_ns, T_fixed_cloud=EYE)
    assert list(out.ids) == [1]
    assert list(out.states) == [TrackState.NEW]


def test_reset_forgets_people_but_not_which_ids_were_used():
    tracker = Tracker(TrackConfig())
    follow(tracker, [[walk(0)]])
    tracker.reset()
    assert list(follow(tracker, [[walk(0)]])[0].ids) == [1]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_without_smoothing_the_output_is_the_input_bit_for_bit(seed):
    rng = np.random.default_rng(seed)
    tracker = Tracker(TrackConfig(smoothing=0, gate_m=5))
    for i in range(4):
        boxes, skeletons = people(*rng.normal(0, 3, (3, 3)), confidence=rng.choice([0.0, 0.5]))
        T = transform(rng.uniform(-3, 3), rng.normal(0, 1000, 3))
        out = tracker(boxes, skeletons, i * FRAME_NS, T)
        np.testing.assert_array_equal(out.skeletons.keypoints[:3], skeletons.keypoints)
        np.testing.assert_array_equal(out.boxes.centers[:3], boxes.centers)


def test_smoothing_takes_a_third_of_the_noise_of_a_person_who_stands_still():
    rng = np.random.default_rng(2)
    tracker = Tracker(TrackConfig(smoothing=0.7))
    raw, smooth = [], []
    for i in range(100):
        boxes, skeletons = people((4, 1, 0))
        noisy = (skeletons.keypoints + rng.normal(0, 0.03, (1, 14, 3))).astype(np.float32)
        out = tracker(boxes, Skeletons(noisy, skeletons.confidence, skeletons.visibility), i * FRAME_NS, EYE)
        raw.append(noisy - skeletons.keypoints)
        smooth.append(out.skeletons.keypoints - skeletons.keypoints)
    assert np.std(smooth[10:]) < 0.68 * np.std(raw[10:])


def test_a_keypoint_without_confidence_moves_less_than_one_that_is_sure():
    def off_by(confidence):
        tracker = Tracker(TrackConfig())
        truth = people((4, 1, 0))[1].keypoints
        for i in range(10):
            tracker(*people((4, 1, 0)), stamp_ns=i * FRAME_NS, T_fixed_cloud=EYE)
        boxes, skeletons = people((4, 1, 0))
        sure, wrong = skeletons.confidence.copy(), skeletons.keypoints.copy()
        sure[0, INDEX["left_wrist"]] = confidence
        wrong[0, INDEX["left_wrist"]] += 0.2
        out = tracker(boxes, Skeletons(wrong, sure, sure), 10 * FRAME_NS, EYE)
        return np.linalg.norm(out.skeletons.keypoints - truth, axis=2)[0, INDEX["left_wrist"]]

    assert off_by(0.0) < 0.5 * off_by(0.95)


def walking(i, mirrored=False, confidence=0.5, speed=1.4):
    boxes, skeletons = people(walk(i, speed), confidence=confidence)
    keypoints = skeletons.keypoints[:, MIRROR] if mirrored else skeletons.keypoints
    return boxes, Skeletons(keypoints, skeletons.confidence, skeletons.visibility)


def test_left_and_right_exchanged_for_a_frame_are_put_right():
    tracker = Tracker(TrackConfig())
    for i in range(20):
        out = tracker(*walking(i, mirrored=i in (8, 14)), i * FRAME_NS, EYE)
        assert list(tracker.exchanged) == [i in (8, 14)]
        np.testing.assert_allclose(out.skeletons.keypoints[0], walk(i) + OFFSETS, atol=0.05)


def test_the_way_somebody_walks_tells_which_side_is_left_though_it_began_wrong():
    tracker = Tracker(TrackConfig())
    for i in range(12):
        out = tracker(*walking(i, mirrored=i < 4), i * FRAME_NS, EYE)
    np.testing.assert_allclose(out.skeletons.keypoints[0], walk(11) + OFFSETS, atol=0.05)


def test_a_network_that_is_sure_is_believed_when_somebody_walks_backwards():
    tracker = Tracker(TrackConfig())
    for i in range(12):
        out = tracker(*walking(i, mirrored=True, confidence=0.9), i * FRAME_NS, EYE)
    assert not tracker.exchanged.any()
    np.testing.assert_allclose(out.skeletons.keypoints[0], walk(11) + OFFSETS[list(MIRROR)], atol=0.05)


def test_bones_keep_their_length_when_a_joint_jumps():
    def length(keypoints):
        return np.linalg.norm(keypoints[0, INDEX["left_wrist"]] - keypoints[0, INDEX["left_elbow"]])

    tracker = Tracker(TrackConfig())
    boxes, skeletons = people((4, 1, 0))
    for i in range(10):
        tracker(boxes, skeletons, i * FRAME_NS, EYE)
    away = skeletons.keypoints.copy()
    way = away[0, INDEX["left_wrist"]] - away[0, INDEX["left_elbow"]]
    away[0, INDEX["left_wrist"]] += 0.6 * way
    out = tracker(boxes, Skeletons(away, skeletons.confidence, skeletons.visibility), 10 * FRAME_NS, EYE)
    true = length(skeletons.keypoints)
    assert abs(length(out.skeletons.keypoints) - true) < 0.4 * abs(length(away) - true)


def test_a_moving_sensor_sees_the_same_tracks():
    """The fixed frame decides: people who stand still get no velocity though the sensor drives and turns."""
    still = np.array([[5.0, 1.0, 0.0], [7.0, -2.0, 0.0]])
    tracker = Tracker(TrackConfig())
    for i in range(15):
        T = transform(0.05 * i, [0.15 * i, 500, 1.5])
        seen = [] if i == 12 else (np.add(still, [0, 500, 0]) - T[:3, 3]) @ T[:3, :3]
        out = tracker(*people(*seen), stamp_ns=i * FRAME_NS, T_fixed_cloud=T)
        assert list(out.ids) == [0, 1]
        where = out.boxes.centers @ T[:3, :3].T + T[:3, 3]
        np.testing.assert_allclose(where, np.add(still, [0, 500, 0]), atol=1e-3)
        np.testing.assert_allclose(out.velocities, 0, atol=1e-2)


def test_velocity_is_in_the_axes_of_the_cloud():
    T = transform(np.pi / 2, [0, 0, 0])  # the cloud's x axis is the fixed frame's y axis
    out = follow(Tracker(TrackConfig()), [[(0.1 * i, 3, 0)] for i in range(20)], T)
    np.testing.assert_allclose(out[-1].velocities[0], [1, 0, 0], atol=0.02)


def test_nobody_at_all():
    out = follow(Tracker(TrackConfig()), [[], []])
    assert [len(t) for t in out] == [0, 0]


def test_without_a_tracker_everybody_is_always_new():
    tracker = NoTracker()
    out = follow(tracker, [[walk(0), walk(9)], [walk(0)]])
    assert [list(t.ids) for t in out] == [[0, 1], [2]]
    assert all(state == TrackState.NEW for t in out for state in t.states)


@pytest.mark.parametrize("hertz", [5, 10, 20])
def test_a_swinging_wrist_is_followed_without_lag_at_any_rate(hertz):
    """A wrist swings by 0.2 m once a second: told within 4 cm of where it is, and no later than it is seen."""
    tracker, wrist = Tracker(TrackConfig()), INDEX["left_wrist"]
    errors = []
    for i in range(4 * hertz):
        boxes, skeletons = people((5, 0, 0), confidence=0.8)
        skeletons.keypoints[0, wrist, 1] += 0.2 * np.sin(2 * np.pi * i / hertz)
        out = tracker(boxes, skeletons, round(i * 1e9 / hertz), EYE)
        errors.append(np.linalg.norm(out.skeletons.keypoints[0, wrist] - skeletons.keypoints[0, wrist]))
    assert np.sqrt(np.mean(np.square(errors[hertz:]))) < 0.04
