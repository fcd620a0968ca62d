"""Points seen from the limbs: cylindrical coordinates (axial z, radial r), distances, and which point is whose.

Shapes: b people, l limbs (``skeleton.LIMBS``), n points. Everything is a length, in metres, and does not change when
points and keypoints move rigidly together.
"""

from typing import Final, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gckpl_ros.skeleton import LIMBS

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
