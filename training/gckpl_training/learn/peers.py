"""Keypoint networks of the field, for comparison: plain torch, written from their papers, each as its authors size it.

- The paper's backbone: HUM3DIL (Zanfir et al., CoRL 2022) as GC-KPL uses it: random Fourier features of the points,
  full self-attention over all points and 14 keypoint queries, width 256, 4 layers, 8 heads.
- PointNet (Qi et al., CVPR 2017): a shared perceptron, the maximum over points, a perceptron; without its T-Nets.
- A regressor of PRN's kind (LiDAR-HMR, Fan et al., 2023; Point Transformer, Zhao et al., ICCV 2021): vector attention
  among 16 neighbours in stages of a quarter of the points each, then a pooling of the points for every keypoint.

All see a person as our own does: centred, turned so that the sensor looks along +x, with range, height and number of
points told. The loss, the confidence and the parts of the points are the same too.
"""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import ClassVar, Final

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from gckpl_ros.estimate.network import KeypointNetwork, Prediction
from gckpl_ros.estimate.tokens import mlp
from gckpl_ros.geometry import bearing, rotation_z
from gckpl_ros.skeleton import NUM_KEYPOINTS, NUM_PARTS

_CONTEXT: Final = 6


class Peer(KeypointNetwork):
    """What the peers share: the frame that they see people in, and the heads for parts and confidence."""

    width: int
    """Of what is known of each keypoint, and of each point."""
    point_width: int

    def heads(self) -> None:
        """Make the heads; each network calls it once its widths are known."""
        self.parts = nn.Linear(self.point_width, NUM_PARTS)
        self.confidence = mlp(self.width, self.width // 2, 1)
        self.place = nn.Linear(self.width, 3)

    @property
    def token_width(self) -> int:
        """Of what is known of each keypoint."""
        return self.width

    @abstractmethod
    def look(
        self, points: Float[Tensor, "b n 3"], mask: Bool[Tensor, "b n"], context: Float[Tensor, "b 6"]
    ) -> tuple[Float[Tensor, "b 14 c"], Float[Tensor, "b n d"]]:
        """What is known of each keypoint and of each point of people who are centred and turned."""

    def forward(
        self, points: Float[Tensor, "b n 3"], mask: Bool[Tensor, "b n"], views: Float[Tensor, "b 3"]
    ) -> Prediction:
        """One prediction, after the last layer."""
        turn = rotation_z(bearing(views))
        seen = (points @ turn) * mask[..., None]
        count = mask.sum(1).clamp_min(1)[:, None]
        centre = seen.sum(1) / count
        seen = (seen - centre[:, None]) * mask[..., None]
        context = torch.cat([views.norm(dim=-1, keepdim=True).log(), views[:, 2:], count.log(), centre], -1)
        tokens, features = self.look(seen, mask, context)
        placed = (self.place(tokens).float() + centre[:, None]) @ turn.transpose(-1, -2)
        sure = self.confidence(tokens.detach())[..., 0] * self.calibration[0] + self.calibration[1]
        return Prediction(placed, sure, self.parts(features), placed[None], tokens)


@dataclass(frozen=True)
class PaperConfig:
    """Shape of the paper's backbone."""

    width: int = 256
    layers: int = 4
    heads: int = 8
    bands: int = 64


class PaperNetwork(Peer):
    """Full self-attention over all points and the keypoints' queries."""

    Config: ClassVar[type[PaperConfig]] = PaperConfig
    bands: Tensor

    def __init__(self, config: PaperConfig | None = None) -> None:
        config = config or PaperConfig()
        super().__init__(config)
        self.width = self.point_width = config.width
        self.register_buffer("bands", 2 * torch.randn(3, config.bands))
        self.embed = mlp(3 + 2 * config.bands, config.width, config.width)
        self.queries = nn.Parameter(0.5 * torch.randn(NUM_KEYPOINTS, config.width))
        self.brief = nn.Linear(_CONTEXT, config.width)
        self.layers = nn.ModuleList(SelfAttention(config.width, config.heads) for _ in range(config.layers))
        self.heads()

    def look(
        self, points: Float[Tensor, "b n 3"], mask: Bool[Tensor, "b n"], context: Float[Tensor, "b 6"]
    ) -> tuple[Float[Tensor, "b 14 c"], Float[Tensor, "b n d"]]:
        """Queries first, then points."""
        angle = points @ self.bands
        features = self.embed(torch.cat([points, angle.sin(), angle.cos()], -1))
        items = torch.cat([self.queries.expand(len(points), -1, -1), features], 1) + self.brief(context)[:, None]
        there = torch.cat([mask.new_ones(len(mask), NUM_KEYPOINTS), mask], 1)
        for layer in self.layers:
            items = layer(items, there)
        return items[:, :NUM_KEYPOINTS], items[:, NUM_KEYPOINTS:]


class SelfAttention(nn.Module):
    """A layer of a transformer, normalised before each step."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.ask, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.think = mlp(width, 4 * width, width)

    def forward(self, items: Float[Tensor, "b n c"], mask: Bool[Tensor, "b n"]) -> Float[Tensor, "b n c"]:
        """Everybody looks at all that exist."""
        query, key, value = self.ask(self.norms[0](items)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        found = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask[:, None, None])
        items = items + self.out(found.transpose(1, 2).flatten(2))
        thought: Tensor = items + self.think(self.norms[1](items))
        return thought


@dataclass(frozen=True)
class PointNetConfig:
    """Shape of a PointNet."""

    points: tuple[int, ...] = (64, 64, 128, 1024)
    whole: tuple[int, ...] = (512, 256)


class PointNet(Peer):
    """A shared perceptron, the maximum, a perceptron; keypoints as one vector."""

    Config: ClassVar[type[PointNetConfig]] = PointNetConfig

    def __init__(self, config: PointNetConfig | None = None) -> None:
        config = config or PointNetConfig()
        super().__init__(config)
        widths = (3, *config.points)
        self.early = _perceptron(widths[:3])
        self.late = _perceptron(widths[2:])
        self.whole = _perceptron((widths[-1] + _CONTEXT, *config.whole))
        self.width, self.point_width = 64, 128
        self.split = nn.Linear(config.whole[-1], NUM_KEYPOINTS * self.width)
        self.told = nn.Linear(widths[2] + config.whole[-1], self.point_width)
        self.heads()

    def look(
        self, points: Float[Tensor, "b n 3"], mask: Bool[Tensor, "b n"], context: Float[Tensor, "b 6"]
    ) -> tuple[Float[Tensor, "b 14 c"], Float[Tensor, "b n d"]]:
        """Points hear what the whole says, as in its segmentation."""
        early = self.early(points)
        most = self.late(early).masked_fill(~mask[..., None], -1e4).amax(1)
        whole = self.whole(torch.cat([most, context.to(most.dtype)], -1))
        told = self.told(torch.cat([early, whole[:, None].expand(-1, points.shape[1], -1)], -1)).relu()
        return self.split(whole).unflatten(-1, (NUM_KEYPOINTS, self.width)).relu(), told


@dataclass(frozen=True)
class PointTransformerConfig:
    """Shape of a Point Transformer's encoder: width, and blocks, of each stage; a quarter of the points in the next."""

    widths: tuple[int, ...] = (32, 64, 128, 256)
    blocks: tuple[int, ...] = (1, 2, 2, 2)
    neighbours: int = 16


class PointTransformer(Peer):
    """Vector attention among neighbours, fewer and wider points, a pooling for each keypoint."""

    Config: ClassVar[type[PointTransformerConfig]] = PointTransformerConfig

    def __init__(self, config: PointTransformerConfig | None = None) -> None:
        config = config or PointTransformerConfig()
        super().__init__(config)
        widths = config.widths
        self.embed = nn.Linear(3 + _CONTEXT, widths[0])
        self.stages = nn.ModuleList(
            VectorAttention(width) for width, blocks in zip(widths, config.blocks, strict=True) for _ in range(blocks)
        )
        self.down = nn.ModuleList(_perceptron((3 + low, high)) for low, high in pairwise(widths))
        self.pool = nn.Linear(widths[-1], NUM_KEYPOINTS)
        self.width, self.point_width = widths[-1], widths[0]
        self.split = mlp(widths[-1] + 3, widths[-1], self.width)
        self.queries = nn.Parameter(0.1 * torch.randn(NUM_KEYPOINTS, self.width))
        self.heads()

    def look(
        self, points: Float[Tensor, "b n 3"], mask: Bool[Tensor, "b n"], context: Float[Tensor, "b 6"]
    ) -> tuple[Float[Tensor, "b 14 c"], Float[Tensor, "b n d"]]:
        """Down all stages; the points keep what the first one knew of them."""
        k = self.config.neighbours
        features = self.embed(torch.cat([points, context[:, None].expand(-1, points.shape[1], -1)], -1))
        first = features
        stages = iter(self.stages)
        for place, blocks in enumerate(self.config.blocks):
            if place:
                fewer, there = points[:, ::4], mask[:, ::4]
                near = nearest(fewer, points, mask, k)
                edges = _taken(points, near) - fewer[:, :, None]
                features = self.down[place - 1](torch.cat([edges, _taken(features, near).float()], -1)).amax(2)
                points, mask = fewer, there
            near = nearest(points, points, mask, k)
            for block in islice(stages, blocks):
                features = block(features, points, near)
            first = features if not place else first
        weight = self.pool(features).float().masked_fill(~mask[..., None], -1e4).softmax(1).transpose(1, 2)
        pooled = weight @ torch.cat([features.float(), points], -1)
        return self.split(pooled) + self.queries, first


class VectorAttention(nn.Module):
    """Point Transformer's layer: each channel has a weight of its own for each neighbour, made of their difference."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.ask, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.where, self.weigh = mlp(3, width, width), mlp(width, width, width)
        self.out = nn.Linear(width, width)

    def forward(
        self, features: Float[Tensor, "b n c"], points: Float[Tensor, "b n 3"], near: Int64[Tensor, "b n k"]
    ) -> Float[Tensor, "b n c"]:
        """Look at the neighbours."""
        normed = self.norm(features)
        where = self.where(_taken(points, near) - points[:, :, None])
        weight = self.weigh(self.ask(normed)[:, :, None] - _taken(self.key(normed), near) + where).softmax(2)
        found: Tensor = features + self.out((weight * (_taken(self.value(normed), near) + where)).sum(2))
        return found


@torch.no_grad()
def nearest(
    queries: Float[Tensor, "b q 3"], points: Float[Tensor, "b n 3"], mask: Bool[Tensor, "b n"], k: int
) -> Int64[Tensor, "b q k"]:
    """The k nearest points that exist; fewer repeat in rows that hold fewer."""
    far = torch.cdist(queries, points).masked_fill(~mask[:, None], 1e4)
    distance, near = far.topk(min(k, points.shape[1]), largest=False)
    near = torch.where(distance < 1e4, near, near[..., :1])
    return torch.cat([near, near[..., :1].expand(-1, -1, k - near.shape[-1])], -1)


def _taken(values: Float[Tensor, "b n c"], near: Int64[Tensor, "b q k"]) -> Float[Tensor, "b q k c"]:
    rows = torch.arange(len(values), device=values.device)[:, None, None]
    return values[rows, near]


def _perceptron(widths: tuple[int, ...]) -> nn.Sequential:
    layers = [(nn.Linear(low, high), nn.ReLU()) for low, high in pairwise(widths)]
    return nn.Sequential(*(layer for pair in layers for layer in pair))


PEERS: Final[Mapping[str, type[Peer]]] = {
    "the paper's backbone": PaperNetwork,
    "PointNet": PointNet,
    "Point Transformer": PointTransformer,
}
