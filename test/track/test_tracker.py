import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gckpl_ros.config import TrackConfig
from gckpl_ros.track import NoTracker, Tracker
from gckpl_ros.types import Boxes, Skeletons, TrackState

EYE = np.eye(4)
FRAME_NS = 100_000_000
OFFSETS = np.random.default_rng(0).uniform(-0.5, 0.5, (14, 3))


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
    out = follow(Tracker(TrackConfig(max_age_s=0.5)), [[walk(0)]] * 5 + [[]] * 8 + [[walk(0)]] * 2)
    assert [len(t) for t in out[5:13]] == [1, 1, 1, 1, 1, 0, 0, 0]
    assert list(out[-1].ids) == [1]


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


@pytest.mark.parametrize("stamp_ns", [10 * FRAME_NS, 30 * FRAME_NS])
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


def test_smoothing_halves_the_noise_of_a_person_who_stands_still():
    rng = np.random.default_rng(2)
    tracker = Tracker(TrackConfig(smoothing=0.7))
    raw, smooth = [], []
    for i in range(100):
        boxes, skeletons = people((4, 1, 0))
        noisy = (skeletons.keypoints + rng.normal(0, 0.03, (1, 14, 3))).astype(np.float32)
        out = tracker(boxes, Skeletons(noisy, skeletons.confidence, skeletons.visibility), i * FRAME_NS, EYE)
        raw.append(noisy - skeletons.keypoints)
        smooth.append(out.skeletons.keypoints - skeletons.keypoints)
    assert np.std(smooth[10:]) < 0.6 * np.std(raw[10:])


def test_a_keypoint_without_confidence_follows_its_past():
    tracker = Tracker(TrackConfig())
    truth = people((4, 1, 0))[1].keypoints
    for i in range(10):
        tracker(*people((4, 1, 0)), stamp_ns=i * FRAME_NS, T_fixed_cloud=EYE)
    boxes, skeletons = people((4, 1, 0))
    doubtful = skeletons.confidence.copy()
    doubtful[0, 3] = 0
    wrong = skeletons.keypoints.copy()
    wrong[0, 3] += 0.2
    out = tracker(boxes, Skeletons(wrong, doubtful, doubtful), 10 * FRAME_NS, EYE)
    np.testing.assert_allclose(out.skeletons.keypoints, truth, atol=1e-3)


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
def test_smoothing_forgets_as_fast_at_any_rate(hertz):
    """Of somebody who stands, one look is 3 cm off: 0.4 s later as much of it is left, whatever the rate."""
    tracker = Tracker(TrackConfig(smoothing=0.5))
    off = [tracker(*people((5, 0, 0)), stamp_ns=round(i * 1e9 / hertz), T_fixed_cloud=EYE) for i in range(2 * hertz)]
    boxes, skeletons = people((5, 0, 0))
    trust = tracker._people.trust.copy()
    tracker._people.keypoints[:] += np.array([0.03, 0, 0])  # what is remembered is wrong by that much
    for i in range(2 * hertz, 2 * hertz + round(0.4 * hertz)):
        last = tracker(boxes, skeletons, stamp_ns=round(i * 1e9 / hertz), T_fixed_cloud=EYE)
    left = (last.skeletons.keypoints - off[-1].skeletons.keypoints)[0, :, 0].mean() / 0.03
    assert left == pytest.approx(0.5**4, abs=0.01) and (trust > 0.7).all()
