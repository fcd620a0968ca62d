"""The losses of Stage II: what points and their flow say of the keypoints (GC-KPL, CVPR 2023, section 3.2).

W (``parts``) is the fixed part label of each point, one-hot or soft: Stage I's own answer, taken once. Each loss is in
metres (symmetry: square metres), a mean over people; padded points and people without points do not count. ``share``
divides a part's points among its limbs (``nearest_limb_share``); without it every formula is the paper's.
"""

from typing import Final, NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional

from gckpl_ros.skeleton import LIMBS, NUM_KEYPOINTS, NUM_PARTS

# Points seen from the limbs: cylindrical coordinates (axial z, radial r), distances, and which point is whose.
#
# Shapes: b people, l limbs (``skeleton.LIMBS``), n points. Everything is a length, in metres, and does not change when
# points and keypoints move rigidly together.

PARENTS: Final = [parent for parent, _ in LIMBS]
CHILDREN: Final = [child for _, child in LIMBS]
# A shorter limb has no axis worth the name: it fades to the point y_a instead of dividing by nothing.
SHORTEST_M: Final = 0.01


class Cylindrical(NamedTuple):
    """Where each point lies on each limb, m."""

    axial: Float[Tensor, "b l n"]
    radial: Float[Tensor, "b l n"]


def cylindrical(points: Float[Tensor, "b n 3"], keypoints: Float[Tensor, "b 14 3"]) -> Cylindrical:
    """z = (p - y_a) . u and r = |p - y_a - z u|, u = (y_b - y_a) / |y_b - y_a| (GC-KPL, section 3.2, flow loss)."""
    axis = bones(keypoints)[..., None]
    direction = axis / axis.norm(dim=2, keepdim=True).clamp_min(SHORTEST_M)
    offset = _from_parents(points, keypoints)
    axial = (offset * direction).sum(2)
    radial = (offset - axial[:, :, None] * direction).norm(dim=2)
    return Cylindrical(axial, radial)


def segment_distance(points: Float[Tensor, "b n 3"], keypoints: Float[Tensor, "b 14 3"]) -> Float[Tensor, "b l n"]:
    """d(p, l): distance (m) of each point from each limb's segment y_a .. y_b (GC-KPL, section 3.2)."""
    axis, offset = bones(keypoints)[..., None], _from_parents(points, keypoints)
    # The foot of the perpendicular is where the distance is least: to first order its own move changes nothing.
    with torch.no_grad():
        along = (offset * axis).sum(2) / axis.square().sum(2).clamp_min(SHORTEST_M**2)
        foot = along.clamp(0, 1)
    distance: Tensor = (offset - foot[:, :, None] * axis).norm(dim=2)
    return distance


def bones(keypoints: Float[Tensor, "b 14 3"]) -> Float[Tensor, "b l 3"]:
    """Vector y_b - y_a (m) of each limb, from parent to child."""
    return keypoints[:, CHILDREN] - keypoints[:, PARENTS]


def limb_weights(
    parts: Float[Tensor, "b n 15"], mask: Bool[Tensor, "b n"], share: Float[Tensor, "b l n"] | None = None
) -> Float[Tensor, "b l n"]:
    """W_ia of each limb's parent part a (GC-KPL, section 3.2), times the limb's share of the point; 0 where padded."""
    weights = (parts * mask[..., None])[..., PARENTS].transpose(1, 2)
    return weights if share is None else weights * share


def nearest_limb_share(points: Float[Tensor, "b n 3"], keypoints: Float[Tensor, "b 14 3"]) -> Float[Tensor, "b l n"]:
    """1 for the nearest of the limbs that share a parent part, 0 for the others, ties in equal shares; not the paper's.

    Part labels hang the trunk on shoulders and hips, so that without it a shoulder's limbs, the upper arm and the
    flank, both claim all of its points.
    """
    distance = segment_distance(points, keypoints).detach()
    parent = torch.tensor(PARENTS, device=points.device)
    siblings = parent[:, None] == parent
    nearest = distance[:, None].masked_fill(~siblings[..., None], torch.inf).amin(2)
    won = (distance <= nearest).to(distance.dtype)
    return won / (siblings.to(won.dtype) @ won)


def mean_over_limbs(terms: Float[Tensor, "b l m"], mask: Bool[Tensor, "b n"]) -> Float[Tensor, ""]:
    """1/|L| sum_l 1/N sum_i of terms that are 0 where padded, mean over people."""
    return mean_over_points(terms.mean(1), mask)


def mean_over_points(terms: Float[Tensor, "b m"], mask: Bool[Tensor, "b n"]) -> Float[Tensor, ""]:
    """1/N sum_i of terms that are 0 where padded, mean over people; N counts a person's real points."""
    return mean_over_people(terms.sum(1) / mask.sum(1).clamp_min(1), mask.any(1))


def mean_over_people(terms: Float[Tensor, " b"], seen: Bool[Tensor, " b"]) -> Float[Tensor, ""]:
    """Mean over the people who have any points; 0 where nobody has."""
    return (terms * seen).sum() / seen.sum().clamp_min(1)


def _from_parents(points: Float[Tensor, "b n 3"], keypoints: Float[Tensor, "b 14 3"]) -> Float[Tensor, "b l 3 n"]:
    """p - y_a (m); the points come last, so that sums over x, y, z are wide passes over memory."""
    return points.mT[:, None] - keypoints[:, PARENTS, :, None]


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
