"""Stage I losses against values worked out by hand."""

import math

import pytest
import torch

from gckpl_ros.learn.losses import confidence_loss, keypoint_loss, segmentation_loss, stage1_loss, teacher_loss


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


def test_unknown_keypoints_do_not_count() -> None:
    """Known are one keypoint 5 m off in the first person, two of 1 m and 2 m in the second; the rest is NaN."""
    truth, known = torch.full((2, 14, 3), torch.nan), torch.zeros(2, 14, dtype=torch.bool)
    predicted = torch.zeros(2, 14, 3)
    for person, keypoint, place in ((0, 3, [3.0, 4.0, 0.0]), (1, 0, [0.0, 0.0, 1.0]), (1, 7, [2.0, 0.0, 0.0])):
        truth[person, keypoint], known[person, keypoint] = torch.tensor(place), True
    assert keypoint_loss(predicted, truth, known).item() == pytest.approx((5 + 1 + 2) / 2)
    sure = torch.ones(2, 14)
    assert teacher_loss(predicted, truth, sure, known).item() == pytest.approx((5 + 1 + 2) / 3)
    logits = torch.full((2, 14), math.log(3))
    assert confidence_loss(logits, predicted, truth, known).item() == pytest.approx(-math.log(0.25))
    nothing = torch.zeros_like(known)
    assert keypoint_loss(predicted, truth, nothing).item() == confidence_loss(logits, predicted, truth, nothing) == 0


def test_what_is_unknown_never_reaches_a_gradient() -> None:
    g = torch.Generator().manual_seed(0)
    known = torch.rand(3, 14, generator=g) < 0.6
    truth = torch.randn(3, 14, 3, generator=g).masked_fill(~known[..., None], torch.nan)
    predicted = torch.randn(2, 3, 14, 3, generator=g, requires_grad=True)
    logits = torch.randn(3, 14, generator=g, requires_grad=True)
    loss = keypoint_loss(predicted, truth, known) + teacher_loss(predicted[0], truth, torch.ones(3, 14), known)
    (loss + confidence_loss(logits, predicted[1], truth, known)).backward()
    assert predicted.grad is not None and logits.grad is not None
    for gradient in (*predicted.grad, logits.grad):
        assert bool(gradient.isfinite().all()) and bool(gradient[known].any()) and not gradient[~known].any()


def test_a_whole_mask_changes_nothing() -> None:
    g = torch.Generator().manual_seed(1)
    predicted, truth, sure = torch.randn(5, 14, 3, generator=g), torch.randn(5, 14, 3, generator=g), torch.rand(5, 14)
    known = torch.ones(5, 14, dtype=torch.bool)
    for loss in (
        lambda mask: keypoint_loss(predicted, truth, mask),
        lambda mask: teacher_loss(predicted, truth, sure, mask),
        lambda mask: confidence_loss(sure, predicted, truth, mask),
    ):
        torch.testing.assert_close(loss(known), loss(None))
