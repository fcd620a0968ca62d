"""The whole loss of Stage II: L = 0.02 L_flow + 0.01 L_p2l + 0.5 L_sym + 2 L_j2p + 0.5 L_seg (GC-KPL, section 3.2).

And a teacher's term beyond the paper, whose weight is 0 by default. A term without weight is not computed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from gckpl_ros.batch import PersonBatch
from gckpl_ros.errors import InputError
from gckpl_ros.estimate.network import Prediction
from gckpl_ros.learn.geometric import (
    BANDWIDTH_M,
    flow_loss,
    joint_to_part_loss,
    nearest_limb_share,
    points_to_limb_loss,
    segmentation_loss,
    symmetry_loss,
)
from gckpl_ros.learn.losses import teacher_loss
from gckpl_ros.skeleton import NUM_PARTS


@dataclass(frozen=True)
class LossWeights:
    """Weights of Stage II's terms, none negative; a term of weight 0 is left out.

    The paper's: flow 0.02, points_to_limb 0.01, symmetry 0.5, joint_to_part 2, segmentation 0.5, and no other.
    """

    flow: float = 0.02
    points_to_limb: float = 0.01
    symmetry: float = 0.5
    joint_to_part: float = 2.0
    segmentation: float = 0.5
    teacher: float = 0.0
    """Beyond the paper: agreement with a teacher, as far as it is sure."""

    def __post_init__(self) -> None:
        """Raises InputError for a weight that is negative or not finite."""
        wrong = {name: weight for name, weight in vars(self).items() if not 0 <= weight < float("inf")}
        if wrong:
            raise InputError(f"loss weights must be 0 or more: {wrong}")


@dataclass(frozen=True)
class LossOptions:
    """How the terms are computed. The defaults are the paper's."""

    bandwidth_m: float = BANDWIDTH_M
    """h of the symmetry loss's kernel."""
    share_parts: bool = False
    """Beyond the paper: each point of a part counts for the nearest of the part's limbs only."""


def stage2_loss(
    pairs: PersonBatch, said: Prediction, weights: LossWeights | None = None, options: LossOptions | None = None
) -> dict[str, Float[Tensor, ""]]:
    """Weighted value of every term by name, as in msg/AdaptationStatus, and their sum as ``total``.

    ``pairs`` (b, 2) with pseudo-labels, and the flow where it has weight; ``said`` of all their frames, in the order of
    ``pairs.flat()``. Each term is the mean over both frames; for the flow these are the directions forward and
    backward.
    """
    weights, options = weights or LossWeights(), options or LossOptions()
    keypoints, logits = (value.view(len(pairs), 2, *value.shape[1:]) for value in (said.keypoints, said.part_logits))
    keypoints, around = keypoints + _shift(pairs), pairs.around_first()
    first, second = (
        _terms(around.frame(i), keypoints[:, i], keypoints[:, 1 - i], logits[:, i], options) for i in (0, 1)
    )
    terms = {name: weight * (first[name]() + second[name]()) / 2 for name, weight in vars(weights).items() if weight}
    return terms | {"total": torch.stack([keypoints.new_zeros(()), *terms.values()]).sum()}


def _shift(pairs: PersonBatch) -> Float[Tensor, "b 2 1 3"]:
    origins = pairs.required("origins")
    return (origins - origins[:, :1])[:, :, None]


def _terms(
    here: PersonBatch,
    keypoints: Float[Tensor, "b 14 3"],
    keypoints_there: Float[Tensor, "b 14 3"],
    part_logits: Float[Tensor, "b n 15"],
    options: LossOptions,
) -> Mapping[str, Callable[[], Tensor]]:
    """Every term of one frame; ``there`` is the frame that its flow leads to, around the same origin."""
    points, mask = here.points, here.mask
    parts = functional.one_hot(here.required("parts"), NUM_PARTS).to(keypoints.dtype) * mask[..., None]
    share = nearest_limb_share(points, keypoints) if options.share_parts else None
    return {
        "flow": lambda: flow_loss(
            keypoints, keypoints_there, points, here.required("flow"), mask, parts, share, here.flow_confidence
        ),
        "points_to_limb": lambda: points_to_limb_loss(keypoints, points, mask, parts, share),
        "symmetry": lambda: symmetry_loss(keypoints, points, mask, parts, share, options.bandwidth_m),
        "joint_to_part": lambda: joint_to_part_loss(keypoints, points, mask, parts),
        "segmentation": lambda: segmentation_loss(part_logits, mask, parts),
        "teacher": lambda: teacher_loss(
            keypoints, here.required("keypoints"), here.required("confidence"), here.keypoint_mask
        ),
    }
