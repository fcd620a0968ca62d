"""Fast scene flow of people: the whole body is registered as one piece, then each of its parts along the skeleton.

The network's keypoints and part probabilities say where to start and which points can match. A part with few points
follows the part that it hangs on, the whole body in the end: that is what the prior expects of it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import exp
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from gckpl_ros.batch import PersonBatch, in_frames
from gckpl_ros.geometry import rotation
from gckpl_ros.learn.flow import both_ways, with_flow
from gckpl_ros.skeleton import BACKGROUND, INDEX, NUM_KEYPOINTS, NUM_PARTS

# Registration of a body of rigid parts to a cloud: soft matches, and the most probable motion that explains them.
#
# Matches as in Coherent Point Drift (Myronenko and Song, 2010) with a given width instead of an estimated one, drawn
# both ways; motions by Gauss-Newton steps on a twist of each part, with a Gaussian prior. A twist (v, w) about a centre
# c takes x to R(w) (x - c) + c + v: v in metres, w a rotation vector in radians.

# Weight of "matches nothing" beside the kernel's peak of 1.
NO_MATCH = 0.03
# Logarithms below this are as good as none; numbers that underflow are slow on a CPU.
LEAST_LOG = -30.0


@dataclass(frozen=True)
class Clouds:
    """What is registered: points to others; ``log_affinity`` is how well each two match by kind (least: never)."""

    points: Float[Tensor, "b n 3"]
    others: Float[Tensor, "b m 3"]
    log_affinity: Float[Tensor, "b n m"]
    share: Float[Tensor, "b n j"]
    """How much each point belongs to each of j parts; rows sum to 1, or to 0 where there is no point."""
    centres: Float[Tensor, "b j 3"]
    """The place about which each part turns."""


Prior = Callable[[Float[Tensor, "b j 6"]], Float[Tensor, "b j 6"]]


def register(
    clouds: Clouds, twists: Float[Tensor, "b j 6"], prior: Prior, deviation: Float[Tensor, "*j 6"],
    widths_m: Sequence[float],
) -> Float[Tensor, "b j 6"]:  # fmt: skip
    """Improve the parts' twists, once for each kernel width; ``prior`` says what is expected, given the twists so far.

    ``deviation`` is the prior's standard deviation (m, rad).
    """
    for width_m in widths_m:
        here = blended(twists, clouds)
        weight, pull = matches(here, clouds, width_m)
        twists = _step(twists, here, clouds, weight, pull, prior(twists), deviation, width_m)
    return twists


def blended(twists: Float[Tensor, "b j 6"], clouds: Clouds) -> Float[Tensor, "b n 3"]:
    """Points moved by their parts: linear blend skinning."""
    turn = rotation(twists[..., 3:])
    shift = clouds.centres + twists[..., :3] - (turn @ clouds.centres[..., None])[..., 0]
    motion = clouds.share @ torch.cat([turn.flatten(-2), shift], -1)
    rows = motion[..., :9].view(*motion.shape[:-1], 3, 3)
    return (rows * clouds.points[..., None, :]).sum(-1) + motion[..., 9:]


def moved(twists: Float[Tensor, "b j 6"], centres: Float[Tensor, "b j 3"], places: Float[Tensor, "b j 3"]) -> Tensor:
    """Each place moved by the twist of its own part (b, j, 3)."""
    turn: Tensor = rotation(twists[..., 3:])
    return (turn @ (places - centres)[..., None])[..., 0] + centres + twists[..., :3]


def matches(
    here: Float[Tensor, "b n 3"], clouds: Clouds, width_m: float
) -> tuple[Float[Tensor, "b n"], Float[Tensor, "b n 3"]]:
    """How surely each moved point is matched (0..1), and the way (m) to its matches.

    Matches are drawn both ways, each point's and each other point's, and averaged: dense rings then pull no harder.
    """
    logarithm = torch.baddbmm(clouds.log_affinity, *_halved_squares(here, clouds.others, width_m))
    kernel = logarithm.clamp_min_(LEAST_LOG).exp_()
    ones, targets = torch.ones_like(clouds.others[..., :1]), clouds.others
    back = ones / (kernel.sum(1)[..., None] + NO_MATCH)
    gathered = kernel @ torch.cat([targets, ones, back * targets, back], -1)
    drawn = gathered[..., :4] / (gathered[..., 3:4] + NO_MATCH) + gathered[..., 4:]
    weight = drawn[..., 3] / 2
    return weight, drawn[..., :3] / drawn[..., 3:].clamp_min(1e-6) - here


def _halved_squares(a: Float[Tensor, "b n 3"], b: Float[Tensor, "b m 3"], width_m: float) -> tuple[Tensor, Tensor]:
    """Two factors whose product is - |a - b|^2 / (2 width^2)."""
    a, b = a / width_m, b / width_m
    square_a, square_b = a.square().sum(-1, keepdim=True), b.square().sum(-1, keepdim=True)
    one_a, one_b = torch.ones_like(square_a), torch.ones_like(square_b)
    return torch.cat([a, -square_a / 2, one_a], -1), torch.cat([b, one_b, -square_b / 2], -1).transpose(1, 2)


def _step(
    twists: Float[Tensor, "b j 6"], here: Float[Tensor, "b n 3"], clouds: Clouds, weight: Float[Tensor, "b n"],
    pull: Float[Tensor, "b n 3"], expected: Float[Tensor, "b j 6"], deviation: Float[Tensor, "*j 6"], noise_m: float,
) -> Float[Tensor, "b j 6"]:  # fmt: skip
    """One Gauss-Newton step: points' pulls with noise ``noise_m`` against the prior, for all parts at once."""
    centres = clouds.centres + twists[..., :3]
    columns = [torch.ones_like(weight)[..., None], here, pull, torch.linalg.cross(here, pull)]
    columns += [(here[..., :, None] * here[..., None, :]).flatten(-2)]
    sums = (clouds.share * weight[..., None] / noise_m**2).transpose(1, 2) @ torch.cat(columns, -1)
    mass, first, force, torque = sums[..., :1], sums[..., 1:4], sums[..., 4:7], sums[..., 7:10]
    second = sums[..., 10:].view(*centres.shape, 3)
    precision = deviation.square().reciprocal()
    normal = _normal(mass[..., None], first, second, centres) + torch.diag_embed(precision)
    torque = torque - torch.linalg.cross(centres, force)
    right = torch.cat([force, torque], -1) - precision * (twists - expected)
    solved: Tensor = torch.linalg.solve(normal, right)
    return twists + solved


def _normal(mass: Tensor, first: Tensor, second: Tensor, centres: Tensor) -> Float[Tensor, "b j 6 6"]:
    """J^T W J of the points about their part's centre, from their moments about the origin."""
    arm = first - mass[..., 0] * centres
    outer = second - first[..., :, None] * centres[..., None, :] - centres[..., :, None] * arm[..., None, :]
    eye = torch.eye(3, device=mass.device, dtype=mass.dtype)
    trace = outer.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None]
    lever = _skew(arm)
    upper, lower = torch.cat([mass * eye, -lever], -1), torch.cat([lever, trace * eye - outer], -1)
    return torch.cat([upper, lower], -2)


def _skew(a: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b 3 3"]:
    """The matrix of the cross product with ``a``."""
    x, y, z = a.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).view(*a.shape, 3)


# What each keypoint's part hangs on: the limbs of an arm or leg on the one above, the nose on the head.
_ABOVE: Final = {"nose": "head_center"} | {
    f"{side}_{part}": f"{side}_{above}"
    for side in ("left", "right")
    for part, above in (("elbow", "shoulder"), ("wrist", "elbow"), ("knee", "hip"), ("ankle", "knee"))
}
HANGING: Final = [INDEX[name] for name in _ABOVE]
ABOVE: Final = [INDEX[name] for name in _ABOVE.values()]


@dataclass(frozen=True)
class ArticulatedConfig:
    """Kernel widths of the matches, coarse to fine, and how far motions in 0.1 s stray from what is expected of them.

    Tuned on simulated people (motion capture, 0.1 s); deviations are (along x and y, z) in m, or in rad.
    """

    body_widths_m: tuple[float, ...] = (0.2, 0.1, 0.05)
    part_widths_m: tuple[float, ...] = (0.08, 0.04)
    body_m: tuple[float, float] = (0.15, 0.02)
    body_rad: tuple[float, float] = (0.2, 0.3)
    """Leaning, and turning about z."""
    trunk_m: float = 0.01
    trunk_rad: float = 0.08
    limb_m: float = 0.03
    limb_rad: float = 0.5
    other_part: float = 0.1
    """How well points match that surely lie on different parts, beside 1 for the same part."""


def articulated(
    pairs: PersonBatch, config: ArticulatedConfig | None = None, probability: Float[Tensor, "b 2 n 15"] | None = None
) -> PersonBatch:
    """The pairs (b, 2) with forward and backward flow (m), along their keypoints and parts, the network's or true.

    ``probability``: of each point's parts, in place of ``parts``. z must be up: people are expected to move along the
    ground and to turn about z. Background has no flow of its own, and no confidence.
    """
    config = config or ArticulatedConfig()
    if probability is None:
        probability = torch.nn.functional.one_hot(pairs.required("parts"), NUM_PARTS).to(pairs.points.dtype)
    probability = probability.masked_fill(~pairs.mask[..., None], 0.0)
    vectors = _solve(both_ways(pairs), torch.cat([probability, probability.flip(1)]), config)
    return _on_people(with_flow(pairs, *vectors.chunk(2)), probability)


def _solve(
    pairs: PersonBatch, probability: Float[Tensor, "b 2 n 15"], config: ArticulatedConfig
) -> Float[Tensor, "b n 3"]:
    """Displacements of the first crop's points: of the body as one piece, refined by part."""
    parts, parts1 = probability.unbind(1)
    (points, others), (keypoints, keypoints1) = pairs.points.unbind(1), pairs.required("keypoints").unbind(1)
    centre = _centroid(points, parts)
    points, others = points - centre, others - centre  # small numbers, exact distances
    keypoints, keypoints1 = keypoints - centre, keypoints1 - centre
    travel = (keypoints1 - keypoints).mean(1, keepdim=True) + _centroid(others, parts1)
    affinity = _log_affinity(parts, parts1, config.other_part)
    one = torch.ones_like(points[..., :1])
    whole = Clouds(points, others, affinity, one, torch.zeros_like(centre))
    pace = _pace(pairs)
    body = _body(whole, travel / 2, pace, config)
    belongs = parts[..., :BACKGROUND] / parts[..., :BACKGROUND].sum(-1, keepdim=True).clamp_min(1e-6)
    limbs = Clouds(points, others, affinity, belongs, keypoints)
    flow: Tensor = blended(_parts(limbs, body, pace, config), limbs) - points
    return flow


def _pace(pairs: PersonBatch) -> Float[Tensor, "#b 1 1"]:
    """How many times 0.1 s lie between both frames: motions may stray as many times as far."""
    if pairs.dt_s is None:
        return pairs.points.new_ones(1, 1, 1)
    return in_frames(pairs.dt_s[:, 1]).clamp_min(0.1)[:, None, None].to(pairs.points.dtype)


def _body(
    clouds: Clouds, travel: Float[Tensor, "b 1 3"], pace: Float[Tensor, "#b 1 1"], config: ArticulatedConfig
) -> Float[Tensor, "b 1 6"]:
    """The twist of the whole body, expected to travel along the ground as keypoints and points say."""
    level = travel * travel.new_tensor([1.0, 1.0, 0.0])
    expected = torch.cat([level, torch.zeros_like(level)], -1)
    (along, up), (lean, turn) = config.body_m, config.body_rad
    deviation = pace * travel.new_tensor([[along, along, up, lean, lean, turn]])
    return register(clouds, expected, lambda _: expected, deviation, config.body_widths_m)


def _parts(
    clouds: Clouds, body: Float[Tensor, "b 1 6"], pace: Float[Tensor, "#b 1 1"], config: ArticulatedConfig
) -> Float[Tensor, "b 14 6"]:
    """The twists of all parts: trunk and head move nearly as the body does, the others hang on the part above."""
    keypoints = clouds.centres
    with_body = body.expand(-1, NUM_KEYPOINTS, -1)
    shift = moved(with_body, torch.zeros_like(keypoints), keypoints) - keypoints
    start = torch.cat([shift, with_body[..., 3:]], -1)

    def expected(twists: Float[Tensor, "b 14 6"]) -> Float[Tensor, "b 14 6"]:
        joints, above = keypoints[:, HANGING], twists[:, ABOVE]
        hanging = torch.cat([moved(above, keypoints[:, ABOVE], joints) - joints, above[..., 3:]], -1)
        return start.index_copy(1, torch.tensor(HANGING, device=start.device), hanging)

    deviation = start.new_tensor([[config.trunk_m] * 3 + [config.trunk_rad] * 3]).repeat(NUM_KEYPOINTS, 1)
    deviation[HANGING] = start.new_tensor([config.limb_m] * 3 + [config.limb_rad] * 3)
    return register(clouds, start, expected, pace * deviation, config.part_widths_m)


def _log_affinity(
    parts: Float[Tensor, "b n 15"], parts1: Float[Tensor, "b m 15"], other_part: float
) -> Float[Tensor, "b n m"]:
    """Logarithm of how well points match by kind: both on the person, and on the same part; least without a point."""
    on, on1 = parts[..., :BACKGROUND], parts1[..., :BACKGROUND]
    person, person1 = on.sum(-1, keepdim=True), on1.sum(-1, keepdim=True)
    left = torch.cat([on * person, other_part * person], -1)
    right = torch.cat([on1 * person1, person1], -1)
    return (left @ right.transpose(1, 2)).clamp_min_(exp(LEAST_LOG)).log_()


def _centroid(points: Float[Tensor, "b n 3"], parts: Float[Tensor, "b n 15"]) -> Float[Tensor, "b 1 3"]:
    """Mean of the points on the person."""
    weight = parts[..., :BACKGROUND].sum(-1, keepdim=True)
    return (points * weight).sum(1, keepdim=True) / weight.sum(1, keepdim=True).clamp_min(1e-6)


def _on_people(pairs: PersonBatch, probability: Float[Tensor, "b 2 n 15"]) -> PersonBatch:
    """Confidence times the probability that the point is on the person at all."""
    person, sure = 1 - probability[..., BACKGROUND], pairs.required("flow_confidence")
    return replace(pairs, flow_confidence=(sure * person).masked_fill(sure == 0, 0.0))
