"""Losses for one-sided points: by hand, against the body that ships, and that they do what the paper's cannot."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from gckpl_ros.body.body import load_body
from gckpl_ros.learn.geometric import (
    joint_to_part_loss,
    limb_weights,
    nearest_limb_share,
    points_to_limb_loss,
    segment_distance,
)
from gckpl_ros.learn.visible_side import LIMB_RADII_M, joint_behind_part_loss, limb_radius_loss
from gckpl_ros.skeleton import INDEX, LIMBS, NUM_PARTS
from gckpl_training.motion.procedural import sample_poses

ELBOW, WRIST = INDEX["left_elbow"], INDEX["left_wrist"]
FOREARM = LIMBS.index((ELBOW, WRIST))
RADIUS = LIMB_RADII_M[FOREARM]


def labelled(points: Tensor) -> dict[str, Tensor]:
    labels = torch.full(points.shape[:2], ELBOW)
    return {"points": points, "mask": torch.ones_like(labels, dtype=torch.bool), "parts": one_hot(labels, 15).double()}


def half_forearm() -> tuple[Tensor, dict[str, Tensor]]:
    """A forearm along x of its usual radius, and the half of its skin that faces a sensor at x = 0, y = -5 m."""
    keypoints = torch.full((1, 14, 3), 9.0, dtype=torch.float64)
    keypoints[0, ELBOW], keypoints[0, WRIST] = torch.tensor([-0.13, 0, 0]), torch.tensor([0.13, 0, 0])
    along, around = torch.meshgrid(torch.linspace(-0.13, 0.13, 9), torch.linspace(0, torch.pi, 9), indexing="ij")
    skin = torch.stack([along, -RADIUS * around.sin(), RADIUS * around.cos()], -1).double()
    return keypoints, labelled(skin.reshape(1, -1, 3))


def test_limb_radius_by_hand() -> None:
    keypoints, _ = half_forearm()
    radii = torch.full((1, len(LIMBS)), 0.05).double()
    points = torch.tensor([[[0, 0.04, 0], [0, 0, 0.06], [0, 0.2, 0]]]).double()  # 1 cm too near, 1 and 15 too far
    given = labelled(points)
    expected = (2 * 0.01**2 / (2 * 0.02) + (0.15 - 0.01)) / 3 / 11
    assert limb_radius_loss(keypoints, **given, radii=radii, huber_m=0.02).item() == pytest.approx(expected, rel=1e-6)


def test_limb_radius_is_zero_on_the_skin() -> None:
    keypoints, seen = half_forearm()
    assert limb_radius_loss(keypoints, **seen).item() == pytest.approx(0, abs=1e-12)


def test_limb_radius_finds_the_axis_that_points_to_limb_misses() -> None:
    truth, seen = half_forearm()

    def error_after(loss: Callable[..., Tensor]) -> float:
        keypoints = (truth + 0.02).requires_grad_()
        optimiser = torch.optim.Adam([keypoints], lr=2e-3)
        for _ in range(300):
            optimiser.zero_grad()
            loss(keypoints, **seen).backward()
            optimiser.step()
        off_axis = (keypoints - truth)[0, [ELBOW, WRIST], 1:]
        return off_axis.norm(dim=-1).max().item()

    assert error_after(limb_radius_loss) < 0.003
    assert error_after(points_to_limb_loss) > 0.01  # drawn into the seen skin


def test_radii_are_those_of_the_body() -> None:
    generator, body = torch.Generator().manual_seed(0), load_body()
    posed = body(
        body.sample_betas(128, generator), sample_poses(128, generator, torch.device("cpu")), torch.zeros(128, 3)
    )
    corners = posed.vertices[:, body.faces]
    skin, sides = corners.mean(2), corners[:, :, 1:] - corners[:, :, :1]
    area = torch.linalg.cross(sides[:, :, 0], sides[:, :, 1]).norm(dim=-1)
    parts = one_hot(body.parts[body.faces].mode(1).values, NUM_PARTS).float().expand(128, -1, -1)
    share = nearest_limb_share(skin, posed.keypoints)
    weights = limb_weights(parts, torch.ones_like(area, dtype=torch.bool), share) * area[:, None]
    within = segment_distance(skin, posed.keypoints) <= torch.tensor(LIMB_RADII_M)[:, None]
    below = (weights * within).sum((0, 2)) / weights.sum((0, 2))  # of a median: one half
    torch.testing.assert_close(below, torch.full((len(LIMBS),), 0.5), rtol=0, atol=0.06)


def test_joint_behind_part_by_hand() -> None:
    keypoints, _ = half_forearm()
    seen = labelled(torch.tensor([[[0.0, -0.05, 0], [0, -0.03, 0]]]).double())  # centre at y = -0.04
    views, depths = torch.tensor([[0, 5.0, 0]]).double(), torch.zeros(1, 14).double()
    keypoints[0, ELBOW] = torch.tensor([0, 0.01, 0])
    assert joint_behind_part_loss(keypoints, **seen, views=views, depths=depths).item() == pytest.approx(0.05 / 14)
    depths[0, ELBOW] = 0.03
    assert joint_behind_part_loss(keypoints, **seen, views=views, depths=depths).item() == pytest.approx(0.02 / 14)
    depths[0, ELBOW] = 0.05
    assert joint_behind_part_loss(keypoints, **seen, views=views, depths=depths).item() == pytest.approx(0, abs=1e-9)


def test_joint_behind_part_without_depth_is_the_papers(people: Callable[..., dict[str, Tensor]]) -> None:
    one = people()
    given = {name: one[name] for name in ("keypoints", "points", "mask", "parts")}
    flat = joint_behind_part_loss(**given, views=one["views"], depths=torch.zeros(1, 14).double())
    torch.testing.assert_close(flat, joint_to_part_loss(**given))
