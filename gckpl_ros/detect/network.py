"""The person network: sparse convolutions over pillars propose places, a point network looks at each again.

The first stage follows CenterPoint (Yin et al., CVPR 2021): a heat of centres, here on occupied cells only as in
submanifold sparse convolutions (Graham et al., CVPR 2018), each cell voting for where the centre lies. The second stage
is a PointNet (Qi et al., CVPR 2017) on the points round a proposal.
"""

from dataclasses import asdict, dataclass
from importlib.resources import files
from json import dumps, loads
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor, nn

from gckpl_ros.detect.pillars import FAR_M, FEATURES, Pillars, around
from gckpl_ros.errors import InputError
from gckpl_ros.estimate.checkpoint import Weights, write_weights

FORMAT: Final = "gckpl-person-1"
BOX: Final = 8
"""What is said of a box: shift of the centre along and across the line of sight, lower and upper edge above the ground,
logarithm of length and width, cosine and sine of twice the yaw against the line of sight (m)."""


@dataclass(frozen=True)
class PersonConfig:
    """Shape of the network."""

    width: int = 32
    dilations: tuple[int, ...] = (1, 1, 2, 4)
    point_width: int = 64
    points: int = 64
    """Most points of a proposal."""
    radius_m: float = 0.8
    """How far round a proposal the points are taken."""
    proposals: int = 64
    apart_m: float = 0.3
    """Proposals lie at least so far from each other."""
    least: float = 0.2
    """Proposals have at least this heat."""


class Heat(NamedTuple):
    """What the first stage says of each cell: is here the centre of a person, and where exactly from here (m)."""

    logit: Float[Tensor, " c"]
    vote: Float[Tensor, "c 2"]
    features: Float[Tensor, "c w"]


class Crops(NamedTuple):
    """What the second stage is shown of k proposals.

    Points ahead and to the left (m, against the line of sight) and above the ground, the first ones again where there
    are too few; how many there are; how far from the sensor (m); features of the cell.
    """

    points: Float[Tensor, "k m 3"]
    counts: Float[Tensor, " k"]
    distance: Float[Tensor, " k"]
    features: Float[Tensor, "k w"]


class Found(NamedTuple):
    """Of each proposal: logit of being a person, and its box (see BOX)."""

    logit: Float[Tensor, " k"]
    box: Float[Tensor, "k 8"]


class PersonNetwork(nn.Module):
    """Where people are in a cloud, and their boxes."""

    calibration: Tensor

    def __init__(self, config: PersonConfig | None = None) -> None:
        """Untrained."""
        super().__init__()
        self.config = config = config or PersonConfig()
        width, points = config.width, config.point_width
        self.enter = nn.Linear(FEATURES, width)
        self.blocks = nn.ModuleList(Sparse(width, width) for _ in config.dilations)
        self.heat = nn.Linear(width, 3)
        self.look = nn.Sequential(nn.Linear(5, points // 2), nn.ReLU(), nn.Linear(points // 2, points))
        self.again = nn.Sequential(nn.ReLU(), nn.Linear(2 * points, points), nn.ReLU(), nn.Linear(points, 2 * points))
        self.decide = nn.Sequential(
            nn.Linear(3 * points + width + 2, 2 * points),
            nn.ReLU(),
            nn.Linear(2 * points, points),
            nn.ReLU(),
            nn.Linear(points, 1 + BOX),
        )
        nn.init.constant_(self.heat.bias[:1], -3.0)
        self.register_buffer("calibration", torch.tensor([1.0, 0.0]))

    def propose(self, seen: Pillars) -> Heat:
        """The first stage."""
        value: Tensor = self.enter(torch.from_numpy(seen.features)).relu()
        beside = {dilation: torch.from_numpy(seen.beside(dilation)) for dilation in set(self.config.dilations)}
        for dilation, block in zip(self.config.dilations, self.blocks, strict=True):
            value = (value + block(value, beside[dilation])).relu()
        heat = self.heat(value)
        return Heat(heat[:, 0], heat[:, 1:], value)

    def crops(self, seen: Pillars, places: Float32[np.ndarray, "k 2"], features: Float[Tensor, "k w"]) -> Crops:
        """What the second stage is shown of places (x and y from the sensor, m) with the features of their cells."""
        index, counts = around(seen, places, self.config.radius_m, self.config.points)
        distance = np.linalg.norm(places, axis=1)
        along = (places / np.maximum(distance, 0.1)[:, None])[:, None]
        local = seen.points[index]
        shift = local[..., :2] - places[:, None]
        forward = (shift * along).sum(-1)
        left = shift[..., 1] * along[..., 0] - shift[..., 0] * along[..., 1]
        points = torch.from_numpy(np.stack([forward, left, local[..., 2]], -1))
        return Crops(points, torch.from_numpy(counts.astype(np.float32)), torch.from_numpy(distance), features)

    def judge(self, crops: Crops) -> Found:
        """The second stage: each point for itself, again beside what all say; then the place as a whole."""
        ahead, left, height = crops.points.unbind(-1)
        value = self.look(torch.stack([ahead, left, height, height - 1, torch.hypot(ahead, left)], -1))
        whole = value.amax(1)
        mix, last = self.again[1], self.again[3]
        assert isinstance(mix, nn.Linear)
        own = value.shape[-1]
        alone, common = mix.weight[:, :own], mix.weight[:, own:]  # what all say is the same for each point
        said_by_all = nn.functional.linear(whole.relu(), common, mix.bias)[:, None]
        value = last((nn.functional.linear(value.relu(), alone) + said_by_all).relu())
        scale = torch.stack([crops.distance / FAR_M, crops.counts.log1p() / 4], 1)
        said = self.decide(torch.cat([value.amax(1), whole, crops.features, scale], 1))
        return Found(said[:, 0], said[:, 1:])

    @torch.inference_mode()
    def forward(self, seen: Pillars) -> tuple[Float32[np.ndarray, "k 7"], Float32[np.ndarray, " k"]]:
        """Boxes (centre from the sensor but z above the ground, length, width, height, yaw) and logits of people."""
        heat = self.propose(seen)
        rows, places = proposals(seen, heat, self.config)
        if not len(rows):
            return np.zeros((0, 7), np.float32), np.zeros(0, np.float32)
        found = self.judge(self.crops(seen, places, heat.features[torch.from_numpy(rows)]))
        logits = (found.logit * self.calibration[0] + self.calibration[1]).numpy()
        people = boxes(places, found.box.numpy())
        order = np.argsort(-logits, kind="stable")
        kept = order[apart(people[order, :2], self.config.apart_m)]
        return people[kept], logits[kept]


class Sparse(nn.Module):
    """A convolution over occupied cells and their occupied neighbours, three by three, then layer normalisation."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.mix = nn.Linear(9 * inputs, outputs, bias=False)
        self.norm = nn.LayerNorm(outputs)

    def forward(self, value: Float[Tensor, "c i"], beside: Int64[Tensor, "c 9"]) -> Float[Tensor, "c o"]:
        """``beside``: rows of the neighbours; the number of cells where there is none, which counts zero."""
        padded = torch.cat([value, value.new_zeros(1, value.shape[1])])
        mixed: Tensor = self.norm(self.mix(nn.functional.embedding(beside, padded).flatten(1)))
        return mixed


def proposals(
    seen: Pillars, heat: Heat, config: PersonConfig
) -> tuple[Int64[np.ndarray, " k"], Float32[np.ndarray, "k 2"]]:
    """The hottest cells whose votes lie apart, hottest first, and the places that they vote for."""
    logits = heat.logit.detach().numpy()
    rows = np.flatnonzero(logits > np.log(config.least / (1 - config.least)))
    rows = rows[np.argsort(-logits[rows], kind="stable")[: 4 * config.proposals]]
    places = seen.centers[rows] + heat.vote.detach()[torch.from_numpy(rows)].numpy()
    kept = apart(places, config.apart_m, config.proposals)
    return rows[kept], places[kept]


def apart(places: Float32[np.ndarray, "n 2"], least_m: float, most: int = 10_000) -> Int64[np.ndarray, " k"]:
    """The first place, and of the others, in their order, those far enough from all taken before; at most so many."""
    near = np.square(places[:, None] - places).sum(-1) < least_m**2
    free = np.ones(len(places), bool)
    kept: list[int] = []
    while free.any() and len(kept) < most:
        kept.append(int(free.argmax()))
        free &= ~near[kept[-1]]
        free[kept[-1]] = False
    return np.array(kept, np.int64)


def boxes(places: Float32[np.ndarray, "k 2"], said: Float32[np.ndarray, "k 8"]) -> Float32[np.ndarray, "k 7"]:
    """Boxes out of what the network says of proposals at these places; z above the ground."""
    bearing = np.arctan2(places[:, 1], places[:, 0])
    cos, sin = np.cos(bearing), np.sin(bearing)
    x = places[:, 0] + cos * said[:, 0] - sin * said[:, 1]
    y = places[:, 1] + sin * said[:, 0] + cos * said[:, 1]
    low, high = np.minimum(said[:, 2], said[:, 3] - 0.2), said[:, 3]
    length, width = np.exp(said[:, 4:6].clip(-2.5, 1.0)).T
    yaw = bearing + np.arctan2(said[:, 7], said[:, 6]) / 2
    yaw = np.arctan2(np.sin(yaw), np.cos(yaw))
    return np.stack([x, y, (low + high) / 2, length, width, high - low, yaw], 1).astype(np.float32)


def said_of(places: Float32[np.ndarray, "k 2"], truth: Float32[np.ndarray, "k 7"]) -> Float32[np.ndarray, "k 8"]:
    """What the network should say of proposals at these places; the inverse of ``boxes``."""
    bearing = np.arctan2(places[:, 1], places[:, 0])
    cos, sin = np.cos(bearing), np.sin(bearing)
    dx, dy = (truth[:, :2] - places).T
    twice = 2 * (truth[:, 6] - bearing)
    low, high = truth[:, 2] - truth[:, 5] / 2, truth[:, 2] + truth[:, 5] / 2
    columns = [dx * cos + dy * sin, dy * cos - dx * sin, low, high, np.log(truth[:, 3]), np.log(truth[:, 4])]
    return np.stack([*columns, np.cos(twice), np.sin(twice)], 1).astype(np.float32)


def save_person(path: Path, network: PersonNetwork, provenance: dict[str, str]) -> None:
    """Write a person network, its shape and where it comes from; raises InputError where it cannot."""
    write_weights(path, network, {**provenance, "format": FORMAT, "network": dumps(asdict(network.config))})


def load_person(path: str | Path = "") -> PersonNetwork:
    """Read a person network in evaluation mode; an empty path reads the one that ships. Raises InputError."""
    weights = Weights.read(Path(path) if path else Path(str(files("gckpl_ros.weights") / "person.safetensors")))
    if weights.metadata.get("format") != FORMAT:
        raise InputError(f"weights {weights.path} are of no person detector: its format is {FORMAT}")
    try:
        config = loads(weights.metadata["network"])
        network = PersonNetwork(PersonConfig(**{**config, "dilations": tuple(config["dilations"])}))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"weights {weights.path} describe no person detector: {error}") from error
    weights.fill(network)
    return network.eval()
