"""The total of Stage II: the paper's weights and names, both directions, and terms beyond the paper on request."""

import re
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from gckpl_ros.errors import InputError
from gckpl_ros.learn import geometric, visible_side
from gckpl_ros.learn import losses as consistency
from gckpl_ros.learn.geometric import nearest_limb_share
from gckpl_ros.learn.stage2_loss import LossOptions, LossWeights, View, stage2_loss

PAPER = {"flow": 0.02, "points_to_limb": 0.01, "symmetry": 0.5, "joint_to_part": 2.0, "segmentation": 0.5}
NONE = LossWeights(**dict.fromkeys(PAPER, 0.0))
MESSAGE = Path(__file__).parents[2] / "msg/AdaptationStatus.msg"
Make = Callable[..., dict[str, Tensor]]


@pytest.fixture
def pair(people: Make) -> tuple[View, View]:
    """Two frames with different numbers of points."""
    return view(people(n=40, seed=1)), view(people(n=33, seed=2))


def view(people: dict[str, Tensor]) -> View:
    names = {field.name for field in fields(View)}
    return View(
        **{name: value for name, value in people.items() if name in names}, flow_confidence=people["confidence"]
    )


def labelled(view: View) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return view.keypoints, view.points, view.mask, view.parts


def test_the_papers_terms_and_weights(pair: tuple[View, View]) -> None:
    t, t1 = (replace(one, flow_confidence=None) for one in pair)
    forward = geometric.flow_loss(t.keypoints, t1.keypoints, t.points, t.flow, t.mask, t.parts)
    backward = geometric.flow_loss(t1.keypoints, t.keypoints, t1.points, t1.flow, t1.mask, t1.parts)
    single = {
        "points_to_limb": [geometric.points_to_limb_loss(*labelled(one)) for one in (t, t1)],
        "symmetry": [geometric.symmetry_loss(*labelled(one)) for one in (t, t1)],
        "joint_to_part": [geometric.joint_to_part_loss(*labelled(one)) for one in (t, t1)],
        "segmentation": [geometric.segmentation_loss(one.part_logits, one.mask, one.parts) for one in (t, t1)],
    }
    means = {"flow": (forward + backward) / 2} | {name: sum(both) / 2 for name, both in single.items()}
    losses = stage2_loss(t, t1)
    for name, mean in means.items():
        torch.testing.assert_close(losses[name], PAPER[name] * torch.as_tensor(mean))
    torch.testing.assert_close(losses["total"], sum(losses[name] for name in PAPER))


def test_flow_counts_as_far_as_it_is_sure(pair: tuple[View, View]) -> None:
    half, plain = (
        stage2_loss(*(replace(one, flow_confidence=sure(one)) for one in pair))["flow"]
        for sure in (lambda one: torch.full_like(one.flow[..., 0], 0.5), lambda one: None)
    )
    torch.testing.assert_close(half, plain / 2)


def test_names_are_those_of_the_message(pair: tuple[View, View]) -> None:
    """The learner adds the loss of what it rehearses."""
    line = re.search(r"loss_names\s+# those in use of: (.+)", MESSAGE.read_text())
    assert line is not None
    losses = stage2_loss(*pair, replace(LossWeights(), teacher=1.0))
    assert {*losses, "replay"} == set(line[1].split(", "))


def test_time_may_run_backwards(pair: tuple[View, View]) -> None:
    torch.testing.assert_close(stage2_loss(*pair), stage2_loss(*reversed(pair)))


@pytest.mark.parametrize("name", [field.name for field in fields(LossWeights)])
def test_a_term_alone_scales_with_its_weight(pair: tuple[View, View], name: str) -> None:
    once, thrice = (stage2_loss(*pair, replace(NONE, **{name: weight})) for weight in (1.0, 3.0))
    assert list(once) == [name, "total"]
    assert once["total"] == once[name] > 0
    torch.testing.assert_close(thrice["total"], 3 * once["total"])


def test_terms_beyond_the_paper(pair: tuple[View, View]) -> None:
    asked = ("limb_radius", "joint_behind_part", "bone_length", "track_bone_length", "left_right", "teacher")
    losses = stage2_loss(*pair, replace(NONE, **dict.fromkeys(asked, 1.0)), LossOptions(huber_m=0.05))
    expected = dict.fromkeys(asked, torch.zeros(()).double())
    for here, there in (pair, reversed(pair)):
        lengths = consistency.bone_lengths(there.keypoints)
        assert here.views is not None and here.depths is not None and here.track_lengths is not None
        assert here.teacher is not None and here.teacher_confidence is not None
        terms = (
            visible_side.limb_radius_loss(*labelled(here), huber_m=0.05),
            visible_side.joint_behind_part_loss(*labelled(here), here.views, here.depths),
            consistency.bone_length_loss(here.keypoints, lengths),
            consistency.bone_length_loss(here.keypoints, here.track_lengths),
            consistency.left_right_loss(here.keypoints),
            consistency.teacher_loss(here.keypoints, here.teacher, here.teacher_confidence),
        )
        expected = {name: expected[name] + term / 2 for name, term in zip(asked, terms, strict=True)}
    torch.testing.assert_close({name: losses[name] for name in asked}, expected)


def test_options_reach_their_terms(pair: tuple[View, View]) -> None:
    only = replace(NONE, points_to_limb=1.0, symmetry=1.0)
    losses = stage2_loss(*pair, only, LossOptions(bandwidth_m=0.3, share_parts=True))
    near, even = [], []
    for one in pair:
        share = nearest_limb_share(one.points, one.keypoints)
        near.append(geometric.points_to_limb_loss(*labelled(one), share))
        even.append(geometric.symmetry_loss(*labelled(one), share, 0.3))
    torch.testing.assert_close(losses["points_to_limb"], torch.stack(near).mean())
    torch.testing.assert_close(losses["symmetry"], torch.stack(even).mean())
    assert losses["points_to_limb"] < stage2_loss(*pair, only)["points_to_limb"]


def test_without_weights_nothing_is_asked(pair: tuple[View, View]) -> None:
    losses = stage2_loss(*pair, NONE)
    assert list(losses) == ["total"] and losses["total"].item() == 0


def test_nobody_costs_nothing(people: Make) -> None:
    nobody = view(people(b=0))
    losses = stage2_loss(nobody, nobody, LossWeights(**dict.fromkeys(vars(NONE), 1.0)), LossOptions(share_parts=True))
    assert len(losses) == len(fields(LossWeights)) + 1
    assert all(loss.item() == 0 for loss in losses.values())


@pytest.mark.parametrize("bad", [-0.1, float("nan"), float("inf")])
def test_bad_weights_are_refused(bad: float) -> None:
    with pytest.raises(InputError, match="symmetry"):
        LossWeights(symmetry=bad)
