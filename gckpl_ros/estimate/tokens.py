"""The architecture `tokens`: a keypoint network for any number of points per person.

Permutation invariant and masked, pure torch. A few tokens (one per keypoint and some free ones), each with a place in
space, attend to the points near them and move: the cost grows linearly with the points. The network sees the person
turned so that the sensor looks along +x, and centred on its points: it need not learn where the sensor stands.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from gckpl_ros.estimate.network import KeypointNetwork, Prediction
from gckpl_ros.geometry import bearing, rotation_z
from gckpl_ros.skeleton import NUM_KEYPOINTS, NUM_PARTS

# Blocks of the keypoint network: tokens that look at the points around their place, and the way back.

_FAR: Final = 1e4  # as a squared distance in m^2 or a logit: out of sight


class PlacedAttention(nn.Module):
    """Multi-head attention between placed items: near ones weigh more, each head learns how much.

    logit = q.k / sqrt(d) - s_head |x_query - x_key|^2. The output also holds where each head looked, relative to the
    query's place: the local geometry that points alone do not carry. What depends on the query alone changes no
    weight, so distance is 2 x_query.x_key - |x_key|^2: more columns of q and k, and one product makes the logits.
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


class Gathering(PlacedAttention):
    """Few look at many, such as tokens at points. Keys stay: q.(K f) is (q K).f, a sum of V f is V of it."""

    def forward(
        self,
        queries: Float[Tensor, "b t c"],
        query_places: Float[Tensor, "b t 3"],
        keys: Float[Tensor, "b n d"],
        key_places: Float[Tensor, "b n 3"],
        mask: Bool[Tensor, "b n"] | None = None,
    ) -> Float[Tensor, "b t c"]:
        """Attend from queries to keys; places in metres; keys where the mask is False do not exist."""
        (b, t, _), width = queries.shape, keys.shape[-1]
        key, value = self.key_value.weight.view(2, self.heads, -1, width)
        query = self.query(queries).view(b, t, *key.shape[:2])
        sharpness = self.sharpness.exp().view(-1, 1, 1)
        asked = [torch.einsum("bthe,hed->bhtd", query * query.shape[-1] ** -0.5, key)]
        asked += [2 * sharpness * query_places[:, None], (-sharpness).expand(b, -1, t, 1)]
        there = [keys, key_places, _square(key_places)]
        if mask is not None:
            asked.append(queries.new_full((b, self.heads, t, 1), -_FAR))
            there.append((~mask[..., None]).to(keys.dtype))
        seen = torch.cat(there, -1)
        weight = (torch.cat(asked, -1).flatten(1, 2) @ seen.transpose(1, 2)).softmax(-1)
        found = (weight @ seen[..., : width + 3]).view(b, self.heads, t, -1)
        gathered = torch.einsum("bhtd,hed->bthe", found[..., :width], value).flatten(2)
        gathered = gathered + self.key_value.bias[gathered.shape[-1] :]
        looked = found[..., width:].transpose(1, 2) - query_places[:, :, None]
        out: Tensor = self.out(torch.cat([gathered, looked.flatten(2)], -1))
        return out


class Hearing(PlacedAttention):
    """Many look at few, such as points at tokens. Queries stay, and each key's output is made, then mixed."""

    def forward(
        self,
        queries: Float[Tensor, "b n c"],
        query_places: Float[Tensor, "b n 3"],
        keys: Float[Tensor, "b t d"],
        key_places: Float[Tensor, "b t 3"],
    ) -> Float[Tensor, "b n c"]:
        """Attend from queries to keys; places in metres."""
        b, t, _ = keys.shape
        key, value = self.key_value(keys).view(b, t, 2, self.heads, -1).unbind(2)
        key = key * key.shape[-1] ** -0.5
        query = self.query.weight.view(self.heads, -1, queries.shape[-1])
        sharpness = self.sharpness.exp().view(-1, 1, 1)
        there = torch.cat([torch.einsum("bthe,hec->bhtc", key, query), 2 * sharpness * key_places[:, None]], -1)
        always = torch.einsum("bthe,he->bht", key, self.query.bias.view(self.heads, -1))
        always = always - sharpness[:, 0] * _square(key_places).transpose(1, 2)
        here = torch.cat([queries, query_places], -1)
        logits = torch.baddbmm(always.flatten(1)[:, None], here, there.flatten(1, 2).transpose(1, 2))
        weight = logits.view(b, -1, self.heads, t).softmax(-1).flatten(2)
        inner = self.query.out_features
        tell = self.out.weight[:, :inner].view(-1, self.heads, inner // self.heads)
        point = self.out.weight[:, inner:].view(-1, self.heads, 3)
        said = torch.einsum("bthe,che->bhtc", value, tell) + torch.einsum("btx,chx->bhtc", key_places, point)
        heard: Tensor = weight @ said.flatten(1, 2) - query_places @ point.sum(1).T + self.out.bias
        return heard


def _square(places: Float[Tensor, "b n 3"]) -> Float[Tensor, "b n 1"]:
    return (places * places).sum(-1, keepdim=True)


class TokenBlock(nn.Module):
    """Tokens look at the points, at each other, think, and move."""

    def __init__(self, width: int, point_width: int, heads: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.look = Gathering(width, point_width, heads)
        self.talk = Gathering(width, width, heads)
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
        self.look = Hearing(point_width, width, heads)
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


@dataclass(frozen=True)
class TokenConfig:
    """Shape of a token network."""

    width: int = 128
    point_width: int = 64
    heads: int = 4
    layers: int = 3
    free_tokens: int = 10
    neighbours: int = 8
    """Points that tell the shape around each; 0: none, for finding them is a third of a small network's time."""
    fourier_bands: int = 5


SIZES: Final[Mapping[str, TokenConfig]] = {
    "nano": TokenConfig(width=64, point_width=32, layers=2, free_tokens=4, neighbours=0, fourier_bands=4),
    "small": TokenConfig(),
    "base": TokenConfig(width=192, point_width=96, heads=6, layers=5, free_tokens=18, neighbours=12),
}
"""One network in three sizes: for small boards, for CPUs, for GPUs and as the teacher of the other two."""


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
        places = self.places.expand(points.shape[0], -1, -1)
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
        if config.neighbours:
            self.edge = mlp(3, 32, 32)
            self.shape = nn.Linear(32, config.point_width)

    def forward(self, points: Float[Tensor, "b n 3"], mask: Bool[Tensor, "b n"]) -> Float[Tensor, "b n c"]:
        """Embed points in metres around the person's centre."""
        angle = (points[..., None] * self.bands).flatten(-2)
        features: Tensor = self.place(torch.cat([points, angle.sin(), angle.cos()], -1))
        if not self.neighbours:
            return features
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
        square = _square(points).masked_fill(~mask[..., None], _FAR).transpose(1, 2)
        # less the point's own square, which changes no order
        distance = torch.baddbmm(square, points, points.transpose(1, 2), alpha=-2)
        nearest = distance.topk(min(k, n), largest=False, sorted=False).indices
        nearest = (nearest + n * torch.arange(b, device=points.device)[:, None, None]).flatten()
    there = mask.flatten()[nearest].view(b, n, -1, 1)
    return (points.flatten(0, 1)[nearest].view(b, n, -1, 3) - points[:, :, None]).clamp(-0.5, 0.5) * there
