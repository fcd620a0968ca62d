"""What there is to learn from: tracklets with a teacher's answers and their flow, drawn as pairs of frames."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from gckpl_ros.adapt.targets import Targets
from gckpl_ros.adapt.tracklets import Tracklets
from gckpl_ros.flow.articulated import articulated
from gckpl_ros.flow.types import Flow
from gckpl_ros.skeleton import NUM_PARTS


@dataclass(frozen=True)
class Lesson:
    """b pairs of consecutive frames: tracklets and targets of two frames, flow forward and backward (m)."""

    tracklets: Tracklets
    targets: Targets
    flows: tuple[Flow, Flow]

    def __len__(self) -> int:
        return len(self.tracklets)

    @property
    def shift(self) -> Float[Tensor, "b 3"]:
        """From the first frame's origin to the second's, m."""
        return self.tracklets.origins[:, 1] - self.tracklets.origins[:, 0]


def lesson(
    tracklets: Tracklets,
    targets: Targets,
    person: Int64[Tensor, " b"],
    frame: Int64[Tensor, " b"],
    with_flow: bool = True,
) -> Lesson:
    """The pair (frame, frame + 1) of each chosen person, with the flow that the targets lead to, or none."""
    at, rows = torch.stack([frame, frame + 1], 1), person[:, None]
    mask = tracklets.mask[rows, at]
    longest = max(int(mask.sum(-1).amax()), 1)
    points, parts = tracklets.points[rows, at][:, :, :longest], targets.parts[rows, at][:, :, :longest]
    pair = Tracklets(points, mask[..., :longest], tracklets.views[rows, at], tracklets.origins[rows, at])
    said = Targets(targets.keypoints[rows, at], targets.confidence[rows, at], parts)
    return Lesson(pair, said, _flows(pair, said) if with_flow else (_still(pair, 0), _still(pair, 1)))


def lesson_batches(
    tracklets: Tracklets, targets: Targets, size: int, generator: torch.Generator, with_flow: bool = True
) -> Iterator[Lesson]:
    """Every pair of consecutive frames with points once, in random order, pairs of similar point count together."""
    counts = tracklets.mask.sum(-1)
    person, frame = (tracklets.seen[:, :-1] & tracklets.seen[:, 1:]).nonzero(as_tuple=True)
    largest = torch.maximum(counts[person, frame], counts[person, frame + 1])
    jitter = 1 + 0.2 * torch.rand(len(person), generator=generator, device=person.device)
    chunks = torch.split((largest * jitter).argsort(), size)
    for index in torch.randperm(len(chunks), generator=generator, device=person.device).tolist():
        yield lesson(tracklets, targets, person[chunks[index]], frame[chunks[index]], with_flow)


def _flows(pair: Tracklets, said: Targets) -> tuple[Flow, Flow]:
    later = (pair.origins[:, 1] - pair.origins[:, 0])[:, None]
    parts = torch.nn.functional.one_hot(said.parts, NUM_PARTS).to(pair.points.dtype) * pair.mask[..., None]
    keypoints = said.keypoints
    return articulated(pair.pairs(), keypoints[:, 0], parts[:, 0], keypoints[:, 1] + later, parts[:, 1])


def _still(pair: Tracklets, frame: int) -> Flow:
    points = pair.points[:, frame]
    return Flow(torch.zeros_like(points), torch.zeros_like(points[..., 0]))
