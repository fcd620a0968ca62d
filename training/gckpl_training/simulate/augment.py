"""Augmentations of simulated crops: what real clouds do to a person's points beyond what the scanner explains.

Sources: GC-KPL (CVPR 2023, Stage I: down-sampling, masking, background clusters, noise) and DAPT's synthesis recipe.
All work on padded batches and return a mask of the points that stay; padding may lie anywhere.
"""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor


def thin(mask: Bool[Tensor, "b n"], generator: torch.Generator, chance: float, least: float) -> Bool[Tensor, "b n"]:
    """In a share ``chance`` of the rows, keep a random share U(least, 1) of the points."""
    keep = 1 - (1 - least) * _rand(mask, generator) * _happens(mask, generator, chance)
    return mask & (torch.rand(mask.shape, generator=generator, device=mask.device) < keep[:, None])


def thin_beams(
    mask: Bool[Tensor, "b n"], beam: Int64[Tensor, "b n"], generator: torch.Generator, chance: float
) -> Bool[Tensor, "b n"]:
    """In a share ``chance`` of the rows, only some beams return: a sparser sensor.

    Half of those rows keep every second or third beam, half keep each beam with a probability U(0.15, 0.6).
    """
    every = 2 + (_rand(mask, generator) < 0.5).long()
    first = (3 * _rand(mask, generator)).long()
    regular = (beam + first[:, None]) % every[:, None] == 0
    beams = int(beam.amax()) + 1 if beam.numel() else 1
    share = 0.15 + 0.45 * _rand(mask, generator)
    table = torch.rand(len(mask), beams, generator=generator, device=mask.device) < share[:, None]
    irregular = table.gather(1, beam.clamp_min(0))
    stays = torch.where(_happens(mask, generator, 0.5)[:, None], regular, irregular)
    return mask & (stays | ~_happens(mask, generator, chance)[:, None])


def hide(
    points: Float[Tensor, "b n 3"],
    mask: Bool[Tensor, "b n"],
    generator: torch.Generator,
    chance: float,
    radius_m: float,
) -> Bool[Tensor, "b n"]:
    """In a share ``chance`` of the rows, nothing returns from a ball (radius up to ``radius_m``) around one point."""
    if not mask.shape[1]:  # the sensor sees nobody of them
        return mask
    centre = points.gather(1, _pick(mask, generator)[:, None, None].expand(-1, 1, 3))
    radius = radius_m * _rand(mask, generator) * _happens(mask, generator, chance)
    return mask & ((points - centre).norm(dim=-1) >= radius[:, None])


def jitter(points: Float[Tensor, "b n 3"], generator: torch.Generator, sigma_m: float) -> Float[Tensor, "b n 3"]:
    """Isotropic noise whose sigma differs from row to row, U(0, sigma_m)."""
    noise = torch.randn(points.shape, generator=generator, device=points.device)
    return points + noise * (sigma_m * torch.rand(len(points), 1, 1, generator=generator, device=points.device))


def blobs(
    count: int, size: Float[Tensor, "b 3"], generator: torch.Generator, chance: float
) -> tuple[Float[Tensor, "b c 3"], Bool[Tensor, "b c"]]:
    """Background clusters of up to ``count`` points, radius up to 0.3 m, within boxes of ``size`` around the origin."""
    b, device = len(size), size.device
    centre = (torch.rand(b, 1, 3, generator=generator, device=device) - 0.5) * size[:, None]
    spread = 0.15 * torch.rand(b, 1, 1, generator=generator, device=device)
    points = centre + spread * torch.randn(b, count, 3, generator=generator, device=device)
    number = count * torch.rand(b, generator=generator, device=device)
    number = number * (torch.rand(b, generator=generator, device=device) < chance)
    return points, torch.arange(count, device=device) < number[:, None]


def _pick(mask: Bool[Tensor, "b n"], generator: torch.Generator) -> Int64[Tensor, " b"]:
    score = torch.rand(mask.shape, generator=generator, device=mask.device) * mask
    return score.argmax(1)


def _rand(mask: Tensor, generator: torch.Generator) -> Float[Tensor, " b"]:
    return torch.rand(len(mask), generator=generator, device=mask.device)


def _happens(mask: Tensor, generator: torch.Generator, chance: float) -> Bool[Tensor, " b"]:
    return _rand(mask, generator) < chance


def cut_off(
    points: Float[Tensor, "b n 3"],
    mask: Bool[Tensor, "b n"],
    generator: torch.Generator,
    chance: float,
    least: int = 12,
) -> Bool[Tensor, "b n"]:
    """In a share ``chance`` of the rows, the field of view of the sensor at the origin ends across the person.

    On the left, on the right, above or below: up to half of the points lie beyond; rows keep ``least`` points.
    """
    flat = points[..., :2].norm(dim=-1)
    middle = (points[..., :2] * mask[..., None]).sum(1, keepdim=True)
    across = points[..., 0] * middle[..., 1] - points[..., 1] * middle[..., 0]
    azimuth = across / (flat * middle.norm(dim=-1)).clamp_min(1e-6)  # sine of the bearing off the person's middle
    elevation = points[..., 2] / flat.clamp_min(1e-6)
    angle = torch.where(_happens(mask, generator, 0.5)[:, None], azimuth, elevation)
    angle = torch.where(_happens(mask, generator, 0.5)[:, None], angle, -angle)
    share = 0.5 * _rand(mask, generator) * _happens(mask, generator, chance)
    there = mask.sum(1)
    beyond = torch.minimum((share * there).long(), (there - least).clamp_min(0))
    rank = angle.masked_fill(~mask, -torch.inf).argsort(1, descending=True).argsort(1)
    return mask & (rank >= beyond[:, None])
