"""The total of Stage II: the paper's weights and names, both directions, and terms beyond the paper on request."""

import re
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from gckpl_ros.batch import PersonBatch
from gckpl_ros.errors import InputError
from gckpl_ros.estimate.network import Prediction
from gckpl_ros.learn import geometric
from gckpl_ros.learn import losses as consistency
from gckpl_ros.learn.geometric import nearest_limb_share
from gckpl_ros.learn.stage2_loss import LossOptions, LossWeights, stage2_loss

PAPER = {"flow": 0.02, "points_to_limb": 0.01, "symmetry": 0.5, "joint_to_part": 2.0, "segmentation": 0.5}
NONE = LossWeights(**dict.fromkeys(PAPER, 0.0))
MESSAGE = Path(__file__).parents[2] / "msg/AdaptationStatus.msg"
People = dict[str, Tensor]
Make = Callable[..., People]


Pair = tuple[PersonBatch, Prediction]


@pytest.fixture
def pair(people: Make) -> Pair:
    """Two frames with different numbers of points, each around its own origin, and what a network says of them."""
    return paired(people(n=40, seed=1), people(n=33, seed=2))


def paired(first: People, second: People, shift_m: tuple[float, ...] = (0.2, -0.1, 0.05)) -> Pair:
    frames = []
    for one, place in ((first, torch.zeros(3).double()), (second, torch.tensor(shift_m).double())):
        frames.append(
            PersonBatch(
                one["points"] - place * one["mask"][..., None],
                one["mask"],
                views=one["views"] + place,
                origins=place.expand(len(one["views"]), 3),
                parts=one["parts"].argmax(-1),
                keypoints=one["teacher"] - place,
                confidence=one["teacher_confidence"],
                flow=one["flow"],
                flow_confidence=one["confidence"],
            )
        )
    logits = [one["part_logits"] for one in (first, second)]
    logits[1] = functional.pad(logits[1], (0, 0, 0, logits[0].shape[1] - logits[1].shape[1]))
    said = torch.stack([first["keypoints"], second["keypoints"] - frames[1].required("origins")[:, None]], 1)
    keypoints = said.flatten(0, 1)
    prediction = Prediction(
        keypoints, keypoints[..., 0], torch.stack(logits, 1).flatten(0, 1), keypoints[None], keypoints
    )
    return PersonBatch.stack(frames), prediction


def swapped(pair: Pair) -> Pair:
    """Time runs backwards: the second frame comes first."""
    pairs, said = pair
    order = torch.arange(2 * len(pairs)).view(-1, 2).flip(1).flatten()
    backwards = PersonBatch.stack([pairs.frame(1), pairs.frame(0)])
    return backwards, Prediction(*(v[order] for v in said[:3]), said.steps[:, order], said.tokens[order])


def labelled(one: People) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return one["keypoints"], one["points"], one["mask"], one["parts"]


def test_the_papers_terms_and_weights(pair: Pair, people: Make) -> None:
    t, t1 = people(n=40, seed=1), people(n=33, seed=2)
    forward = geometric.flow_loss(t["keypoints"], t1["keypoints"], t["points"], t["flow"], t["mask"], t["parts"])
    backward = geometric.flow_loss(t1["keypoints"], t["keypoints"], t1["points"], t1["flow"], t1["mask"], t1["parts"])
    single = {
        "points_to_limb": [geometric.points_to_limb_loss(*labelled(one)) for one in (t, t1)],
        "symmetry": [geometric.symmetry_loss(*labelled(one)) for one in (t, t1)],
        "joint_to_part": [geometric.joint_to_part_loss(*labelled(one)) for one in (t, t1)],
        "segmentation": [geometric.segmentation_loss(one["part_logits"], one["mask"], one["parts"]) for one in (t, t1)],
    }
    means = {"flow": (forward + backward) / 2} | {name: sum(both) / 2 for name, both in single.items()}
    losses = stage2_loss(replace(pair[0], flow_confidence=None), pair[1])
    for name, mean in means.items():
        torch.testing.assert_close(losses[name], PAPER[name] * torch.as_tensor(mean))
    torch.testing.assert_close(losses["total"], sum(losses[name] for name in PAPER))


def test_flow_counts_as_far_as_it_is_sure(pair: Pair) -> None:
    pairs, said = pair
    sure = torch.full_like(pairs.required("flow_confidence"), 0.5)
    half, plain = (stage2_loss(replace(pairs, flow_confidence=c), said)["flow"] for c in (sure, None))
    torch.testing.assert_close(half, plain / 2)


def test_names_are_those_of_the_message(pair: Pair) -> None:
    """The learner adds the loss of what it rehearses."""
    line = re.search(r"loss_names\s+# those in use of: (.+)", MESSAGE.read_text())
    assert line is not None
    losses = stage2_loss(*pair, replace(LossWeights(), teacher=1.0))
    assert {*losses, "replay"} == set(line[1].split(", "))


def test_time_may_run_backwards(pair: Pair) -> None:
    torch.testing.assert_close(stage2_loss(*pair), stage2_loss(*swapped(pair)))


@pytest.mark.parametrize("name", [field.name for field in fields(LossWeights)])
def test_a_term_alone_scales_with_its_weight(pair: Pair, name: str) -> None:
    once, thrice = (stage2_loss(*pair, replace(NONE, **{name: weight})) for weight in (1.0, 3.0))
    assert list(once) == [name, "total"]
    assert once["total"] == once[name] > 0
    torch.testing.assert_close(thrice["total"], 3 * once["total"])


def test_the_teachers_term_is_its_loss_in_both_frames(pair: Pair, people: Make) -> None:
    losses = stage2_loss(*pair, replace(NONE, teacher=1.0))
    each = [
        consistency.teacher_loss(one["keypoints"], one["teacher"], one["teacher_confidence"])
        for one in (people(n=40, seed=1), people(n=33, seed=2))
    ]
    torch.testing.assert_close(losses["teacher"], torch.stack(each).mean())


def test_options_reach_their_terms(pair: Pair, people: Make) -> None:
    only = replace(NONE, points_to_limb=1.0, symmetry=1.0)
    losses = stage2_loss(*pair, only, LossOptions(bandwidth_m=0.3, share_parts=True))
    near, even = [], []
    for one in (people(n=40, seed=1), people(n=33, seed=2)):
        share = nearest_limb_share(one["points"], one["keypoints"])
        near.append(geometric.points_to_limb_loss(*labelled(one), share))
        even.append(geometric.symmetry_loss(*labelled(one), share, 0.3))
    torch.testing.assert_close(losses["points_to_limb"], torch.stack(near).mean())
    torch.testing.assert_close(losses["symmetry"], torch.stack(even).mean())
    assert losses["points_to_limb"] < stage2_loss(*pair, only)["points_to_limb"]


def test_without_weights_nothing_is_asked(pair: Pair) -> None:
    losses = stage2_loss(*pair, NONE)
    assert list(losses) == ["total"] and losses["total"].item() == 0


def test_nobody_costs_nothing(people: Make) -> None:
    nobody = paired(people(b=0), people(b=0))
    losses = stage2_loss(*nobody, LossWeights(**dict.fromkeys(vars(NONE), 1.0)), LossOptions(share_parts=True))
    assert len(losses) == len(fields(LossWeights)) + 1
    assert all(loss.item() == 0 for loss in losses.values())


@pytest.mark.parametrize("bad", [-0.1, float("nan"), float("inf")])
def test_bad_weights_are_refused(bad: float) -> None:
    with pytest.raises(InputError, match="symmetry"):
        LossWeights(symmetry=bad)
