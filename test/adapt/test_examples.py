"""Packing and unpacking of tracklets, and who is trusted."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from walkers import Walker, crops

from gckpl_ros.adapt.buffer import trusted
from gckpl_ros.adapt.collector import Collector, counting
from gckpl_ros.learn.teachers import SmoothingTeacher
from gckpl_ros.people.tracklets import labelled, unpack
from gckpl_ros.skeleton import BACKGROUND

FRAME_NS = 100_000_000


def seen(person, frames=3, missed=()):
    collector = Collector(counting(frames))
    for i in range(frames):
        people = [] if i in missed else [person]
        collector.add(crops(people, 0.1 * i), np.zeros(len(people), np.int64), i * FRAME_NS, np.eye(4))
    return collector.take(1)[0]


def example(one, confidence=0.9, part=3):
    shape = (len(one.counts), 14)
    return replace(
        one,
        keypoints=np.zeros((*shape, 3), np.float16),
        confidence=np.full(shape, confidence, np.float16),
        parts=np.full(len(one.points), part, np.uint8),
    )


def test_packed_people_come_out_padded_with_what_belongs_to_each_frame():
    small, large = Walker((4, 0), per_limb=2), Walker((0, 6), per_limb=5, seed=1)
    people = unpack([seen(small, missed=[1]), seen(large)])
    assert people.points.shape == (2, 3, 55, 3)
    assert people.mask.sum(-1).tolist() == [[22, 0, 22], [55, 55, 55]]
    expected = crops([large], 0.1)
    np.testing.assert_allclose(people.points[1, 1], expected.points[0], atol=1e-3)
    np.testing.assert_allclose(people.views[1, 1], expected.views[0], atol=1e-5)
    np.testing.assert_allclose(people.dt_s, [[0, 0.1, 0.1]] * 2, atol=1e-6)
    assert people.points[0, 1].abs().sum() == 0
    assert people.keypoints is None and people.parts is None, "no teacher was asked"


def test_labels_return_to_their_points():
    people = [seen(Walker((4, 0), per_limb=2), missed=[1]), seen(Walker((0, 6), per_limb=3))]
    shown = unpack(people)
    taught = replace(
        shown,
        keypoints=torch.arange(2 * 3 * 14 * 3).view(2, 3, 14, 3) / 128,
        confidence=torch.full((2, 3, 14), 0.5),
        parts=(torch.arange(33) % 14).expand(2, 3, 33) * shown.mask + 77 * ~shown.mask,
    )
    said = unpack(labelled(people, taught))
    assert said.parts[0, 0, :22].tolist() == [i % 14 for i in range(22)]
    assert {*said.parts[0, 0, 22:].tolist(), *said.parts[0, 1].tolist()} == {0}, "nothing of the padding comes back"
    assert said.parts[1, 2].tolist() == [i % 14 for i in range(33)]
    np.testing.assert_array_equal(said.keypoints.flatten(), np.arange(252) / 128)
    assert said.confidence.unique().tolist() == [0.5]


def test_a_real_teacher_labels_what_a_real_network_says(network):
    people = [seen(Walker((4, 0))), seen(Walker((0, 6), seed=1))]
    said = SmoothingTeacher()(network, unpack(people))
    (first, second) = labelled(people, said)
    np.testing.assert_allclose(second.keypoints, said.keypoints[1], atol=1e-3)
    np.testing.assert_array_equal(first.parts, said.parts[0][said.mask[0]])


@pytest.mark.parametrize(
    ("confidence", "part", "expected"), [(0.9, 3, True), (0.2, 3, False), (0.9, BACKGROUND, False)]
)
def test_the_unsure_and_the_background_are_not_trusted(confidence, part, expected):
    assert trusted(example(seen(Walker((4, 0))), confidence, part)) is expected


def test_frames_without_points_do_not_make_a_person_unsure():
    one = example(seen(Walker((4, 0)), missed=[1]))
    one.confidence[1] = 0
    assert trusted(one)


def test_what_is_not_finite_is_not_trusted():
    one = example(seen(Walker((4, 0))))
    one.keypoints[0, 0, 0] = np.nan
    assert not trusted(one)


def test_range_pose_and_memory():
    one = seen(Walker((3, 4), heading=np.arctan2(4, 3), speed=0, per_limb=1))
    assert one.range_m == pytest.approx(np.sqrt(5**2 + 0.7**2), abs=1e-4)
    assert one.speed_m_s == 0
    posed = example(one)
    posed.keypoints[0, :7, 2] = 1
    np.testing.assert_allclose(posed.pose[:, 2], [0.5] * 7 + [-0.5] * 7)
    points, frames = 3 * 11, 3
    unlabelled = points * 6 + frames * (8 + 12 + 12 + 8) + 24
    assert one.nbytes == unlabelled
    assert posed.nbytes == unlabelled + points + frames * (14 * 6 + 14 * 2) + 14 * 3 * 4


def test_frames_whose_next_one_was_seen_too():
    assert seen(Walker((4, 0)), frames=8, missed=[2, 6]).frames_with_next.tolist() == [0, 3, 4]
    nobody = replace(seen(Walker((4, 0))), counts=np.array([5, 0, 5]))
    assert nobody.frames_with_next.tolist() == []


def test_tracklets_of_different_length_are_taught_together_as_each_alone(network):
    """As far as half precision says: nothing of the frames behind the shorter one."""
    short, long = seen(Walker((4, 0), speed=1.0), frames=3), seen(Walker((0, 6), seed=1), frames=5)
    people = unpack([short, long])
    assert people.mask.any(-1).tolist() == [[True] * 3 + [False] * 2, [True] * 5]
    together = labelled([short, long], SmoothingTeacher()(network, people))
    for one, alone in zip(together, (short, long), strict=True):
        expected = labelled([alone], SmoothingTeacher()(network, unpack([alone])))[0]
        np.testing.assert_allclose(one.keypoints, expected.keypoints, atol=2e-3)
        assert one.confidence.shape == expected.confidence.shape and one.parts.tolist() == expected.parts.tolist()
    again = unpack(together)
    np.testing.assert_array_equal(again.keypoints[0, :3], together[0].keypoints.astype(np.float32))
    assert again.confidence[0, 3:].abs().max() == 0 and again.parts.shape == again.mask.shape
