"""The losses of Stage I, where the truth is known: L_kp and L_seg of GC-KPL (CVPR 2023, section 3.1), masked."""

from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional


def keypoint_loss(predicted: Float[Tensor, "*l b k 3"], truth: Float[Tensor, "b k 3"]) -> Float[Tensor, ""]:
    """L_kp: Euclidean error in metres, summed over a person's keypoints, mean over people (and layers)."""
    error: Tensor = (predicted - truth).norm(dim=-1)
    return error.sum(-1).mean()


def segmentation_loss(
    logits: Float[Tensor, "b n p"], labels: Int64[Tensor, "b n"], mask: Bool[Tensor, "b n"]
) -> Float[Tensor, ""]:
    """L_seg = - sum_i sum_j W_ij log W_hat_ij with one-hot W, as the mean over real points; 0 without points."""
    if not mask.any():
        return logits.sum() * 0.0
    loss: Tensor = functional.cross_entropy(logits[mask], labels[mask])
    return loss


def confidence_loss(
    logits: Float[Tensor, "b k"],
    predicted: Float[Tensor, "b k 3"],
    truth: Float[Tensor, "b k 3"],
    within_m: float = 0.1,
) -> Float[Tensor, ""]:
    """Binary cross-entropy of "this keypoint lies within ``within_m`` metres of the truth"; trains the logits only."""
    hit = ((predicted - truth).norm(dim=-1) < within_m).detach()
    return functional.binary_cross_entropy_with_logits(logits, hit.to(logits.dtype))


def stage1_loss(
    keypoints: Float[Tensor, ""], segmentation: Float[Tensor, ""], lambda_kp: float = 0.5, lambda_seg: float = 1.0
) -> Float[Tensor, ""]:
    """L_syn = lambda_kp L_kp + lambda_seg L_seg, with the paper's weights."""
    return lambda_kp * keypoints + lambda_seg * segmentation
