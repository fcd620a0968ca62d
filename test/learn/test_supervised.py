"""Stage I losses against values worked out by hand."""

import math

import pytest
import torch

from gckpl_ros.learn.losses import confidence_loss, keypoint_loss, segmentation_loss, stage1_loss


def test_keypoint_loss_is_the_summed_distance() -> None:
    truth = torch.zeros(2, 14, 3)
    predicted = truth.clone()
    predicted[0, 3] = torch.tensor([3.0, 4.0, 0.0])  # 5 m off
    predicted[1, 0] = torch.tensor([0.0, 0.0, 1.0])  # 1 m off
    assert keypoint_loss(predicted, truth).item() == pytest.approx((5 + 1) / 2)
    assert keypoint_loss(torch.stack([predicted, truth]), truth).item() == pytest.approx((5 + 1) / 4)  # layers


def test_segmentation_loss_counts_real_points_only() -> None:
    logits = torch.zeros(1, 3, 15)
    logits[0, 0, 2] = math.log(14)  # probability 14 / (14 + 14) = 1/2 of part 2
    mask = torch.tensor([[True, True, False]])
    labels = torch.tensor([[2, 7, 0]])
    expected = (math.log(2) + math.log(15)) / 2
    assert segmentation_loss(logits, labels, mask).item() == pytest.approx(expected, rel=1e-6)
    assert segmentation_loss(logits, labels, torch.zeros_like(mask)).item() == 0


def test_confidence_loss_asks_for_within_ten_centimetres() -> None:
    truth = torch.zeros(1, 2, 3)
    predicted = torch.tensor([[[0.09, 0, 0], [0.11, 0, 0]]])  # a hit and a miss
    logits = torch.tensor([[math.log(3), math.log(3)]])  # both 3/4 sure
    assert confidence_loss(logits, predicted, truth).item() == pytest.approx(-(math.log(0.75) + math.log(0.25)) / 2)


def test_stage1_loss_has_the_papers_weights() -> None:
    assert stage1_loss(torch.tensor(2.0), torch.tensor(3.0)).item() == pytest.approx(0.5 * 2 + 1 * 3)


def test_gradients() -> None:
    torch.manual_seed(0)
    predicted, truth = torch.randn(2, 14, 3, dtype=torch.float64, requires_grad=True), torch.zeros(2, 14, 3).double()
    assert torch.autograd.gradcheck(keypoint_loss, (predicted, truth))
    logits, labels = torch.randn(2, 5, 15, dtype=torch.float64, requires_grad=True), torch.randint(15, (2, 5))
    assert torch.autograd.gradcheck(segmentation_loss, (logits, labels, torch.rand(2, 5) > 0.3))
