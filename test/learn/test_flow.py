"""Scene flow of people: motions made by hand are found, and what must not matter does not."""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import pytest
import torch
from figures import Figure, figure, pair, pairs, turn
from torch import Tensor

from gckpl_ros.batch import PersonBatch
from gckpl_ros.learn.articulated import ArticulatedConfig, articulated
from gckpl_ros.learn.flow import NsfpConfig, nsfp
from gckpl_ros.skeleton import BACKGROUND, INDEX

SMALL = NsfpConfig(layers=3, width=16, steps=25)
SHIFT = torch.tensor([0.10, -0.06, 0.01])
TURN = turn("z", 6.0)


class Flow(NamedTuple):
    vectors: Tensor
    confidence: Tensor


Solver = Callable[[PersonBatch, Figure], PersonBatch]


def fast(moving: PersonBatch, seen: Figure, config: ArticulatedConfig | None = None) -> PersonBatch:
    """With keypoints that are 5 cm wrong in the second crop, and parts that are right."""
    wrong = 0.05 * torch.randn(14, 3, generator=torch.Generator().manual_seed(3))
    keypoints = torch.stack([seen.keypoints, seen.keypoints + wrong]).expand(len(moving), -1, -1, -1)
    return articulated(replace(moving, keypoints=keypoints), config, fitted(seen.parts, moving.mask))


def fitted(parts: Tensor, mask: Tensor) -> Tensor:
    """Of both crops, cut to n points or filled up with what no point reads."""
    n = mask.shape[-1]
    filled = torch.nn.functional.pad(parts[:n], (0, 0, 0, max(0, n - len(parts))), value=0.3)
    return filled.expand(*mask.shape, -1)


def slow(moving: PersonBatch, seen: Figure) -> PersonBatch:
    return nsfp(moving, SMALL)


SOLVERS = pytest.mark.parametrize("solver", [fast, slow])


def moved_person(person: Figure) -> Tensor:
    return person.points @ TURN.T + SHIFT


def flows(found: PersonBatch) -> tuple[Flow, Flow]:
    """Forward and backward, each vectors and confidence."""
    vectors, confidence = found.required("flow"), found.required("flow_confidence")
    return Flow(vectors[:, 0], confidence[:, 0]), Flow(vectors[:, 1], confidence[:, 1])


def errors_m(flow: Flow, truth: Tensor) -> Tensor:
    return (flow.vectors[0] - truth).norm(dim=-1)


def test_fast_finds_a_rigid_motion() -> None:
    person = figure()
    after = moved_person(person)
    forward, backward = flows(fast(pair(person.points, after), person))
    assert errors_m(forward, after - person.points).max() < 0.006
    assert errors_m(backward, person.points - after).max() < 0.006
    assert errors_m(forward, after - person.points).mean() < 0.003
    assert min(forward.confidence.min(), backward.confidence.min()) > 0.97


def test_nsfp_finds_a_rigid_motion() -> None:
    person = figure()
    after = moved_person(person)
    solved = nsfp(pair(person.points, after), NsfpConfig(width=64, layers=4, steps=600, least_gain=1e-7))
    forward, backward = flows(solved)
    assert errors_m(forward, after - person.points).mean() < 0.005
    assert errors_m(backward, person.points - after).mean() < 0.005
    assert forward.confidence.mean() > 0.97


def test_fast_bends_an_elbow() -> None:
    """The forearm turns by 25 degrees about the elbow (up to 14 cm at its end); nothing else moves."""
    person = figure(per_limb=20)
    elbow = person.keypoints[INDEX["left_elbow"]]
    forearm = person.on("left_elbow")
    after = torch.where(forearm[:, None], (person.points - elbow) @ turn("y", -25.0).T + elbow, person.points)
    forward, _ = flows(fast(pair(person.points, after), person))
    rigid, _ = flows(fast(pair(person.points, after), person, ArticulatedConfig(part_widths_m=())))
    truth = after - person.points
    assert errors_m(forward, truth)[forearm].mean() < 0.35 * truth[forearm].norm(dim=-1).mean()
    assert errors_m(forward, truth)[forearm].mean() < 0.5 * errors_m(rigid, truth)[forearm].mean()
    assert errors_m(forward, truth)[~forearm].mean() < 0.01


def test_a_part_that_matches_nothing_follows_the_part_above() -> None:
    """The next crop lacks a shank, and points of other parts may not stand in for it: it goes where the thigh goes."""
    person = figure()
    after = moved_person(person)
    shank = person.on("left_knee")
    lacking = pairs(person.points[None], after[None], mask1=~shank[None])
    forward, _ = flows(fast(lacking, person, ArticulatedConfig(other_part=0.0)))
    assert errors_m(forward, after - person.points)[shank].max() < 0.03
    assert forward.confidence[0, shank].mean() < forward.confidence[0, ~shank].mean()


@SOLVERS
def test_padding_does_not_matter(solver: Solver) -> None:
    person = figure()
    plain = flows(solver(pair(person.points, moved_person(person)), person))
    for rubbish in (float("nan"), 1e9, 0.5):
        junk = torch.full((1, 9, 3), rubbish)
        points, points1 = (torch.cat([p[None], junk], 1) for p in (person.points, moved_person(person)))
        mask = torch.arange(points.shape[1])[None] < len(person.points)
        for flow, expected in zip(flows(solver(pairs(points, points1, mask, mask), person)), plain, strict=True):
            n = len(person.points)
            torch.testing.assert_close(flow.vectors[:, :n], expected.vectors, atol=1e-3, rtol=0)
            torch.testing.assert_close(flow.confidence[:, :n], expected.confidence, atol=1e-2, rtol=0)
            assert not flow.vectors[:, n:].any() and not flow.confidence[:, n:].any()


@SOLVERS
def test_the_order_of_points_does_not_matter(solver: Solver) -> None:
    person, order = figure(), torch.randperm(154, generator=torch.Generator().manual_seed(4))
    after = moved_person(person)
    shuffled = replace(person, points=person.points[order], parts=person.parts[order])
    forward, _ = flows(solver(pair(person.points, after), person))
    again, _ = flows(solver(pair(person.points[order], after[order]), shuffled))
    torch.testing.assert_close(again.vectors[0], forward.vectors[0, order], atol=1e-3, rtol=0)
    torch.testing.assert_close(again.confidence[0], forward.confidence[0, order], atol=1e-2, rtol=0)


@pytest.mark.parametrize("degrees", [0.0, 50.0, 180.0])
def test_fast_turns_and_shifts_with_the_world(degrees: float) -> None:
    """Turning everything about z and moving it anywhere turns the flow; z itself is gravity's."""
    person, world, away = figure(), turn("z", degrees), torch.tensor([3.0, -2.0, 0.5])
    bent = person.points + 0.05 * person.points[:, 2:] * torch.tensor([1.0, 1.0, 0.0])
    wrong = 0.04 * torch.randn(14, 3, generator=torch.Generator().manual_seed(5))
    parts = person.parts.argmax(-1).expand(1, 2, -1)

    def solved(place: Callable[[Tensor], Tensor]) -> Flow:
        keypoints = torch.stack([place(person.keypoints), place(person.keypoints + wrong)])[None]
        placed = replace(pair(place(person.points), place(bent)), keypoints=keypoints, parts=parts)
        return flows(articulated(placed))[0]

    plain, placed = solved(lambda x: x), solved(lambda x: x @ world.T + away)
    torch.testing.assert_close(placed.vectors, plain.vectors @ world.T, atol=2e-4, rtol=0)
    torch.testing.assert_close(placed.confidence, plain.confidence, atol=2e-3, rtol=0)


@SOLVERS
@pytest.mark.parametrize(("n", "m"), [(0, 0), (1, 0), (0, 1), (1, 1), (154, 0), (0, 154)])
def test_next_to_nothing_is_no_error(solver: Solver, n: int, m: int) -> None:
    person = figure()
    forward, backward = flows(solver(pair(person.points[:n], moved_person(person)[:m]), person))
    assert forward.vectors.shape == backward.vectors.shape == (1, max(n, m), 3)
    assert not forward.vectors[:, n:].any() and not backward.vectors[:, m:].any()
    for flow in (forward, backward):
        assert bool(flow.vectors.isfinite().all())
        assert (n and m) or not (flow.vectors.any() or flow.confidence.any())


@SOLVERS
def test_nobody(solver: Solver) -> None:
    forward, backward = flows(solver(pairs(torch.zeros(0, 8, 3), torch.zeros(0, 8, 3)), figure()))
    assert forward.vectors.shape == backward.vectors.shape == (0, 8, 3)


@SOLVERS
def test_people_do_not_know_of_each_other(solver: Solver) -> None:
    """A batch of a moving person, an empty crop and a half-seen one gives what each gives alone."""
    person, n = figure(), 154
    points = person.points.expand(3, -1, -1)
    later = torch.stack([moved_person(person), moved_person(person), person.points + 0.5 * SHIFT])
    mask = torch.stack([torch.ones(n), torch.zeros(n), torch.arange(n) % 2]).bool()
    together = flows(solver(pairs(points, later, mask1=mask), person))
    for row in range(3):
        one = slice(row, row + 1)
        alone = flows(solver(pairs(points[one], later[one], mask1=mask[one]), person))
        for flow, expected in zip(together, alone, strict=True):
            torch.testing.assert_close(flow.vectors[one], expected.vectors, atol=1e-3, rtol=0)
            torch.testing.assert_close(flow.confidence[one], expected.confidence, atol=1e-2, rtol=0)


@SOLVERS
def test_gradients_are_not_needed(solver: Solver) -> None:
    person = figure()
    moving = pair(person.points, moved_person(person))
    with torch.inference_mode():
        inside, _ = flows(solver(moving, person))
    outside, _ = flows(solver(moving, person))
    torch.testing.assert_close(inside.vectors, outside.vectors, atol=1e-4, rtol=0)
    assert not outside.vectors.requires_grad


def test_background_has_no_confidence() -> None:
    person = figure()
    parts = person.parts.clone()
    parts[:10] = torch.nn.functional.one_hot(torch.tensor(BACKGROUND), 15).float()
    forward, _ = flows(fast(pair(person.points, moved_person(person)), replace(person, parts=parts)))
    assert not forward.confidence[0, :10].any() and forward.confidence[0, 10:].min() > 0.9


def test_nsfp_stops_when_its_patience_ends() -> None:
    """Without patience the first step is the last: only the untrained network's flow has been seen."""
    person = figure()
    moving = pair(person.points, moved_person(person))
    hasty, _ = flows(nsfp(moving, replace(SMALL, patience=1, least_gain=1e3)))
    single, _ = flows(nsfp(moving, replace(SMALL, steps=2)))
    longer, _ = flows(nsfp(moving, SMALL))
    torch.testing.assert_close(hasty.vectors, single.vectors)
    assert not torch.allclose(hasty.vectors, longer.vectors)


@pytest.mark.parametrize("hertz", [5, 10, 20])
def test_fast_expects_as_much_motion_as_the_time_allows(hertz: int) -> None:
    """1.2 m/s and a turn of 60 degrees a second, whatever the rate; at 10 Hz the rate need not be said."""
    person = figure()
    after = person.points @ turn("z", 60.0 / hertz).T + torch.tensor([1.2, -0.6, 0.0]) / hertz
    moving = replace(pair(person.points, after), dt_s=torch.tensor([[0.0, 1 / hertz]]))
    forward, _ = flows(fast(moving, person))
    assert errors_m(forward, after - person.points).mean() < 0.006
    unsaid = flows(fast(replace(moving, dt_s=None), person))[0].vectors
    assert forward.vectors.equal(unsaid) == (hertz == 10)
