"""What holds without looking at points, beyond the paper: bones keep their length, and the teacher's opinion."""

from typing import Final

from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional

from gckpl_ros.learn.geometric import bones
from gckpl_ros.skeleton import LIMBS, MIRROR

# The losses of Stage I, where the truth is known: L_kp and L_seg of GC-KPL (CVPR 2023, section 3.1), masked.


def keypoint_loss(
    predicted: Float[Tensor, "*l b k 3"], truth: Float[Tensor, "b k 3"], known: Bool[Tensor, "b k"] | None = None
) -> Float[Tensor, ""]:
    """L_kp: Euclidean error in metres, summed over a person's known keypoints, mean over people (and layers).

    ``known`` None: all are. What the truth holds elsewhere, NaN too, does not matter.
    """
    if known is not None:
        truth = truth.masked_fill(~known[..., None], 0.0)
    error: Tensor = (predicted - truth).norm(dim=-1)
    if known is not None:
        error = error * known
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
    known: Bool[Tensor, "b k"] | None = None,
    within_m: float = 0.1,
) -> Float[Tensor, ""]:
    """Binary cross-entropy of "this keypoint lies within ``within_m`` metres of the truth"; trains the logits only.

    The mean of the known ones; 0 where none is.
    """
    hit = ((predicted - truth).norm(dim=-1) < within_m).detach()
    if known is not None:
        if not known.any():
            return logits.sum() * 0.0
        logits, hit = logits[known], hit[known]
    return functional.binary_cross_entropy_with_logits(logits, hit.to(logits.dtype))


def stage1_loss(
    keypoints: Float[Tensor, ""], segmentation: Float[Tensor, ""], lambda_kp: float = 0.5, lambda_seg: float = 1.0
) -> Float[Tensor, ""]:
    """L_syn = lambda_kp L_kp + lambda_seg L_seg, with the paper's weights."""
    return lambda_kp * keypoints + lambda_seg * segmentation


# Limbs as (left, right): the right one's ends are the left one's ends in the mirror.
LEFT_RIGHT_LIMBS: Final = [
    (left, LIMBS.index((MIRROR[a], MIRROR[b]))) for left, (a, b) in enumerate(LIMBS) if (a, b) < (MIRROR[a], MIRROR[b])
]


def bone_lengths(keypoints: Float[Tensor, "b 14 3"]) -> Float[Tensor, "b l"]:
    """Length (m) of each limb of ``skeleton.LIMBS``."""
    lengths: Tensor = bones(keypoints).norm(dim=-1)
    return lengths


def bone_length_loss(keypoints: Float[Tensor, "b 14 3"], lengths: Float[Tensor, "b l"]) -> Float[Tensor, ""]:
    """Mean difference (m) of the limbs' lengths from ``lengths``: the other frame's, or the track's medians."""
    return (bone_lengths(keypoints) - lengths).abs().sum() / max(lengths.numel(), 1)


def left_right_loss(keypoints: Float[Tensor, "b 14 3"]) -> Float[Tensor, ""]:
    """Mean difference (m) between the lengths of a left limb and of its right counterpart."""
    left, right = zip(*LEFT_RIGHT_LIMBS, strict=True)
    lengths = bone_lengths(keypoints)
    difference = lengths[:, left] - lengths[:, right]
    return difference.abs().sum() / max(difference.numel(), 1)


def teacher_loss(
    keypoints: Float[Tensor, "b 14 3"],
    teacher: Float[Tensor, "b 14 3"],
    confidence: Float[Tensor, "b 14"],
    known: Bool[Tensor, "b 14"] | None = None,
) -> Float[Tensor, ""]:
    """1/J sum_j c_j |y_j - y'_j|, m, mean over people: agreement with a teacher as far as it is sure (c in 0..1).

    Of the J keypoints that are ``known``; None: all. The teacher is the network's moving average of weights (mean
    teacher, NeurIPS 2017); nothing is learnt by it.
    """
    if known is not None:
        keypoints, teacher, confidence = keypoints[known], teacher[known], confidence[known]
    distance: Tensor = (keypoints - teacher.detach()).norm(dim=-1) * confidence.detach()
    return distance.sum() / max(distance.numel(), 1)
