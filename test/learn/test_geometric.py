"""The paper's losses of Stage II: by hand, by loops that follow the formula, and zero where they must be."""

import math
from collections.abc import Callable

import pytest
import roma
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from gckpl_ros.learn.geometric import (
    cylindrical,
    flow_loss,
    joint_to_part_loss,
    nearest_limb_share,
    part_centres,
    points_to_limb_loss,
    pseudo_labels,
    segmentation_loss,
    symmetry_loss,
)
from gckpl_ros.skeleton import BACKGROUND, INDEX, LIMBS

ELBOW, WRIST = INDEX["left_elbow"], INDEX["left_wrist"]


def forearm() -> Tensor:
    """A forearm of 0.3 m along x, from the origin; all else far away."""
    keypoints = torch.full((1, 14, 3), 9.0, dtype=torch.float64)
    keypoints[0, ELBOW], keypoints[0, WRIST] = torch.zeros(3).double(), torch.tensor([0.3, 0, 0]).double()
    return keypoints


def on_forearm(*points: tuple[float, float, float]) -> dict[str, Tensor]:
    """Points labelled as the forearm's."""
    labels = torch.full((1, len(points)), ELBOW)
    mask = torch.ones(1, len(points), dtype=torch.bool)
    return {"points": torch.tensor([points], dtype=torch.float64), "mask": mask, "parts": one_hot(labels, 15).double()}


def test_flow_by_hand() -> None:
    here = on_forearm((0.1, 0.05, 0), (0.2, 0, 0.05))
    flow = torch.tensor([[[0.02, 0.03, 0], [0, 0, 0]]]).double()  # 2 cm along the limb, 3 cm away from it; none
    still = forearm()
    assert flow_loss(still, still, flow=flow, **here).item() == pytest.approx((0.02 + 0.03) / 2 / 11)
    raised = forearm()
    raised[0, [ELBOW, WRIST], 1] += 0.05  # r: 0.05 -> |0.03| and 0.05 -> sqrt(0.05^2 + 0.05^2)
    expected = (0.02 + 0.02) + (math.hypot(0.05, 0.05) - 0.05)
    assert flow_loss(still, raised, flow=flow, **here).item() == pytest.approx(expected / 2 / 11)
    sure = torch.tensor([[1.0, 0.0]]).double()
    assert flow_loss(still, raised, flow=flow, confidence=sure, **here).item() == pytest.approx(0.04 / 2 / 11)


def test_flow_is_zero_for_points_that_ride_on_limbs_which_swing(people: Callable[..., dict[str, Tensor]]) -> None:
    one = people(b=1)
    knee, hip = INDEX["left_knee"], one["keypoints"][:, INDEX["left_hip"]]
    thigh = one_hot(torch.full((1, 40), INDEX["left_hip"]), 15).double()
    rotation = roma.random_rotmat(dtype=torch.float64)  # the thigh swings about the hip, its points with it
    swung = one["keypoints"].clone()
    swung[:, knee] = (swung[:, knee] - hip) @ rotation.T + hip
    flow = (one["points"] - hip) @ rotation.T + hip - one["points"]
    given = {"points": one["points"], "mask": one["mask"], "parts": thigh}
    assert flow_loss(one["keypoints"], swung, flow=flow, **given).item() == pytest.approx(0, abs=1e-12)
    assert flow_loss(one["keypoints"], one["keypoints"], flow=flow, **given).item() > 0.01  # the limb stayed behind
    assert flow_loss(swung, one["keypoints"], given["points"] + flow, -flow, one["mask"], thigh).item() < 1e-12


def test_points_to_limb_by_hand() -> None:
    here = on_forearm((0.1, 0.04, 0), (0.33, 0.04, 0), (0.2, 0, 0))  # 4 cm beside, 5 cm from the wrist, on it
    assert points_to_limb_loss(forearm(), **here).item() == pytest.approx((0.04 + 0.05 + 0) / 3 / 11)
    on_it = on_forearm((0, 0, 0), (0.1, 0, 0), (0.3, 0, 0))
    assert points_to_limb_loss(forearm(), **on_it).item() == 0
    here["parts"] = one_hot(torch.full((1, 3), BACKGROUND), 15).double()
    assert points_to_limb_loss(forearm(), **here).item() == 0


def test_symmetry_by_hand() -> None:
    at_one_height = on_forearm((0.1, 0.04, 0), (0.1, 0, 0.06))  # both 1 cm off their mean radius
    assert symmetry_loss(forearm(), **at_one_height).item() == pytest.approx(0.01**2 / 11)
    apart = on_forearm((0.1, 0.04, 0), (0.2, 0, 0.06))  # h apart: the other one weighs exp(-1)
    off = 0.02 * math.exp(-1) / (1 + math.exp(-1))
    assert symmetry_loss(forearm(), **apart).item() == pytest.approx(off**2 / 11)
    other_part = on_forearm((0.1, 0.04, 0), (0.1, 0, 0.06))
    other_part["parts"][0, 1] = one_hot(torch.tensor(WRIST), 15)  # alone, a point is its own mean
    assert symmetry_loss(forearm(), **other_part).item() == pytest.approx(0, abs=1e-12)


def test_symmetry_is_zero_on_a_cylinder_seen_from_one_side() -> None:
    around, along = torch.linspace(0, 2, 10).double(), torch.linspace(0, 0.3, 10).double()
    points = torch.stack([along, 0.04 * around.cos(), 0.04 * around.sin()], -1)
    here = on_forearm(*points.tolist())
    assert symmetry_loss(forearm(), **here).item() == pytest.approx(0, abs=1e-30)
    shifted = forearm()
    shifted[0, [ELBOW, WRIST], 1] += 0.02
    assert symmetry_loss(shifted, **here).item() > 1e-7


@pytest.mark.parametrize("labels", ["one-hot", "soft", "mixed"])
@pytest.mark.parametrize("shared", [True, False])
def test_symmetry_is_the_formula_in_loops(people: Callable[..., dict[str, Tensor]], labels: str, shared: bool) -> None:
    one = people(b=2, n=12, labels=labels)
    mask, w = one["mask"], one["parts"]
    share = nearest_limb_share(one["points"], one["keypoints"]) if shared else None
    axial, radial = cylindrical(one["points"], one["keypoints"])
    per_person = []
    for b in range(2):
        real, total = mask[b].nonzero()[:, 0].tolist(), 0.0
        for limb, (a, _) in enumerate(LIMBS):
            own = share[b, limb] if share is not None else torch.ones(12).double()
            for i in real:
                k = {j: math.exp(-(((axial[b, limb, i] - axial[b, limb, j]) / 0.1) ** 2)) for j in real}
                near = {j: k[j] * float(w[b, i] @ w[b, j]) * float(own[j]) for j in real}
                mean = sum(near[j] * float(radial[b, limb, j]) for j in real) / (sum(near.values()) or 1)
                total += float(w[b, i, a] * own[i] * (radial[b, limb, i] - mean) ** 2)
        per_person.append(total / len(real) / len(LIMBS))
    given = (one["keypoints"], one["points"], mask, w, share)
    assert symmetry_loss(*given).item() == pytest.approx(sum(per_person) / 2, rel=1e-9)


def test_joint_to_part_by_hand() -> None:
    here = on_forearm((0.1, 0.03, 0), (0.1, 0.05, 0), (0.1, -0.9, 0))
    here["parts"][0, 2] = 0  # the third point is nobody's
    here["parts"][0, 1, ELBOW] = 3.0  # centre (0.1, 0.045, 0)
    assert joint_to_part_loss(forearm(), **here).item() == pytest.approx(math.hypot(0.1, 0.045) / 14)
    centres, present = part_centres(here["points"], here["mask"], here["parts"])
    assert present[0].nonzero()[:, 0].tolist() == [ELBOW]
    assert centres[0, ELBOW].tolist() == pytest.approx([0.1, 0.045, 0])
    assert joint_to_part_loss(centres, **here).item() == 0


def test_segmentation_by_hand() -> None:
    logits = torch.zeros(2, 3, 15)
    logits[0, 0, 2] = math.log(14)  # one half
    mask = torch.tensor([[True, True, False], [True, False, False]])
    parts = pseudo_labels(one_hot(torch.tensor([[2, 7, 0], [1, 0, 0]]), 15).float(), mask)
    assert parts.sum(-1).tolist() == [[1, 1, 0], [1, 0, 0]] and parts[0, 1].argmax() == 7
    expected = ((math.log(2) + math.log(15)) / 2 + math.log(15)) / 2
    assert segmentation_loss(logits, mask, parts).item() == pytest.approx(expected, rel=1e-6)
    soft = torch.zeros(2, 3, 15)
    soft[0, 0, 2] = soft[0, 0, 3] = 0.5  # -(ln 1/2 + ln 1/28) / 2
    one_person = segmentation_loss(logits[:1, :1], mask[:1, :1], soft[:1, :1])
    assert one_person.item() == pytest.approx((math.log(2) + math.log(28)) / 2, rel=1e-6)
    certain = 50 * parts
    assert segmentation_loss(certain, mask, parts).item() == pytest.approx(0, abs=1e-6)
