"""Registration of a body of rigid parts to a cloud: soft matches, and the most probable motion that explains them.

Matches as in Coherent Point Drift (Myronenko and Song, 2010) with a given width instead of an estimated one, drawn
both ways; motions by Gauss-Newton steps on a twist of each part, with a Gaussian prior. A twist (v, w) about a centre
c takes x to R(w) (x - c) + c + v: v in metres, w a rotation vector in radians.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import roma
import torch
from jaxtyping import Float
from torch import Tensor

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
    rotation: Tensor = roma.rotvec_to_rotmat(twists[..., 3:])
    shift = clouds.centres + twists[..., :3] - (rotation @ clouds.centres[..., None])[..., 0]
    motion = clouds.share @ torch.cat([rotation.flatten(-2), shift], -1)
    rows = motion[..., :9].view(*motion.shape[:-1], 3, 3)
    return (rows * clouds.points[..., None, :]).sum(-1) + motion[..., 9:]


def moved(twists: Float[Tensor, "b j 6"], centres: Float[Tensor, "b j 3"], places: Float[Tensor, "b j 3"]) -> Tensor:
    """Each place moved by the twist of its own part (b, j, 3)."""
    rotation: Tensor = roma.rotvec_to_rotmat(twists[..., 3:])
    return (rotation @ (places - centres)[..., None])[..., 0] + centres + twists[..., :3]


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
