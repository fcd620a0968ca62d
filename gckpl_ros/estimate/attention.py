"""Blocks of the keypoint network: tokens that look at the points around their place, and the way back."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn


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
