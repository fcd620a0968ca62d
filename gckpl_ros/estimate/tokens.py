"""The architecture `tokens`: a keypoint network for any number of points per person.

Permutation invariant and masked, pure torch. A few tokens (one per keypoint and some free ones), each with a place in
space, attend to the points near them and move: the cost grows linearly with the points. The network sees the person
turned so that the sensor looks along +x, and centred on its points: it need not learn where the sensor stands.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from gckpl_ros.estimate.network import KeypointNetwork, Prediction
from gckpl_ros.geometry import bearing, rotation_z
from gckpl_ros.skeleton import NUM_KEYPOINTS, NUM_PARTS

# Blocks of the keypoint network: tokens that look at the points around their place, and the way back.


class PlacedAttention(nn.Module):
    """Multi-head attention between placed items: near ones weigh more, each head learns how much.

    logit = q.k / sqrt(d) - s_head |x_query - x_key|^2. The output also holds where each head looked, relative to the
    query's place: the local geometry that points alone do not carry.
    """

    def __init__(self, query_width: int, key_width: int, heads: int) -> None:
        super().__init__()
        inner = min(query_width, key_width)
        self.heads = heads
        self.query = nn.Linear(query_width, inner)
        self.key_value = nn.Linear(key_width, 2 * inner)
        self.out = nn.Linear(inner + 3 * heads, query_width)
        # In log(1/m^2): from a head that sees the whole person (0.7 m) to one that sees a joint (0.1 m).
        self.sharpness = nn.Parameter(torch.linspace(0.0, 4.0, heads))

    def forward(
        self,
        queries: Float[Tensor, "b t c"],
        query_places: Float[Tensor, "b t 3"],
        keys: Float[Tensor, "b n d"],
        key_places: Float[Tensor, "b n 3"],
        mask: Bool[Tensor, "b n"] | None = None,
    ) -> Float[Tensor, "b t c"]:
        """Attend from queries to keys; places in metres; keys where the mask is False do not exist."""
        b, t, _ = queries.shape
        q = self.query(queries).view(b, t, self.heads, -1)
        k, v = self.key_value(keys).view(b, keys.shape[1], 2, self.heads, -1).unbind(2)
        distance = _squared_distance(query_places, key_places)[:, None]
        logits = torch.einsum("bthd,bnhd->bhtn", q * q.shape[-1] ** -0.5, k)
        logits = logits - self.sharpness.exp().view(1, -1, 1, 1) * distance
        if mask is not None:
            logits = logits.masked_fill(~mask[:, None, None], -1e4)
        weight = logits.softmax(-1)
        looked = (weight.flatten(1, 2) @ key_places).view(b, self.heads, t, 3).transpose(1, 2) - query_places[
            :, :, None
        ]
        gathered = torch.einsum("bhtn,bnhd->bthd", weight, v)
        out: Tensor = self.out(torch.cat([gathered.flatten(2), looked.flatten(2)], -1))
        return out


class TokenBlock(nn.Module):
    """Tokens look at the points, at each other, think, and move."""

    def __init__(self, width: int, point_width: int, heads: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.look = PlacedAttention(width, point_width, heads)
        self.talk = PlacedAttention(width, width, heads)
        self.think = mlp(width, 2 * width, width)
        self.move = nn.Linear(width, 3)
        nn.init.zeros_(self.move.weight)
        nn.init.zeros_(self.move.bias)

    def forward(
        self,
        tokens: Float[Tensor, "b t c"],
        places: Float[Tensor, "b t 3"],
        features: Float[Tensor, "b n d"],
        points: Float[Tensor, "b n 3"],
        mask: Bool[Tensor, "b n"],
    ) -> tuple[Float[Tensor, "b t c"], Float[Tensor, "b t 3"]]:
        """Return the tokens and their new places (metres)."""
        tokens = tokens + self.look(self.norms[0](tokens), places, features, points, mask)
        normed = self.norms[1](tokens)
        tokens = tokens + self.talk(normed, places, normed, places)
        tokens = tokens + self.think(self.norms[2](tokens))
        return tokens, places + self.move(tokens)


class PointBlock(nn.Module):
    """Points look at the tokens: what the whole body says comes back to each return."""

    def __init__(self, point_width: int, width: int, heads: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(point_width) for _ in range(2))
        self.look = PlacedAttention(point_width, width, heads)
        self.think = mlp(point_width, 2 * point_width, point_width)

    def forward(
        self,
        features: Float[Tensor, "b n d"],
        points: Float[Tensor, "b n 3"],
        tokens: Float[Tensor, "b t c"],
        places: Float[Tensor, "b t 3"],
    ) -> Float[Tensor, "b n d"]:
        """Return the points' new features."""
        features = features + self.look(self.norms[0](features), points, tokens, places)
        thought: Tensor = self.think(self.norms[1](features))
        return features + thought


def mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Two layers with GELU between them."""
    return nn.Sequential(nn.Linear(inputs, hidden), nn.GELU(), nn.Linear(hidden, outputs))


def _squared_distance(a: Float[Tensor, "b t 3"], b: Float[Tensor, "b n 3"]) -> Float[Tensor, "b t n"]:
    square = (a * a).sum(-1)[:, :, None] + (b * b).sum(-1)[:, None]
    return (square - 2 * a @ b.transpose(-1, -2)).clamp_min(0)


@dataclass(frozen=True)
class TokenConfig:
    """Shape of a token network."""

    width: int = 128
    point_width: int = 64
    heads: int = 4
    layers: int = 3
    free_tokens: int = 10
    neighbours: int = 8
    fourier_bands: int = 5


class TokenNetwork(KeypointNetwork):
    """Tokens that look at points; the network that ships."""

    Config: ClassVar[type[TokenConfig]] = TokenConfig
    config: TokenConfig

    def __init__(self, config: TokenConfig | None = None) -> None:
        config = config or TokenConfig()
        super().__init__(config)
        width, point_width = config.width, config.point_width
        self.embed = PointEmbedding(config)
        self.tokens = nn.Parameter(torch.randn(NUM_KEYPOINTS + config.free_tokens, width) * 0.5)
        self.places = nn.Parameter(torch.randn(NUM_KEYPOINTS + config.free_tokens, 3) * 0.3)
        self.brief = nn.Linear(_CONTEXT, width)
        self.point_brief = nn.Linear(_CONTEXT, point_width)
        self.token_blocks = nn.ModuleList(TokenBlock(width, point_width, config.heads) for _ in range(config.layers))
        self.point_blocks = nn.ModuleList(
            PointBlock(point_width, width, config.heads) for _ in range(config.layers // 2)
        )
        self.parts = nn.Linear(point_width, NUM_PARTS)
        self.confidence = mlp(width, width // 2, 1)

    @property
    def token_width(self) -> int:
        """The tokens' own."""
        return self.config.width

    def forward(
        self, points: Float[Tensor, "b n 3"], mask: Bool[Tensor, "b n"], views: Float[Tensor, "b 3"]
    ) -> Prediction:
        """The network sees each person centred, turned so that the sensor looks along +x."""
        turn = rotation_z(bearing(views))
        seen = (points @ turn) * mask[..., None]
        centre = seen.sum(1, keepdim=True) / mask.sum(1).clamp_min(1)[:, None, None]
        seen = (seen - centre) * mask[..., None]
        context = _context(views, centre[:, 0], mask)
        features = self.embed(seen, mask) + self.point_brief(context)[:, None]
        tokens = self.tokens + self.brief(context)[:, None]
        places = self.places.expand(len(points), -1, -1)
        steps = []
        for depth, block in enumerate(self.token_blocks):
            tokens, places = block(tokens, places, features, seen, mask)
            steps.append(places[:, :NUM_KEYPOINTS])
            if depth % 2 == 1:
                features = self.point_blocks[depth // 2](features, seen, tokens, places)
        placed = (torch.stack(steps) + centre) @ turn.transpose(-1, -2)
        confidence = self.confidence(tokens[:, :NUM_KEYPOINTS].detach())[..., 0]
        confidence = confidence * self.calibration[0] + self.calibration[1]
        return Prediction(placed[-1], confidence, self.parts(features), placed, tokens[:, :NUM_KEYPOINTS])


class PointEmbedding(nn.Module):
    """Features of each point: Fourier features of its place, and the shape of its nearest neighbours."""

    bands: Tensor

    def __init__(self, config: TokenConfig) -> None:
        super().__init__()
        self.neighbours = config.neighbours
        self.register_buffer("bands", 2.0 ** torch.arange(config.fourier_bands) * torch.pi / 2, persistent=False)
        self.place = mlp(3 + 6 * config.fourier_bands, config.point_width, config.point_width)
        self.edge = mlp(3, 32, 32)
        self.shape = nn.Linear(32, config.point_width)

    def forward(self, points: Float[Tensor, "b n 3"], mask: Bool[Tensor, "b n"]) -> Float[Tensor, "b n c"]:
        """Embed points in metres around the person's centre."""
        angle = (points[..., None] * self.bands).flatten(-2)
        features: Tensor = self.place(torch.cat([points, angle.sin(), angle.cos()], -1))
        edges = _neighbour_offsets(points, mask, self.neighbours)
        shape: Tensor = self.shape(self.edge(edges * 5.0).amax(2))  # offsets are a few decimetres at the most
        return features + shape


_CONTEXT = 8


def _context(
    view: Float[Tensor, "b 3"], centre: Float[Tensor, "b 3"], mask: Bool[Tensor, "b n"]
) -> Float[Tensor, "b 8"]:
    """Range, elevation, how many points, and where the origin (a detector's box centre) lies from them."""
    distance = view.norm(dim=-1).clamp_min(0.1)
    count = mask.sum(1).to(view.dtype)
    columns = [distance.log(), view[:, 2] / distance, count.clamp_min(1).log(), (count / distance.square()).log1p()]
    return torch.cat([torch.stack(columns, -1), centre.clamp(-2, 2), (count == 0).to(view.dtype)[:, None]], -1)


def _neighbour_offsets(points: Float[Tensor, "b n 3"], mask: Bool[Tensor, "b n"], k: int) -> Float[Tensor, "b n k 3"]:
    """Offsets to the k nearest points (itself among them); fewer points repeat, offsets are capped at 0.5 m."""
    b, n, _ = points.shape
    with torch.no_grad():
        square = (points * points).sum(-1)
        distance = square[:, None] + square[:, :, None] - 2 * points @ points.transpose(1, 2)
        nearest = distance.masked_fill(~mask[:, None], 1e4).topk(min(k, n), largest=False, sorted=False).indices
    rows = torch.arange(b, device=points.device)[:, None, None]
    return (points[rows, nearest] - points[:, :, None]).clamp(-0.5, 0.5) * mask[rows, nearest][..., None]
