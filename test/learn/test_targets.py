"""Teachers: smoothing keeps straight motion and takes out noise; labels of batches are those of single crops."""

from dataclasses import replace

import pytest
import torch

from gckpl_ros.batch import PersonBatch
from gckpl_ros.estimate.network import KeypointNetwork
from gckpl_ros.estimate.tokens import TokenConfig, TokenNetwork
from gckpl_ros.learn.learner import frame_pairs, pair_batches
from gckpl_ros.learn.teachers import SingleTeacher, SmoothingTeacher, estimate, smoothed

TINY = TokenConfig(width=16, point_width=8, heads=2, layers=2, free_tokens=2)
B, T, N = 5, 6, 20


def people(seed: int = 0, missed: bool = True) -> PersonBatch:
    g = torch.Generator().manual_seed(seed)
    mask = torch.arange(N) < torch.randint(8, N + 1, (B, T, 1), generator=g)
    if missed:
        mask[1, 2] = False
    points = torch.randn(B, T, N, 3, generator=g) * mask[..., None]
    origins = torch.randn(B, 1, 3, generator=g) * 0.1 * torch.arange(T)[:, None]
    return PersonBatch(points, mask, torch.randn(B, T, 3, generator=g) + 5, origins)


@pytest.fixture(scope="module")
def network() -> KeypointNetwork:
    torch.manual_seed(0)
    return TokenNetwork(TINY).eval()


def at(frames: int) -> torch.Tensor:
    return torch.arange(float(frames))[None]


@pytest.mark.parametrize("hertz", [5, 10, 20])
def test_smoothing_is_the_same_curve_at_any_rate(hertz: int) -> None:
    """Of a straight motion the line itself; of a swing as much as the width in seconds lets through."""
    count = 2 * hertz + 1
    sampled = PersonBatch(
        torch.zeros(1, count, 1, 3), torch.ones(1, count, 1, dtype=torch.bool), torch.zeros(1, count, 3),
        dt_s=torch.full((1, count), 1 / hertz),
    )  # fmt: skip
    times = sampled.times
    torch.testing.assert_close(times[0] * 0.1, torch.arange(count) / hertz, atol=1e-5, rtol=0)
    sure, seconds = torch.ones(1, count, 14), times[..., None, None] * 0.1
    straight = (1 + 2 * seconds).expand(-1, -1, 14, 3)
    torch.testing.assert_close(smoothed(straight, sure, times, 2.5), straight, atol=1e-4, rtol=1e-4)
    swing = torch.cos(2 * torch.pi * 0.5 * (seconds - 1)).expand(-1, -1, 14, 3)
    left = smoothed(swing, sure, times, 2.5)[0, hertz, 0, 0].item()
    assert left == pytest.approx(0.735, abs=0.02)  # exp(-(2 pi 0.5 Hz 0.25 s)^2 / 2)


def test_a_straight_motion_is_kept_and_noise_around_it_shrinks() -> None:
    g = torch.Generator().manual_seed(1)
    line = torch.randn(3, 1, 14, 3, generator=g) + torch.arange(10)[:, None, None] * torch.randn(
        3, 1, 14, 3, generator=g
    )
    sure = torch.ones(3, 10, 14)
    torch.testing.assert_close(smoothed(line, sure, at(10), 1.0), line, atol=1e-4, rtol=1e-4)
    noisy = line + 0.1 * torch.randn(line.shape, generator=g)
    assert (smoothed(noisy, sure, at(10), 2.0) - line).norm(dim=-1).mean() < 0.7 * (noisy - line).norm(dim=-1).mean()


def test_a_frame_without_confidence_is_filled_from_those_around_it() -> None:
    line = torch.arange(7.0)[None, :, None, None].expand(1, 7, 14, 3)
    sure = torch.ones(1, 7, 14)
    sure[:, 3] = 0
    wrong = line.clone()
    wrong[:, 3] = 100
    torch.testing.assert_close(smoothed(wrong, sure, at(7), 1.0)[:, 3], line[:, 3], atol=0.05, rtol=0)


def test_what_a_batch_says_is_what_each_crop_alone_says(network: KeypointNetwork) -> None:
    tracklets = people()
    said = SingleTeacher()(network, tracklets)
    with torch.inference_mode():
        alone = network.predict(tracklets.frame(4).rows(torch.tensor([3])))
    torch.testing.assert_close(said.keypoints[3, 4], alone.keypoints[0], atol=1e-4, rtol=1e-4)
    seen = tracklets.mask[3, 4]
    assert said.parts[3, 4][seen].equal(alone.part_logits[0, : seen.sum()].argmax(-1))
    assert (said.confidence[1, 2] == 0).all() and (said.confidence[0] > 0).all()


def test_smoothing_does_not_care_where_the_boxes_are(network: KeypointNetwork) -> None:
    """A box that jumps while the person stands still moves points and origins against each other."""
    tracklets = people(missed=False)
    still = replace(PersonBatch.stack([tracklets.frame(0)] * T), origins=torch.zeros(B, T, 3))
    said = SmoothingTeacher()(network, still)
    torch.testing.assert_close(said.keypoints, estimate(network, still).keypoints, atol=1e-4, rtol=1e-4)


def test_a_pair_is_two_frames_that_follow_each_other() -> None:
    tracklets = people(missed=False)
    said = replace(
        tracklets,
        keypoints=torch.randn(B, T, 14, 3),
        confidence=torch.ones(B, T, 14),
        parts=torch.full((B, T, N), 3),
    )
    pair = frame_pairs(said, torch.tensor([0, 4]), torch.tensor([1, 3]))
    torch.testing.assert_close(pair.views[1], tracklets.views[4, 3:5])
    torch.testing.assert_close(pair.required("origins")[0], tracklets.required("origins")[0, 1:3])
    torch.testing.assert_close(pair.required("keypoints")[0], said.required("keypoints")[0, 1:3])
    assert pair.required("flow").shape == pair.points.shape


def test_batches_hold_every_pair_of_seen_frames_once() -> None:
    tracklets = people()  # person 1 was missed in frame 2
    drawn = list(pair_batches(tracklets, 4, torch.Generator().manual_seed(0), with_flow=False))
    views = torch.cat([one.views[:, 0] for one in drawn])
    assert len(views) == len(views.unique(dim=0)) == B * (T - 1) - 2
    assert all(one.seen.all() for one in drawn) and drawn[0].flow is None


def test_people_of_several_sources_are_joined() -> None:
    few = people(1).rows(torch.tensor([2]))
    both = PersonBatch.join([few, people(2)])
    assert len(both) == 1 + B
    torch.testing.assert_close(both.rows(torch.tensor([0])).points, few.points)
