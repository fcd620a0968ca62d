"""Scene flow of people: what it works on, how sure it is of each point, and the method that GC-KPL learns from.

A pair is a ``PersonBatch`` of shape (b, 2): z up, the sensor's own motion removed, so that a standing person does not
move. Flow (m) of each frame's points leads to the other frame: forward of the first, backward of the second.
"""

from dataclasses import dataclass, replace
from itertools import pairwise
from math import prod

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gckpl_ros.batch import PersonBatch


def both_ways(pairs: PersonBatch) -> PersonBatch:
    """2 b problems in one batch, first each pair forward, then each backward, around each pair's first origin.

    Points are zero where there is none, so that what padding held (NaN too) cannot matter.
    """
    pairs = pairs.around_first()
    backward = replace(PersonBatch.stack([pairs.frame(1), pairs.frame(0)]), dt_s=pairs.dt_s)
    return PersonBatch.join([pairs, backward])


# Distances between the points of two masked batches.

# Added to the squared distance for each of both points that does not exist.
FAR_M2 = 1e6


def squared_distances(
    a: Float[Tensor, "b n 3"], mask_a: Bool[Tensor, "b n"], b: Float[Tensor, "b m 3"], mask_b: Bool[Tensor, "b m"]
) -> Float[Tensor, "b n m"]:
    """Squared distances (m^2) of all points of a row to each other; ``FAR_M2`` or more where one does not exist."""
    square_a = a.square().sum(-1) + FAR_M2 * ~mask_a
    square_b = b.square().sum(-1) + FAR_M2 * ~mask_b
    distance = torch.baddbmm(square_b[:, None], a, b.transpose(1, 2), alpha=-2)
    return (distance + square_a[..., None]).clamp_min(0)


# How sure a flow is of each point: does the point land on the other crop, and does the backward flow lead back?

# Confidence falls to 0.6 where a point lands this far from the other crop, or comes back this far from its start.
LAND_M = 0.1
CYCLE_M = 0.05


def with_flow(pairs: PersonBatch, forward: Float[Tensor, "b n 3"], backward: Float[Tensor, "b n 3"]) -> PersonBatch:
    """The pairs with both flows, and their confidence from the Chamfer and the cycle check.

    Flow and confidence are zero where masked, or where the other crop is empty.
    """
    around = pairs.around_first()
    flows = [_checked(around, 0, forward, backward), _checked(around, 1, backward, forward)]
    flow, confidence = (torch.stack(values, 1) for values in zip(*flows, strict=True))
    return replace(pairs, flow=flow, flow_confidence=confidence)


def _checked(
    pairs: PersonBatch, place: int, forward: Float[Tensor, "b n 3"], backward: Float[Tensor, "b n 3"]
) -> tuple[Float[Tensor, "b n 3"], Float[Tensor, "b n"]]:
    here, there = pairs.frame(place), pairs.frame(1 - place)
    real = here.mask & there.mask.any(1, keepdim=True)
    forward = forward.masked_fill(~real[..., None], 0.0)
    if not real.any():
        return forward, torch.zeros_like(forward[..., 0])
    landed = (here.points + forward).masked_fill(~real[..., None], 0.0)
    missed, nearest = squared_distances(landed, real, there.points, there.mask).min(2)
    returned = forward + backward.gather(1, nearest[..., None].expand(-1, -1, 3))
    doubt = missed / (2 * LAND_M**2) + returned.square().sum(-1) / (2 * CYCLE_M**2)
    return forward, doubt.neg().exp() * real


# Neural Scene Flow Prior: a small network fitted to each crop at test time; the flow that GC-KPL learns from.
#
# Li et al., Neural Scene Flow Prior, NeurIPS 2021; GC-KPL (CVPR 2023), section 3.2. Thorough and slow: the measure for
# faster methods. All crops of all people, forward and backward in time, are solved as one batch of matrix products.


@dataclass(frozen=True)
class NsfpConfig:
    """The paper's settings; ``patience`` in steps without an improvement of ``least_gain`` (m^2)."""

    layers: int = 8
    width: int = 128
    learning_rate: float = 8e-3
    steps: int = 5000
    patience: int = 100
    least_gain: float = 1e-4
    truncate_m: float = 1.0
    """Points that find nothing within this distance do not count."""
    seed: int = 0

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """Inputs and outputs of each layer, the bias being one more input."""
        widths = [3, *[self.width] * self.layers, 3]
        return [(inputs + 1, outputs) for inputs, outputs in pairwise(widths)]


def nsfp(pairs: PersonBatch, config: NsfpConfig | None = None) -> PersonBatch:
    """The pairs (b, 2) with both flows (m); each person is fitted independently of the others, in any mode of torch."""
    with torch.inference_mode(False), torch.no_grad():
        forward, backward = _solve(both_ways(pairs), config or NsfpConfig()).chunk(2)
    return with_flow(pairs, forward, backward)


def _solve(pairs: PersonBatch, config: NsfpConfig) -> Float[Tensor, "b n 3"]:
    """The flow with the least loss that each problem saw before its patience ended; zero where a crop is empty."""
    best_flow = torch.zeros_like(pairs.points[:, 0])
    rows = pairs.seen.all(1).nonzero()[:, 0]
    adam = _Adam(_initial(config, len(rows), best_flow), config.learning_rate)
    best, waited = torch.full((len(rows),), torch.inf).to(best_flow), torch.zeros_like(rows)
    for _ in range(config.steps):
        if len(rows) == 0:
            break
        with torch.enable_grad():
            weights = adam.weights.detach().requires_grad_()
            loss, flow = _loss(weights, pairs.points[rows], pairs.mask[rows], config)
            (gradient,) = torch.autograd.grad(loss.sum(), weights)
        adam.step(gradient)
        loss, better = loss.detach(), loss.detach() < best
        best_flow[rows[better]] = flow.detach()[better]
        waited = torch.where(loss < best - config.least_gain, 0, waited + 1)
        best = torch.minimum(best, loss)
        going = waited < config.patience
        if not going.all():
            rows, best, waited = rows[going], best[going], waited[going]
            adam.keep(going)
    return best_flow


def _loss(
    weights: Float[Tensor, "b w"], points: Float[Tensor, "b 2 n 3"], mask: Bool[Tensor, "b 2 n"], config: NsfpConfig
) -> tuple[Float[Tensor, " b"], Float[Tensor, "b n 3"]]:
    """Chamfer distance of the moved points to the other crop, plus that of the points moved back to where they were."""
    (here, there), (real, real_there) = points.unbind(1), mask.unbind(1)
    forward, backward = weights.chunk(2, 1)
    flow = _network(forward, here, config)
    moved = here + flow
    returned = moved + _network(backward, moved, config)
    landed = _chamfer(moved, real, there, real_there, config.truncate_m)
    return landed + _chamfer(returned, real, here, real, config.truncate_m), flow


def _network(weights: Float[Tensor, "b w"], points: Float[Tensor, "b n 3"], config: NsfpConfig) -> Tensor:
    """Each row's own multi-layer perceptron with ReLU, on that row's points."""
    values, start = points, 0
    for depth, shape in enumerate(config.shapes):
        layer = weights[:, start : start + prod(shape)].view(-1, *shape)
        start += prod(shape)
        values = torch.baddbmm(layer[:, -1:], values.relu() if depth else values, layer[:, :-1])
    return values


def _initial(config: NsfpConfig, problems: int, like: Tensor) -> Float[Tensor, "b w"]:
    """Xavier's uniform weights and no bias, for two networks; the same for every problem."""
    generator = torch.Generator().manual_seed(config.seed)
    layers = []
    for inputs, outputs in config.shapes * 2:
        limit = (6 / (inputs - 1 + outputs)) ** 0.5
        layer = (2 * torch.rand(inputs, outputs, generator=generator) - 1) * limit
        layer[-1] = 0
        layers.append(layer.flatten())
    return torch.cat(layers).to(like).expand(problems, -1).contiguous()


def _chamfer(
    a: Float[Tensor, "b n 3"], mask_a: Bool[Tensor, "b n"], b: Float[Tensor, "b m 3"], mask_b: Bool[Tensor, "b m"],
    truncate_m: float,
) -> Float[Tensor, " b"]:  # fmt: skip
    """Mean squared distance to the nearest point, both ways (m^2); distances beyond the limit count as none."""
    distance = squared_distances(a, mask_a, b, mask_b)
    near = torch.cat([distance.amin(2), distance.amin(1)], 1)
    share = [mask / mask.sum(1, keepdim=True).clamp_min(1) for mask in (mask_a, mask_b)]
    return (near * (near < truncate_m**2) * torch.cat(share, 1)).sum(1)


class _Adam:
    """Adam (Kingma and Ba, 2015) on rows that can leave the batch."""

    def __init__(self, weights: Float[Tensor, "b w"], rate: float) -> None:
        self.weights, self.rate, self.steps = weights, rate, 0
        self.first, self.second = torch.zeros_like(weights), torch.zeros_like(weights)

    def step(self, gradient: Float[Tensor, "b w"]) -> None:
        self.steps += 1
        self.first = self.first.lerp(gradient, 0.1)
        self.second = self.second.lerp(gradient.square(), 0.001)
        mean = self.first / (1 - 0.9**self.steps)
        scale = (self.second / (1 - 0.999**self.steps)).sqrt() + 1e-8
        self.weights = self.weights - self.rate * mean / scale

    def keep(self, rows: Bool[Tensor, " b"]) -> None:
        self.weights, self.first, self.second = self.weights[rows], self.first[rows], self.second[rows]
