"""Points on a standing person with known parts, for scene flow that can be worked out by hand."""

from dataclasses import dataclass, replace

import torch
from people import STANDING
from torch import Tensor

from gckpl_ros.batch import PersonBatch
from gckpl_ros.skeleton import INDEX, LIMBS, NUM_PARTS


@dataclass(frozen=True)
class Figure:
    """n points on a person, in metres; ``parts`` (n, 15) is one-hot."""

    points: Tensor
    keypoints: Tensor
    parts: Tensor

    def on(self, *names: str) -> Tensor:
        """Which points lie on one of these parts."""
        return self.parts[:, [INDEX[name] for name in names]].any(1)


def figure(per_limb: int = 14, seed: int = 0) -> Figure:
    """Points up to 7 cm (per axis) from each limb, labelled by the limb's parent."""
    g, keypoints = torch.Generator().manual_seed(seed), torch.from_numpy(STANDING)
    points, labels = [], []
    for a, b in LIMBS:
        along, aside = torch.rand(per_limb, 1, generator=g), 2 * torch.rand(per_limb, 3, generator=g) - 1
        points.append(keypoints[a] + along * (keypoints[b] - keypoints[a]) + 0.07 * aside)
        labels += [a] * per_limb
    return Figure(torch.cat(points), keypoints, torch.nn.functional.one_hot(torch.tensor(labels), NUM_PARTS).float())


def pair(first: Tensor, second: Tensor) -> PersonBatch:
    """One person whose every point is seen, around one origin."""
    return pairs(first[None], second[None])


def pairs(first: Tensor, second: Tensor, mask: Tensor | None = None, mask1: Tensor | None = None) -> PersonBatch:
    """People (b, n, 3) and (b, m, 3) around one origin, 5 m before the sensor, all points seen unless it is said."""
    masks = [torch.ones(points.shape[:2], dtype=torch.bool) for points in (first, second)]
    frames = [
        PersonBatch(points, known if given is None else given, torch.tensor([5.0, 0.0, 0.0]).expand(len(points), -1))
        for points, known, given in zip((first, second), masks, (mask, mask1), strict=True)
    ]
    stacked = PersonBatch.stack(frames)
    return replace(stacked, origins=torch.zeros_like(stacked.views))


def turn(axis: str, degrees: float) -> Tensor:
    """Right-handed rotation about x, y or z."""
    angle = torch.tensor(degrees).deg2rad()
    c, s = angle.cos().item(), angle.sin().item()
    rows = {"x": [[1, 0, 0], [0, c, -s], [0, s, c]], "y": [[c, 0, s], [0, 1, 0], [-s, 0, c]]}
    return torch.tensor(rows.get(axis, [[c, -s, 0], [s, c, 0], [0, 0, 1]]), dtype=torch.float32)
