"""Teachers, which say what unlabelled people look like: one knows that keypoints move smoothly, one is a network."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from gckpl_ros.batch import FRAME_S, PersonBatch
from gckpl_ros.errors import InputError
from gckpl_ros.estimate.checkpoint import ADAPTED_FROM, Weights, fingerprint, write_weights
from gckpl_ros.estimate.network import KeypointNetwork, Origin
from gckpl_ros.geometry import bearing, rotation_z
from gckpl_ros.skeleton import NUM_KEYPOINTS


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
        said = network.predict(batch)
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


# The teacher that sees a person over time: what one frame hides or leaves open, the frames around it show.
#
# A small network looks at the keypoint network's tokens of several frames at once, along time and across keypoints, and
# corrects each frame's keypoints. It learns from simulated people alone; a single-frame student then learns from it.

FORMAT = "gckpl-temporal-1"


@dataclass(frozen=True)
class TemporalConfig:
    """Shape of the network; travels with its weights."""

    tokens: int = 128
    """Width of the keypoint network's tokens."""
    width: int = 96
    layers: int = 3
    heads: int = 4
    frames: int = 10
    """Of 0.1 s each: how long it looks at people, whatever the rate of the sensor."""


class TemporalNetwork(nn.Module):
    """Corrects what a keypoint network says of t frames; frames that were missed are not looked at."""

    def __init__(self, config: TemporalConfig | None = None, reads: str = "") -> None:
        """``reads``: fingerprint of the keypoint network from whose tokens it learns; empty where nobody knows."""
        super().__init__()
        self.reads, self.origin = reads, Origin()
        self.config = config = config or TemporalConfig()
        self.glimpse = nn.Linear(config.tokens + 3 + 1 + 3, config.width)
        self.joint = nn.Parameter(torch.randn(NUM_KEYPOINTS, config.width) * 0.1)
        self.time = nn.Parameter(torch.randn(config.frames, 1, config.width) * 0.1)
        self.blocks = nn.ModuleList(TemporalBlock(config.width, config.heads) for _ in range(config.layers))
        self.correct = nn.Linear(config.width, 3)
        nn.init.zeros_(self.correct.weight)
        nn.init.zeros_(self.correct.bias)

    def forward(self, people: PersonBatch, tokens: Float[Tensor, "b t 14 c"]) -> Float[Tensor, "b t 14 3"]:
        """Keypoints relative to each frame's origin (m); those of missed frames mean nothing.

        ``people`` carry what the keypoint network says of each frame alone, ``tokens`` are its own.
        """
        frames, views, origins = people.seen, people.views, people.required("origins")
        confidence = people.required("confidence")
        turn = _turn_to_first_view(views, frames)
        placed = people.required("keypoints") + origins[:, :, None]
        weight = (confidence * frames[..., None] + 1e-6)[..., None]
        centre = (placed * weight).sum((1, 2), keepdim=True) / weight.sum((1, 2), keepdim=True)
        local = (placed - centre) @ turn
        view = (views[:, :, None] @ turn).expand_as(local) / 10
        glimpse = torch.cat([tokens.to(local.dtype), local, confidence[..., None], view], -1)
        x = self.glimpse(glimpse * frames[..., None, None]) + self.joint + self._times(people.times)
        for block in self.blocks:
            x = block(x, frames)
        said: Tensor = (local + self.correct(x)) @ turn.transpose(-1, -2) + centre - origins[:, :, None]
        return said

    def understands(self, network: KeypointNetwork) -> bool:
        """Whether it learnt from this network's tokens, or from those of the one that a robot adapted it from.

        The tokens of adapted weights drift by little; files from before they told whose they read are believed.
        """
        known = {"", fingerprint(network), network.origin.metadata.get(ADAPTED_FROM, "")}
        return self.config.tokens == network.token_width and self.reads in known

    def _times(self, times: Float[Tensor, "b t"]) -> Float[Tensor, "b t 1 c"]:
        """The learnt table, an entry for every 0.1 s, read at any time between; at its end the last entry goes on."""
        place = times.clamp(0, len(self.time) - 1)
        before = place.long()
        after = (before + 1).clamp_max(len(self.time) - 1)
        return self.time[before] + (place - before)[..., None, None] * (self.time[after] - self.time[before])


class TemporalBlock(nn.Module):
    """Each keypoint looks along time, then at the other keypoints of its frame, and thinks."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.along_time = nn.MultiheadAttention(width, heads, batch_first=True)
        self.across_keypoints = nn.MultiheadAttention(width, heads, batch_first=True)
        self.think = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Float[Tensor, "b t k c"], frames: Bool[Tensor, "b t"]) -> Float[Tensor, "b t k c"]:
        """The same tokens, changed."""
        b, t, k, width = x.shape
        rows = self.norms[0](x).transpose(1, 2).reshape(b * k, t, width)
        missed = (~frames).repeat_interleave(k, 0)
        looked = self.along_time(rows, rows, rows, key_padding_mask=missed, need_weights=False)[0]
        x = x + looked.view(b, k, t, width).transpose(1, 2)
        rows = self.norms[1](x).reshape(b * t, k, width)
        x = x + self.across_keypoints(rows, rows, rows, need_weights=False)[0].view(b, t, k, width)
        thought: Tensor = x + self.think(self.norms[2](x))
        return thought


class TemporalTeacher:
    """Keypoints corrected over time by a temporal network; confidence and parts are the keypoint network's own."""

    def __init__(self, temporal: TemporalNetwork, network: KeypointNetwork) -> None:
        """``network`` is the one that will be asked; raises InputError where its tokens are not those that it reads."""
        if not temporal.understands(network):
            name, loaded = temporal.origin.path, network.origin.path
            raise InputError(
                f"temporal network {name} reads the tokens of keypoint network {temporal.reads[:12] or 'unknown'} "
                f"({temporal.config.tokens} wide), but {loaded} ({fingerprint(network)[:12]}, {network.token_width} "
                f"wide) is loaded: train one with `gckpl train temporal --weights {loaded or 'FILE'}`, or do without "
                "(leave adapt.teacher empty; --teacher smoothing in training)"
            )
        self.temporal = temporal.eval()

    @torch.inference_mode()
    def __call__(self, network: KeypointNetwork, people: PersonBatch) -> PersonBatch:
        """Keypoints as the temporal network corrects them."""
        single, tokens = estimate_with_tokens(network, people)
        return replace(single, keypoints=self.temporal(single, tokens))


def save_temporal(path: Path, network: TemporalNetwork, provenance: Mapping[str, str]) -> None:
    """Write a temporal network, whose tokens it reads and where it comes from; raises InputError where it cannot."""
    described = {"format": FORMAT, "network": json.dumps(asdict(network.config)), "reads": network.reads}
    write_weights(path, network, {**provenance, **described})


def load_temporal(path: str | Path = "") -> TemporalNetwork:
    """Read a temporal network; an empty path reads the one that ships. Raises InputError."""
    weights = Weights.read(Path(path) if path else Path(str(files("gckpl_ros.weights") / "temporal.safetensors")))
    metadata = weights.metadata
    if metadata.get("format") != FORMAT:
        raise InputError(f"{weights.path} holds no temporal network (format {metadata.get('format', 'none')})")
    network = TemporalNetwork(TemporalConfig(**json.loads(metadata["network"])), metadata.get("reads", ""))
    weights.fill(network)
    network.origin = Origin(str(weights.path), metadata)
    return network.eval()


def _turn_to_first_view(views: Float[Tensor, "b t 3"], frames: Bool[Tensor, "b t"]) -> Float[Tensor, "b 1 3 3"]:
    """Rotation about z as a right factor that has the first seen frame's line of sight along +x."""
    first = views[torch.arange(len(views), device=views.device), frames.to(torch.uint8).argmax(1)]
    return rotation_z(bearing(first))[:, None]
