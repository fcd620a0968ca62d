"""The losses of Stage II: what points and their flow say of the keypoints (GC-KPL, CVPR 2023, section 3.2).

W (``parts``) is the fixed part label of each point, one-hot or soft: Stage I's own answer, taken once. Each loss is in
metres (symmetry: square metres), a mean over people; padded points and people without points do not count. ``share``
divides a part's points among its limbs (``nearest_limb_share``); without it every formula is the paper's.
"""

from typing import Final

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional

from gckpl_ros.adapt.cylindrical import (
    cylindrical,
    limb_weights,
    mean_over_limbs,
    mean_over_people,
    mean_over_points,
    segment_distance,
)
from gckpl_ros.skeleton import NUM_KEYPOINTS, NUM_PARTS

BANDWIDTH_M: Final = 0.1


def pseudo_labels(part_logits: Float[Tensor, "b n 15"], mask: Bool[Tensor, "b n"]) -> Float[Tensor, "b n 15"]:
    """One-hot W of the likeliest part of each point, without gradient; zero where padded (GC-KPL, section 3.2)."""
    labels = functional.one_hot(part_logits.argmax(-1), NUM_PARTS)
    return labels.to(part_logits.dtype) * mask[..., None]


def flow_loss(
    keypoints: Float[Tensor, "b 14 3"],
    keypoints_next: Float[Tensor, "b 14 3"],
    points: Float[Tensor, "b n 3"],
    flow: Float[Tensor, "b n 3"],
    mask: Bool[Tensor, "b n"],
    parts: Float[Tensor, "b n 15"],
    share: Float[Tensor, "b l n"] | None = None,
    confidence: Float[Tensor, "b n"] | None = None,
) -> Float[Tensor, ""]:
    """L_ff: a point that rides on its limb keeps its r and z there; L_bf with the frames' roles changed.

    1/|L| sum_l 1/N sum_i W_ia (|r'(p_i + f_i) - r(p_i)| + |z'(p_i + f_i) - z(p_i)|), primes at the next frame's limb.
    L_flow is the mean of both directions. ``confidence`` (0..1, of the flow) weighs the points; not the paper's.
    """
    before, after = cylindrical(points, keypoints), cylindrical(points + flow, keypoints_next)
    change = (after.radial - before.radial).abs() + (after.axial - before.axial).abs()
    weights = limb_weights(parts, mask, share)
    if confidence is not None:
        weights = weights * confidence[:, None]
    return mean_over_limbs(weights * change, mask)


def points_to_limb_loss(
    keypoints: Float[Tensor, "b 14 3"],
    points: Float[Tensor, "b n 3"],
    mask: Bool[Tensor, "b n"],
    parts: Float[Tensor, "b n 15"],
    share: Float[Tensor, "b l n"] | None = None,
) -> Float[Tensor, ""]:
    """L_p2l = 1/|L| sum_l 1/N sum_i W_ia d(p_i, l): points lie near the segments of their limbs."""
    return mean_over_limbs(limb_weights(parts, mask, share) * segment_distance(points, keypoints), mask)


def symmetry_loss(
    keypoints: Float[Tensor, "b 14 3"],
    points: Float[Tensor, "b n 3"],
    mask: Bool[Tensor, "b n"],
    parts: Float[Tensor, "b n 15"],
    share: Float[Tensor, "b l n"] | None = None,
    bandwidth_m: float = BANDWIDTH_M,
) -> Float[Tensor, ""]:
    """L_sym = 1/|L| sum_l 1/N sum_i W_ia (r_l(p_i) - rbar_l(p_i))^2: like heights on a limb have like radii.

    rbar_l(p_i) is the mean of r_l(p_j), weighted by K_h(z_i, z_j) (W_i . W_j) with K_h = exp(-((z_i - z_j) / h)^2).
    """
    weights = limb_weights(parts, mask, share)
    owned = parts * mask[..., None]
    index = _involved(weights, owned)
    axial, radial = (one.gather(2, index) for one in cylindrical(points, keypoints))
    labels = owned[torch.arange(len(owned), device=index.device)[:, None, None], index]
    kernel = torch.exp(-((axial[..., :, None] - axial[..., None, :]) / bandwidth_m).square())
    near = kernel * (labels @ labels.transpose(-1, -2))
    if share is not None:
        near = near * share.gather(2, index)[..., None, :]
    total = near.sum(-1)
    mean = (near @ radial[..., None])[..., 0] / total.where(total > 0, 1.0)
    return mean_over_limbs(weights.gather(2, index) * (radial - mean).square(), mask)


def joint_to_part_loss(
    keypoints: Float[Tensor, "b 14 3"],
    points: Float[Tensor, "b n 3"],
    mask: Bool[Tensor, "b n"],
    parts: Float[Tensor, "b n 15"],
) -> Float[Tensor, ""]:
    """L_j2p = 1/J sum_j |y_j - sum_i W_ij p_i / sum_i W_ij|: a joint lies at its part; parts without points add 0."""
    centres, present = part_centres(points, mask, parts)
    distance = (keypoints - centres).norm(dim=-1)
    return mean_over_people((distance * present).mean(1), mask.any(1))


def part_centres(
    points: Float[Tensor, "b n 3"], mask: Bool[Tensor, "b n"], parts: Float[Tensor, "b n 15"]
) -> tuple[Float[Tensor, "b 14 3"], Bool[Tensor, "b 14"]]:
    """Weighted mean (m) of the points of each joint's part, 0 where there are none; and which have any."""
    weights = (parts[..., :NUM_KEYPOINTS] * mask[..., None]).transpose(1, 2)
    total = weights.sum(-1)
    present = total > 0
    return weights @ points / total.where(present, 1.0)[..., None], present


def segmentation_loss(
    part_logits: Float[Tensor, "b n 15"], mask: Bool[Tensor, "b n"], parts: Float[Tensor, "b n 15"]
) -> Float[Tensor, ""]:
    """L_seg = -1/N sum_i sum_j W_ij log W_hat_ij on pseudo-labels (GC-KPL, section 3.1, with Stage I's labels as W)."""
    surprise = -(parts * part_logits.log_softmax(-1)).sum(-1)
    return mean_over_points(surprise * mask, mask)


def _involved(weights: Float[Tensor, "b l n"], parts: Float[Tensor, "b n 15"]) -> Int64[Tensor, "b l m"]:
    """Indices that hold, for each limb, every point with a weight and every point that shares a part with one.

    The others in a row neither weigh nor are near anything that does. With one-hot labels a limb involves few points,
    and pairs of them are far fewer than n^2.
    """
    own = (parts > 0).to(parts.dtype)
    reached = ((weights > 0).to(parts.dtype) @ own > 0).to(parts.dtype)
    involved = reached @ own.transpose(1, 2) > 0
    most = int(involved.sum(-1).max()) if involved.numel() else 0
    return involved.to(torch.uint8).argsort(dim=-1, descending=True, stable=True)[..., :most]
