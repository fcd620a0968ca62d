"""What every loss of Stage II must hold: gradients, invariance to rigid motion, padding, missing parts, nobody."""

from collections.abc import Callable

import pytest
import roma
import torch
from torch import Tensor
from torch.nn.functional import pad

from gckpl_ros.learn import geometric
from gckpl_ros.learn import losses as consistency
from gckpl_ros.learn.geometric import nearest_limb_share
from gckpl_ros.skeleton import INDEX, NUM_PARTS

People = dict[str, Tensor]
LABELLED = ("keypoints", "points", "mask", "parts")


def given(people: People, *names: str) -> list[Tensor]:
    return [people[name] for name in (*LABELLED, *names)]


def shared(people: People) -> Tensor:
    return nearest_limb_share(people["points"], people["keypoints"].detach())


def flow(p: People, share: Tensor | None = None) -> Tensor:
    ends = p["keypoints"], p["keypoints_next"]
    return geometric.flow_loss(*ends, p["points"], p["flow"], p["mask"], p["parts"], share, p["confidence"])


LOSSES: dict[str, Callable[[People], Tensor]] = {
    "flow": flow,
    "flow_shared": lambda p: flow(p, shared(p)),
    "points_to_limb": lambda p: geometric.points_to_limb_loss(*given(p)),
    "points_to_limb_shared": lambda p: geometric.points_to_limb_loss(*given(p), shared(p)),
    "symmetry": lambda p: geometric.symmetry_loss(*given(p)),
    "symmetry_shared": lambda p: geometric.symmetry_loss(*given(p), shared(p)),
    "joint_to_part": lambda p: geometric.joint_to_part_loss(*given(p)),
    "segmentation": lambda p: geometric.segmentation_loss(p["part_logits"], p["mask"], p["parts"]),
    "bone_length": lambda p: consistency.bone_length_loss(
        p["keypoints"], consistency.bone_lengths(p["keypoints_next"])
    ),
    "left_right": lambda p: consistency.left_right_loss(p["keypoints"]),
    "teacher": lambda p: consistency.teacher_loss(p["keypoints"], p["teacher"], p["teacher_confidence"]),
}
POINTLESS = ("bone_length", "left_right", "teacher")
every_loss = pytest.mark.parametrize("name", LOSSES)
Make = Callable[..., People]


def learnt(name: str) -> tuple[str, ...]:
    """What the gradient of a loss goes to."""
    if name == "segmentation":
        return ("part_logits",)
    return ("keypoints", "keypoints_next") if "flow" in name or name == "bone_length" else ("keypoints",)


def gradients(name: str, people: People) -> list[Tensor]:
    people = people | {key: people[key].clone().requires_grad_() for key in learnt(name)}
    return list(torch.autograd.grad(LOSSES[name](people), [people[key] for key in learnt(name)]))


@every_loss
@pytest.mark.parametrize("labels", ["one-hot", "soft"])
def test_gradients_are_right(people: Make, name: str, labels: str) -> None:
    given = people(b=2, n=9, labels=labels)
    free = [given[key].requires_grad_() for key in learnt(name)]
    assert torch.autograd.gradcheck(
        lambda *values: LOSSES[name](given | dict(zip(learnt(name), values, strict=True))), free
    )


@every_loss
def test_nothing_changes_when_all_moves_rigidly(people: Make, name: str) -> None:
    one = people()
    rotation, shift = roma.random_rotmat(dtype=torch.float64), torch.randn(3).double()
    moved = dict(one)
    for key in ("points", "keypoints", "keypoints_next", "teacher"):
        moved[key] = one[key] @ rotation.T + shift
    moved["flow"] = one["flow"] @ rotation.T
    moved["views"] = one["views"] @ rotation.T - shift  # the sensor, at -views, moves too
    torch.testing.assert_close(LOSSES[name](moved), LOSSES[name](one))


@every_loss
def test_order_of_points_and_people_does_not_matter(people: Make, name: str) -> None:
    one = people()
    order, rows = torch.randperm(40), torch.randperm(3)
    shuffled = {key: value[:, order] if value.shape[1] == 40 else value for key, value in one.items()}
    shuffled = {key: value[rows] for key, value in shuffled.items()}
    torch.testing.assert_close(LOSSES[name](shuffled), LOSSES[name](one))


@every_loss
def test_padding_never_matters(people: Make, name: str) -> None:
    one = people()
    padded = dict(one)
    for key in ("points", "parts", "flow", "part_logits", "confidence"):
        padding = (0, 7) if one[key].dim() == 2 else (0, 0, 0, 7)
        padded[key] = pad(one[key], padding, value=3.0)
        padded[key][:, :40][~one["mask"]] = -5.0
    padded["mask"] = pad(one["mask"], (0, 7))
    torch.testing.assert_close(LOSSES[name](padded), LOSSES[name](one))
    for long, short in zip(gradients(name, padded), gradients(name, one), strict=True):
        torch.testing.assert_close(long[:, : short.shape[1]], short)
        assert long[:, short.shape[1] :].abs().sum() == 0


@every_loss
def test_a_batch_is_the_mean_of_its_people(people: Make, name: str) -> None:
    one = people()
    alone = [LOSSES[name]({key: value[[row]] for key, value in one.items()}) for row in range(3)]
    torch.testing.assert_close(LOSSES[name](one), torch.stack(alone).mean())


@pytest.mark.parametrize("name", [name for name in LOSSES if name not in POINTLESS])
def test_people_without_points_do_not_count(people: Make, name: str) -> None:
    one = people()
    unseen = one | {"mask": one["mask"].clone()}
    unseen["mask"][1] = False
    others = {key: value[[0, 2]] for key, value in one.items()}
    torch.testing.assert_close(LOSSES[name](unseen), LOSSES[name](others))
    assert all(grad[1].abs().sum() == 0 for grad in gradients(name, unseen))
    nobody_seen = unseen | {"mask": torch.zeros_like(one["mask"])}
    assert LOSSES[name](nobody_seen).item() == 0
    assert all(grad.abs().sum() == 0 for grad in gradients(name, nobody_seen))


@every_loss
@pytest.mark.parametrize("lacking", ["people", "points"])
def test_nobody_and_nothing(people: Make, name: str, lacking: str) -> None:
    one = people()
    none = {key: value[:0] for key, value in one.items()}
    if lacking == "points":
        none = {key: value[:, :0] if value.shape[1] == 40 else value for key, value in one.items()}
    if lacking == "people" or name not in POINTLESS:
        assert LOSSES[name](none).item() == 0
    assert all(grad.isfinite().all() for grad in gradients(name, none))


@every_loss
def test_a_part_without_points_and_a_limb_without_length_are_safe(people: Make, name: str) -> None:
    one = people()
    for key in ("points", "keypoints", "keypoints_next", "flow", "parts", "part_logits"):
        one[key] = one[key].float()
    one["parts"][..., INDEX["left_knee"]] = 0
    for key in ("keypoints", "keypoints_next"):
        one[key][:, INDEX["left_wrist"]] = one[key][:, INDEX["left_elbow"]]
        one[key][0] = 0.1  # a whole person in one point, with its first return
    one["points"][0, 0] = 0.1
    one["teacher"] = one["keypoints"].clone()  # and the teacher agrees
    one = {key: value.float() if value.is_floating_point() else value for key, value in one.items()}
    assert LOSSES[name](one).isfinite()
    assert all(grad.isfinite().all() and grad.abs().max() < 1e3 for grad in gradients(name, one))


def test_every_part_is_among_the_random_people(people: Make) -> None:
    assert (people()["parts"].sum((0, 1)) > 0).sum() == NUM_PARTS
