"""The learner: it learns, leaves what it was given alone, survives what is not finite, and goes on where it stopped."""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from gckpl_ros.batch import PersonBatch
from gckpl_ros.estimate.network import KeypointNetwork
from gckpl_ros.estimate.tokens import TokenConfig, TokenNetwork
from gckpl_ros.learn.learner import Learner, LearnerConfig, frame_pairs
from gckpl_ros.learn.stage2_loss import LossWeights

TINY = TokenConfig(width=16, point_width=8, heads=2, layers=2, free_tokens=2)
CONFIG = LearnerConfig(weights=LossWeights(0.02, 0.01, 0.5, 0.5, 0.5, teacher=7.0), learning_rate=5e-3)
B, N = 4, 24


@pytest.fixture
def network() -> KeypointNetwork:
    torch.manual_seed(0)
    return TokenNetwork(TINY).eval()


def some_pairs() -> PersonBatch:
    """People made of one cloud each, moved by 10 cm; the teacher knows where its keypoints are."""
    g = torch.Generator().manual_seed(2)
    points = torch.randn(B, 1, N, 3, generator=g).expand(-1, 2, -1, -1) * 0.4
    people = PersonBatch(
        points,
        torch.ones(B, 2, N, dtype=torch.bool),
        views=torch.full((B, 2, 3), 4.0),
        origins=torch.tensor([[0.0, 0, 0], [0.1, 0, 0]]).expand(B, -1, -1),
        keypoints=points[:, :, :14],
        confidence=torch.ones(B, 2, 14),
        parts=(torch.arange(N) % 15).expand(B, 2, N),
    )
    return frame_pairs(people, torch.arange(B), torch.zeros(B, dtype=torch.int64))


def some_replay() -> PersonBatch:
    g = torch.Generator().manual_seed(3)
    points, mask = torch.randn(B, N, 3, generator=g), torch.ones(B, N, dtype=torch.bool)
    labels = torch.randint(15, (B, N), generator=g)
    return PersonBatch(
        points, mask, torch.full((B, 3), 4.0), parts=labels, keypoints=torch.randn(B, 14, 3, generator=g)
    )


def values(network: KeypointNetwork) -> list[Tensor]:
    return [value.clone() for value in network.parameters()]


def same(a: list[Tensor], b: list[Tensor]) -> bool:
    return all(x.equal(y) for x, y in zip(a, b, strict=True))


def test_it_learns_and_leaves_the_given_network_alone(network: KeypointNetwork) -> None:
    before, learner = values(network), Learner(network, CONFIG)
    pairs, replay = some_pairs(), some_replay()
    losses = [learner.step(pairs, replay) for _ in range(80)]
    assert losses[-1]["teacher"] < 0.6 * losses[0]["teacher"] and losses[-1]["replay"] < losses[0]["replay"]
    assert same(before, values(network)) and not same(before, values(learner.averaged))
    assert set(losses[0]) >= {"flow", "points_to_limb", "symmetry", "joint_to_part", "segmentation", "teacher", "total"}
    parts = sum(value for name, value in losses[0].items() if name != "total")
    assert losses[0]["total"] == pytest.approx(parts, rel=1e-5)


def test_what_is_not_finite_changes_nothing(network: KeypointNetwork) -> None:
    learner, bad = Learner(network, CONFIG), some_pairs()
    learner.step(some_pairs(), None)
    before = values(learner.network), values(learner.averaged)
    bad.required("keypoints")[0, 0, 0, 0] = torch.nan
    learner.step(bad, None)
    assert same(before[0], values(learner.network)) and same(before[1], values(learner.averaged))
    learner.step(some_pairs(), None)
    assert not same(before[0], values(learner.network))


def test_without_a_teacher_the_keypoints_follow_the_geometry_alone(network: KeypointNetwork) -> None:
    geometric = LearnerConfig(weights=LossWeights(), learning_rate=5e-3)
    learner, pairs = Learner(network, geometric), some_pairs()
    losses = [learner.step(pairs, None) for _ in range(40)]
    assert "teacher" not in losses[0] and losses[-1]["joint_to_part"] < 0.8 * losses[0]["joint_to_part"]


def test_it_goes_on_where_it_stopped(network: KeypointNetwork) -> None:
    whole = Learner(network, CONFIG)
    for _ in range(4):
        whole.step(some_pairs(), some_replay())
    first = Learner(network, CONFIG)
    for _ in range(2):
        first.step(some_pairs(), some_replay())
    second = Learner(network, CONFIG)
    second.load_state_dict(deepcopy(first.state_dict()))
    for _ in range(2):
        second.step(some_pairs(), some_replay())
    assert same(values(whole.averaged), values(second.averaged)) and second.step_count == 4


def test_labels_may_miss_keypoints_and_parts(network: KeypointNetwork) -> None:
    """What is masked does not matter, be it NaN; without part labels only keypoints are learnt."""
    whole, known = some_replay(), torch.rand(B, 14, generator=torch.Generator().manual_seed(5)) < 0.5
    truth = whole.required("keypoints")
    learners = []
    for rubbish in (torch.nan, 3.0):
        filled = truth.masked_fill(~known[..., None], rubbish)
        learners.append(Learner(network, CONFIG))
        losses = learners[-1].step(None, replace(whole, keypoints=filled, keypoint_mask=known, parts=None))
        assert 0 < losses["total"] < float("inf")
    assert same(*(values(learner.network) for learner in learners)) and learners[0].step_count == 1
    before = {name: value.clone() for name, value in network.named_parameters() if name.startswith("parts")}
    after = dict(learners[0].network.named_parameters())
    assert before and all(after[name].equal(value) for name, value in before.items()), "no loss speaks of parts"
