"""What a teacher says of unlabelled people, and the teacher that needs nothing but time: keypoints move smoothly."""

from dataclasses import replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from gckpl_ros.batch import FRAME_S, PersonBatch
from gckpl_ros.estimate.network import KeypointNetwork


@runtime_checkable
class Teacher(Protocol):
    """Says what a student should learn; ``network`` is not changed."""

    def __call__(self, network: KeypointNetwork, people: PersonBatch) -> PersonBatch:
        """Tracklets with pseudo-labels of all frames: keypoints, confidence, parts."""
        ...


def estimate(network: KeypointNetwork, people: PersonBatch) -> PersonBatch:
    """The paper's pseudo-labels: what the network says of each frame alone."""
    return estimate_with_tokens(network, people)[0]


@torch.inference_mode()
def estimate_with_tokens(
    network: KeypointNetwork, people: PersonBatch, size: int = 256
) -> tuple[PersonBatch, Float[Tensor, "b t 14 c"]]:
    """The same with the network's tokens, in batches of crops of like size."""
    crops = people.flat()
    counts, room = crops.mask.sum(1), crops.mask.shape[1]
    order = counts.argsort()
    columns: list[tuple[Tensor, ...]] = []
    for rows in torch.split(order, size):
        batch = crops.rows(rows)
        said = network(*batch.inputs)
        parts = torch.nn.functional.pad(said.part_logits.argmax(-1), (0, room - batch.mask.shape[1]))
        sure = said.confidence_logit.sigmoid() * batch.seen[:, None]
        columns.append((said.keypoints, sure, parts, said.tokens))
    back, shape = order.argsort(), people.mask.shape[:-1]
    joined = (torch.cat(column)[back] for column in zip(*columns, strict=True))
    keypoints, confidence, parts, tokens = (values.view(*shape, *values.shape[1:]) for values in joined)
    return replace(people, keypoints=keypoints, keypoint_mask=None, confidence=confidence, parts=parts), tokens


class SingleTeacher:
    """The paper's: what the network itself says of each frame alone."""

    def __call__(self, network: KeypointNetwork, people: PersonBatch) -> PersonBatch:
        """The network's own answers."""
        return estimate(network, people)


class SmoothingTeacher:
    """Each keypoint moves nearly straight for a moment: local linear regression over frames, by confidence."""

    def __init__(self, width_s: float = FRAME_S) -> None:
        """``width_s``: standard deviation of the Gaussian window."""
        self.width_s = width_s

    def __call__(self, network: KeypointNetwork, people: PersonBatch) -> PersonBatch:
        """The network's own keypoints, smoothed in the fixed frame."""
        single = estimate(network, people)
        origins = people.required("origins")[:, :, None]
        keypoints, confidence = single.required("keypoints"), single.required("confidence")
        smooth = smoothed(keypoints + origins, confidence, people.times, self.width_s / FRAME_S)
        return replace(single, keypoints=smooth - origins)


def smoothed(
    keypoints: Float[Tensor, "b t 14 3"],
    confidence: Float[Tensor, "b t 14"],
    times: Float[Tensor, "#b t"],
    width: float,
) -> Float[Tensor, "b t 14 3"]:
    """Value at each time of the line fitted to the frames around it, weighted by squared confidence and nearness.

    ``times`` and the Gaussian window's ``width`` are in the same unit.
    """
    apart = (times[:, None] - times[:, :, None])[..., None]
    kernel = torch.exp(-(apart / width).square() / 2)
    weight = kernel * (confidence.square() + 1e-4)[:, None]
    moments = [(weight * apart**power).sum(2)[..., None] for power in range(3)]
    sums = [torch.einsum("bqtj,btjc->bqjc", weight * apart**power, keypoints) for power in range(2)]
    spread = moments[0] * moments[2] - moments[1].square()
    line = (moments[2] * sums[0] - moments[1] * sums[1]) / spread.clamp_min(1e-12)
    return torch.where(spread > 1e-6 * moments[0].square(), line, sums[0] / moments[0])
