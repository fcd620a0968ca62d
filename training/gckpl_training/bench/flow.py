"""What `gckpl benchmark flow` measures: scene flow of moving people against the simulator's exact flow.

Only points on the person count (body and clothes, by the simulator's labels), of both crops, so forward and backward
flow: EPE is the mean length of the error, Acc the share of points with an error below 5 and 10 cm. The flow is exact
for the surface point that was hit; sensor noise stays in the points. All methods see whole crops, background too.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import pairwise
from math import inf
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, Final

import torch
from jaxtyping import Float
from torch import Tensor

from gckpl_ros.batch import PersonBatch
from gckpl_ros.estimate.checkpoint import load_network
from gckpl_ros.estimate.network import KeypointNetwork
from gckpl_ros.learn.articulated import ArticulatedConfig, articulated
from gckpl_ros.learn.flow import nsfp
from gckpl_ros.skeleton import BACKGROUND
from gckpl_training.simulate.maker import CropConfig
from gckpl_training.simulate.people import PairSource

SEED: Final = 20_233
CROWD: Final = 10
POINTS: Final = (8.0, 30.0, 60.0, 100.0, inf)
SPEEDS_M_S: Final = (0.0, 0.5, 1.0, 1.5, 2.0, inf)


@dataclass(frozen=True)
class Crowd:
    """Pairs of a few people as they are, and with keypoints and parts as the network sees them."""

    true: PersonBatch
    estimated: PersonBatch
    probability: Float[Tensor, "b 2 n 15"]
    """The network's, of each point's parts."""

    @staticmethod
    @torch.inference_mode()
    def of(pairs: PersonBatch, network: KeypointNetwork) -> "Crowd":
        """Run the network on both crops."""
        predicted = network.predict(pairs.flat())
        keypoints, logits = (
            value.view(len(pairs), 2, *value.shape[1:]) for value in (predicted.keypoints, predicted.part_logits)
        )
        estimated = replace(pairs, keypoints=keypoints, parts=logits.argmax(-1), flow=None)
        return Crowd(pairs, estimated, logits.softmax(-1))


Method = Callable[[Crowd], PersonBatch]


@dataclass(frozen=True)
class Errors:
    """One entry for each point: its error (m), its confidence, points on its person, its person's speed, its person."""

    error: Float[Tensor, " p"]
    confidence: Float[Tensor, " p"]
    points: Float[Tensor, " p"]
    speed_m_s: Float[Tensor, " p"]
    person: Float[Tensor, " p"]


def flow_rows(
    weights: str = "", mocap: Path | None = None, people: int = 1000, nsfp_people: int = 100
) -> list[dict[str, Any]]:
    """Rows of each method: all, by points on the person, by mean speed of these; NSFP on the first people only."""
    source = PairSource(CropConfig(mocap=mocap), SEED, torch.device("cpu"), "val")
    pairs, network = source.draw_pairs(people), load_network(weights)
    crowds = [Crowd.of(pairs.rows(rows), network) for rows in torch.arange(people).split(CROWD)]
    few = crowds[: -(-nsfp_people // CROWD)]
    whole_body = ArticulatedConfig(part_widths_m=())
    return [
        *method_rows("zero flow", still, crowds),
        *method_rows("rigid", lambda c: articulated(c.estimated, whole_body, c.probability), crowds),
        *method_rows("NSFP", lambda c: nsfp(c.estimated), few),
        *method_rows("articulated, NSFP's people", along_the_network, few),
        *method_rows("articulated", along_the_network, crowds),
        *method_rows("articulated, true parts", lambda c: articulated(c.true), crowds),
    ]


def along_the_network(crowd: Crowd) -> PersonBatch:
    """The flow that the network's keypoints and part probabilities lead to."""
    return articulated(crowd.estimated, probability=crowd.probability)


def still(crowd: Crowd) -> PersonBatch:
    """The baseline: nobody moves."""
    people = crowd.true
    return replace(people, flow=torch.zeros_like(people.points), flow_confidence=people.mask.float())


@torch.inference_mode()
def method_rows(name: str, method: Method, crowds: list[Crowd]) -> list[dict[str, Any]]:
    """Figures of one method; its time is the median for ten people at once."""
    durations: list[float] = []
    measured: list[Errors] = []
    for crowd in crowds:
        start = perf_counter()
        flowing = method(crowd)
        durations.append(1e3 * (perf_counter() - start))
        measured.append(errors(crowd.true, flowing, first_person=CROWD * len(measured)))
    every = Errors(*(torch.cat([getattr(e, field) for e in measured]) for field in Errors.__dataclass_fields__))
    ms = median(durations)
    whole = _row(name, "all", "all", every, every.error >= 0)
    whole |= {"ms_per_person": round(ms / CROWD, 2), "ms_of_10_people": round(ms, 1)}
    by_points = ((label, "all", inside) for label, inside in _bins(every.points, POINTS))
    by_speed = (("all", label, inside) for label, inside in _bins(every.speed_m_s, SPEEDS_M_S))
    bins = [_row(name, points, speed, every, inside) for points, speed, inside in (*by_points, *by_speed)]
    return [{"table": "methods", **whole}, *({"table": "bins", **row} for row in bins)]


def errors(true: PersonBatch, found: PersonBatch, first_person: int = 0) -> Errors:
    """Errors of forward and backward flow on all points that lie on the people."""
    people = first_person + torch.arange(len(true), dtype=torch.float32)
    columns = []
    for truth, predicted in ((true.frame(i), found.frame(i)) for i in (0, 1)):
        on, flow = truth.mask & (truth.required("parts") != BACKGROUND), truth.required("flow")
        count = on.sum(1).float()
        speed = (flow.norm(dim=-1) * on).sum(1) / count / PairSource.dt_s
        each = [value[:, None].expand_as(on)[on] for value in (count, speed, people)]
        error = (predicted.required("flow") - flow).norm(dim=-1)[on]
        columns.append([error, predicted.required("flow_confidence")[on], *each])
    return Errors(*(torch.cat(pair) for pair in zip(*columns, strict=True)))


def _bins(values: Tensor, edges: tuple[float, ...]) -> Iterable[tuple[str, Tensor]]:
    """Which entries lie between each two edges; the last is named by its lower edge only."""
    for low, high in pairwise(edges):
        name = f">={low:g}" if high == inf else f"{low:g}-{high:g}"
        yield name, (values >= low) & (values < high)


def _row(name: str, points: str, speed: str, every: Errors, inside: Tensor) -> dict[str, Any]:
    error, confidence = every.error[inside], every.confidence[inside]
    surer = error[confidence.argsort(descending=True, stable=True)[: len(error) // 2]]
    informed = bool((confidence != confidence[:1]).any())
    figures = {"EPE_cm": error, "Acc_5cm_%": (error < 0.05).float(), "Acc_10cm_%": (error < 0.10).float()}
    means = {key: round(100 * value.mean().item(), 2) if len(value) else None for key, value in figures.items()}
    people = len(every.person[inside].unique())
    surer_cm = round(100 * surer.mean().item(), 2) if informed and len(surer) else None
    row = {"method": name, "points_on_person": points, "speed_m_s": speed, "people": people}
    return row | means | {"EPE_of_surer_half_cm": surer_cm}
