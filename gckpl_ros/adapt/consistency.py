"""What holds without looking at points, beyond the paper: bones keep their length, and the teacher's opinion."""

from typing import Final

from jaxtyping import Float
from torch import Tensor

from gckpl_ros.adapt.cylindrical import bones
from gckpl_ros.skeleton import LIMBS, MIRROR

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
    keypoints: Float[Tensor, "b 14 3"], teacher: Float[Tensor, "b 14 3"], confidence: Float[Tensor, "b 14"]
) -> Float[Tensor, ""]:
    """1/J sum_j c_j |y_j - y'_j|, m, mean over people: agreement with a teacher as far as it is sure (c in 0..1).

    The teacher is the network's moving average of weights (mean teacher, NeurIPS 2017); nothing is learnt by it.
    """
    distance: Tensor = (keypoints - teacher.detach()).norm(dim=-1) * confidence.detach()
    return distance.sum() / max(distance.numel(), 1)
