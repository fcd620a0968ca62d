"""What a teacher says of unlabelled people, and the teacher that needs nothing but time: keypoints move smoothly."""

from dataclasses import dataclass, fields
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from gckpl_ros.estimate.network import KeypointNetwork
from gckpl_ros.people.tracklets import Tracklets


@dataclass(frozen=True)
class Targets:
    """Pseudo-labels of tracklets: keypoints (m) relative to each frame's origin, how sure (0..1), part of each point.

    The confidence is 0 where nothing is said: in frames without points.
    """

    keypoints: Float[Tensor, "b t 14 3"]
    confidence: Float[Tensor, "b t 14"]
    parts: Int64[Tensor, "b t n"]

    def __len__(self) -> int:
        return len(self.keypoints)

    def rows(self, index: Tensor) -> "Targets":
        """The chosen people."""
        return Targets(*(getattr(self, one.name)[index] for one in fields(self)))


@runtime_checkable
class Teacher(Protocol):
    """Says what a student should learn; ``network`` is not changed."""

    def __call__(self, network: KeypointNetwork, tracklets: Tracklets) -> Targets:
        """Pseudo-labels of all frames."""
        ...


def estimate(network: KeypointNetwork, tracklets: Tracklets) -> Targets:
    """The paper's pseudo-labels: what the network says of each frame alone."""
    return estimate_with_tokens(network, tracklets)[0]


@torch.inference_mode()
def estimate_with_tokens(
    network: KeypointNetwork, tracklets: Tracklets, size: int = 256
) -> tuple[Targets, Float[Tensor, "b t 14 c"]]:
    """The same with the network's tokens, in batches of crops of like size."""
    points, mask, views = tracklets.crops()
    counts = mask.sum(1)
    order = counts.argsort()
    columns: list[tuple[Tensor, ...]] = []
    for rows in torch.split(order, size):
        longest = max(int(counts[rows].max()), 1)
        said = network(points[rows, :longest], mask[rows, :longest], views[rows])
        parts = torch.nn.functional.pad(said.part_logits.argmax(-1), (0, points.shape[1] - longest))
        sure = said.confidence_logit.sigmoid() * (counts[rows] > 0)[:, None]
        columns.append((said.keypoints, sure, parts, said.tokens))
    back, people = order.argsort(), (len(tracklets), tracklets.frames)
    joined = (torch.cat(column)[back] for column in zip(*columns, strict=True))
    *said_of_all, tokens = (values.view(*people, *values.shape[1:]) for values in joined)
    return Targets(*said_of_all), tokens


class SingleTeacher:
    """The paper's: what the network itself says of each frame alone."""

    def __call__(self, network: KeypointNetwork, tracklets: Tracklets) -> Targets:
        """The network's own answers."""
        return estimate(network, tracklets)


class SmoothingTeacher:
    """Each keypoint moves nearly straight for a moment: local linear regression over frames, by confidence."""

    def __init__(self, width_frames: float = 1.0) -> None:
        """``width_frames``: standard deviation of the Gaussian window."""
        self.width_frames = width_frames

    def __call__(self, network: KeypointNetwork, tracklets: Tracklets) -> Targets:
        """The network's own keypoints, smoothed in the fixed frame."""
        single = estimate(network, tracklets)
        origins = tracklets.origins[:, :, None]
        smooth = smoothed(single.keypoints + origins, single.confidence, self.width_frames) - origins
        return Targets(smooth, single.confidence, single.parts)


def smoothed(
    keypoints: Float[Tensor, "b t 14 3"], confidence: Float[Tensor, "b t 14"], width_frames: float
) -> Float[Tensor, "b t 14 3"]:
    """Value at each frame of the line fitted to the frames around it, weighted by squared confidence and nearness."""
    time = torch.arange(keypoints.shape[1], dtype=keypoints.dtype, device=keypoints.device)
    apart = time - time[:, None]
    kernel = torch.exp(-(apart / width_frames).square() / 2)
    weight = kernel[None, :, :, None] * (confidence.square() + 1e-4)[:, None]
    moments = [(weight * apart[None, :, :, None] ** power).sum(2)[..., None] for power in range(3)]
    sums = [torch.einsum("bqtj,btjc->bqjc", weight * apart[None, :, :, None] ** power, keypoints) for power in range(2)]
    spread = moments[0] * moments[2] - moments[1].square()
    line = (moments[2] * sums[0] - moments[1] * sums[1]) / spread.clamp_min(1e-12)
    return torch.where(spread > 1e-6 * moments[0].square(), line, sums[0] / moments[0])
