"""Bone lengths and the teacher, by hand; zero where nothing disagrees."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from gckpl_ros.learn.losses import (
    LEFT_RIGHT_LIMBS,
    bone_length_loss,
    bone_lengths,
    left_right_loss,
    teacher_loss,
)
from gckpl_ros.skeleton import INDEX, KEYPOINTS, LIMBS, MIRROR

LEFT_SHANK = LIMBS.index((INDEX["left_knee"], INDEX["left_ankle"]))


def test_left_and_right_limbs_are_named_alike() -> None:
    names = [tuple(KEYPOINTS[joint] for joint in limb) for limb in LIMBS]
    pairs = [(names[left], names[right]) for left, right in LEFT_RIGHT_LIMBS]
    assert len(pairs) == 5
    assert all(right == tuple(name.replace("left", "right") for name in left) != left for left, right in pairs)


def test_bone_lengths_by_hand() -> None:
    keypoints = torch.zeros(1, 14, 3)
    keypoints[0, INDEX["left_ankle"]] = torch.tensor([0.3, 0, -0.4])
    assert bone_lengths(keypoints)[0, LEFT_SHANK].item() == pytest.approx(0.5)
    assert bone_lengths(keypoints).sum().item() == pytest.approx(0.5)
    assert bone_length_loss(keypoints, torch.zeros(1, 11)).item() == pytest.approx(0.5 / 11)
    assert bone_length_loss(keypoints, torch.full((1, 11), 0.1)).item() == pytest.approx((0.4 + 10 * 0.1) / 11)
    assert left_right_loss(keypoints).item() == pytest.approx(0.5 / 5)


def test_nothing_is_lost_where_lengths_agree(people: Callable[..., dict[str, Tensor]]) -> None:
    keypoints = people()["keypoints"]
    moved = keypoints.roll(1, -1) + 3.0  # axes permuted and shifted: another pose, the same bones
    assert bone_length_loss(keypoints, bone_lengths(moved)).item() == pytest.approx(0, abs=1e-12)
    mirrored = (keypoints + keypoints[:, MIRROR] * torch.tensor([1, -1, 1])) / 2  # a body symmetric about y = 0
    assert left_right_loss(mirrored).item() == pytest.approx(0, abs=1e-12)
    assert left_right_loss(keypoints).item() > 0.01


def test_teacher_counts_as_far_as_it_is_sure() -> None:
    keypoints = torch.zeros(1, 14, 3, requires_grad=True)
    teacher, sure = torch.zeros(1, 14, 3), torch.zeros(1, 14)
    teacher[0, 0, 0], teacher[0, 1, 1], teacher[0, 2, 2] = 0.1, 0.2, 5.0
    sure[0, :2] = torch.tensor([1.0, 0.25])
    loss = teacher_loss(keypoints, teacher, sure)
    assert loss.item() == pytest.approx((0.1 + 0.25 * 0.2) / 14)
    loss.backward()
    assert keypoints.grad is not None
    assert keypoints.grad[0, 1].tolist() == pytest.approx([0, -0.25 / 14, 0])  # it pulls towards the teacher
    assert keypoints.grad[0, 2:].abs().sum() == 0
    assert teacher_loss(teacher, teacher, torch.ones(1, 14)).item() == 0


def test_teacher_learns_nothing() -> None:
    teacher = torch.randn(2, 14, 3, requires_grad=True)
    teacher_loss(torch.zeros(2, 14, 3, requires_grad=True), teacher, torch.rand(2, 14)).backward()
    assert teacher.grad is None
