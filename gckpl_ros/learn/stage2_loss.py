"""The whole loss of Stage II: L = 0.02 L_flow + 0.01 L_p2l + 0.5 L_sym + 2 L_j2p + 0.5 L_seg (GC-KPL, section 3.2).

And the terms beyond the paper, whose weights are 0 by default. A term without weight is not computed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gckpl_ros.errors import InputError
from gckpl_ros.learn.geometric import (
    BANDWIDTH_M,
    flow_loss,
    joint_to_part_loss,
    nearest_limb_share,
    points_to_limb_loss,
    segmentation_loss,
    symmetry_loss,
)
from gckpl_ros.learn.losses import bone_length_loss, bone_lengths, left_right_loss, teacher_loss
from gckpl_ros.learn.visible_side import HUBER_M, joint_behind_part_loss, limb_radius_loss


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
    limb_radius: float = 0.0
    """Beyond the paper: points lie a limb's radius from its segment, in place of points_to_limb."""
    joint_behind_part: float = 0.0
    """Beyond the paper: joints lie behind the seen centre of their part, in place of joint_to_part."""
    bone_length: float = 0.0
    """Beyond the paper: limbs are as long in one frame of the pair as in the other."""
    track_bone_length: float = 0.0
    """Beyond the paper: limbs are as long as their median over the track."""
    left_right: float = 0.0
    """Beyond the paper: left limbs are as long as right ones."""
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
    huber_m: float = HUBER_M
    """Where limb_radius turns from square to linear."""


@dataclass(frozen=True)
class View:
    """One frame of a pair: b people's points, what is known of them, and what the network now says of them.

    Metres; one origin and the same axes for both frames. ``parts`` are pseudo-labels, ``flow`` leads to the other
    frame. What only terms beyond the paper need may be None while their weights are 0.
    """

    points: Float[Tensor, "b n 3"]
    mask: Bool[Tensor, "b n"]
    parts: Float[Tensor, "b n 15"]
    flow: Float[Tensor, "b n 3"]
    keypoints: Float[Tensor, "b 14 3"]
    part_logits: Float[Tensor, "b n 15"]
    flow_confidence: Float[Tensor, "b n"] | None = None
    views: Float[Tensor, "b 3"] | None = None
    depths: Float[Tensor, "#b 14"] | None = None
    radii: Float[Tensor, "#b l"] | None = None
    track_lengths: Float[Tensor, "b l"] | None = None
    teacher: Float[Tensor, "b 14 3"] | None = None
    teacher_confidence: Float[Tensor, "b 14"] | None = None


class _Case(NamedTuple):
    """A frame, the frame that its flow leads to, and how points are shared."""

    here: View
    there: View
    share: Tensor | None
    options: LossOptions


def stage2_loss(
    first: View, second: View, weights: LossWeights | None = None, options: LossOptions | None = None
) -> dict[str, Float[Tensor, ""]]:
    """Weighted value of every term by name, as in msg/AdaptationStatus, and their sum as ``total``.

    Each term is the mean over both frames; for the flow these are the directions forward and backward.
    """
    weights, options = weights or LossWeights(), options or LossOptions()
    cases = (_case(first, second, options), _case(second, first, options))
    terms = {
        name: weight * (_TERMS[name](cases[0]) + _TERMS[name](cases[1])) / 2
        for name, weight in vars(weights).items()
        if weight
    }
    nothing = first.keypoints.new_zeros(())
    return terms | {"total": torch.stack([nothing, *terms.values()]).sum()}


def _case(here: View, there: View, options: LossOptions) -> _Case:
    share = nearest_limb_share(here.points, here.keypoints) if options.share_parts else None
    return _Case(here, there, share, options)


def _needed(value: Tensor | None, name: str) -> Tensor:
    assert value is not None, f"a term has weight, but the view has no {name}"
    return value


def _labelled(view: View) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return view.keypoints, view.points, view.mask, view.parts


def _flow(case: _Case) -> Tensor:
    v = case.here
    return flow_loss(
        v.keypoints, case.there.keypoints, v.points, v.flow, v.mask, v.parts, case.share, v.flow_confidence
    )


def _limb_radius(case: _Case) -> Tensor:
    return limb_radius_loss(*_labelled(case.here), case.share, case.here.radii, case.options.huber_m)


def _joint_behind_part(case: _Case) -> Tensor:
    views, depths = _needed(case.here.views, "views"), _needed(case.here.depths, "depths")
    return joint_behind_part_loss(*_labelled(case.here), views, depths)


def _teacher(case: _Case) -> Tensor:
    v = case.here
    return teacher_loss(v.keypoints, _needed(v.teacher, "teacher"), _needed(v.teacher_confidence, "confidence"))


_TERMS: Final[Mapping[str, Callable[[_Case], Tensor]]] = {
    "flow": _flow,
    "points_to_limb": lambda case: points_to_limb_loss(*_labelled(case.here), case.share),
    "symmetry": lambda case: symmetry_loss(*_labelled(case.here), case.share, case.options.bandwidth_m),
    "joint_to_part": lambda case: joint_to_part_loss(*_labelled(case.here)),
    "segmentation": lambda case: segmentation_loss(case.here.part_logits, case.here.mask, case.here.parts),
    "limb_radius": _limb_radius,
    "joint_behind_part": _joint_behind_part,
    "bone_length": lambda case: bone_length_loss(case.here.keypoints, bone_lengths(case.there.keypoints)),
    "track_bone_length": lambda case: bone_length_loss(
        case.here.keypoints, _needed(case.here.track_lengths, "track_lengths")
    ),
    "left_right": lambda case: left_right_loss(case.here.keypoints),
    "teacher": _teacher,
}
