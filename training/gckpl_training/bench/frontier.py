"""What `gckpl benchmark frontier` measures: accuracy against work, ours beside the field's, same data and budget.

Every network learns from nothing, from the same stored crops, by the same recipe, for the same time on one core; a
network that costs less sees more crops. MACs are counted by torch (two flops each) with matrix products and
attention, for one person; the time is that of a core for 10 people of 192 points.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from statistics import median
from time import thread_time
from typing import Any, Final

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from gckpl_ros.batch import PersonBatch
from gckpl_ros.estimate.checkpoint import write_weights
from gckpl_ros.estimate.network import KeypointNetwork
from gckpl_ros.estimate.tokens import SIZES, TokenNetwork
from gckpl_ros.files import write_file
from gckpl_training.learn.far import FarConfig, FarTraining
from gckpl_training.learn.peers import PEERS
from gckpl_training.simulate.maker import CropConfig

PEOPLE, POINTS, MANY_POINTS = 10, 192, 1024
EASY_SHARE: Final = 0.3
"""Of the steps: crops of the easy shards, one shard after the other."""
EASY_SHARDS: Final = 6
TRIED: Final = 6
NETWORKS: Final[Mapping[str, Callable[[], KeypointNetwork]]] = {
    **{f"ours, {name}": lambda config=config: TokenNetwork(config) for name, config in SIZES.items()},  # type: ignore[misc]
    **PEERS,
}


class Contestant(FarTraining):
    """Far training of any network, whose easy crops are a share of its own steps."""

    def __init__(self, config: FarConfig, name: str) -> None:
        self.name = name
        super().__init__(config)

    def make(self) -> KeypointNetwork:
        """The network of that name."""
        return NETWORKS[self.name]()

    def write(self, path: Path) -> None:
        """Write the averaged network without describing it: only this run reads it."""
        write_weights(path, self.averaged, self.provenance())

    def _pool(self, step: int) -> Iterator[PersonBatch]:
        config, g = self.config, self.source.generator
        easy = min(EASY_SHARDS, len(self.stored.ends))
        place = int(step / max(1.0, EASY_SHARE * config.steps) * easy)
        rising = place < easy
        crops = self.stored.shard(place) if rising else self.stored.draw(self.hardness.weights(0.0), 2048, g)
        left = max(1, int((place + 1) * EASY_SHARE * config.steps / easy) - step) * config.batch_size
        if rising and left < len(crops):
            crops = crops[torch.randperm(len(crops), generator=g)[: max(left, config.batch_size)]].sort().values
        return self.stored.batches(crops, config.batch_size, g)


def frontier_rows(
    shards: Path = Path("runs/far/shards"),
    folder: Path = Path("runs/frontier"),
    mocap: Path | None = None,
    budget_s: float = 240.0,
    small: bool = False,
) -> list[dict[str, Any]]:
    """One row for each network; those measured before, in ``folder``, are not measured again.

    A run that was stopped goes on. Without a budget nothing is learnt: costs alone. Raises InputError without crops.
    """
    torch.set_num_threads(1)
    if not budget_s:
        return [{"network": name, **costs(make().eval())} for name, make in NETWORKS.items()]
    rows = []
    for name in NETWORKS:
        out = folder / name.replace(" ", "_").replace(",", "").replace("'", "")
        done = out / "row.json"
        if not done.exists():
            row = _row(name, out, shards, mocap, 5.0 if small else budget_s, 24 if small else 600)
            write_file(done, json.dumps(row) + "\n")
        rows.append(json.loads(done.read_text()))
    return rows


def _row(name: str, out: Path, shards: Path, mocap: Path | None, budget_s: float, people: int) -> dict[str, Any]:
    crops = CropConfig(mocap=mocap)
    config = FarConfig(
        out=out, shards=shards, crops=crops, device="cpu", warmup_steps=30, decay_fraction=0.4, ema_decay=0.99,
        validate_every=1_000_000, validation_people=people, cut=0.0,
    )  # fmt: skip
    steps = _steps(config, name, budget_s)
    run = Contestant(replace(config, steps=steps), name)
    figures = run.run()
    return {
        "network": name,
        **costs(run.averaged),
        "crops_seen": steps * config.batch_size,
        "hard_cm": round(100 * figures["mpjpe"], 1),
        "hard_ge100_cm": round(100 * figures.get("by_points/>=100/mpjpe", float("nan")), 1),
    }


def costs(network: KeypointNetwork) -> dict[str, Any]:
    """Size, work for one person of 192 and of 1,024 points, and a core's time for 10 people of 192."""
    return {
        "parameters_M": round(sum(value.numel() for value in network.parameters()) / 1e6, 2),
        "GMAC_192_points": round(gmac(network, POINTS), 4),
        "GMAC_1024_points": round(gmac(network, MANY_POINTS), 4),
        "core_ms_10_people": round(core_ms(network), 1),
    }


def _steps(config: FarConfig, name: str, budget_s: float) -> int:
    """As many as the budget allows, by the time of a few; kept in the run's folder."""
    kept = config.out / "steps.json"
    if not kept.exists():
        trial = Contestant(config, name)
        times = []
        for _ in range(TRIED):
            start = thread_time()
            trial.train_step()
            times.append(thread_time() - start)
            trial.step += 1
        write_file(kept, json.dumps(max(TRIED, int(budget_s / median(times)))) + "\n")
    steps: int = json.loads(kept.read_text())
    return steps


def _people(points: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    cloud = torch.randn(PEOPLE, points, 3, generator=generator) * torch.tensor([0.25, 0.25, 0.5])
    return cloud, torch.ones(PEOPLE, points, dtype=torch.bool), torch.tensor([[8.0, 1.0, 0.0]]).expand(PEOPLE, 3)


def gmac(network: KeypointNetwork, points: int) -> float:
    """10^9 multiply-adds for one person of so many points: of all matrix products, as torch counts them."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:  # in pieces that it knows
        network(*_people(points))
    return float(counter.get_total_flops()) / 2e9 / PEOPLE


@torch.inference_mode()
def core_ms(network: KeypointNetwork, repeats: int = 20) -> float:
    """Median time (ms) of one core for 10 people of 192 points; what waits for a busy machine does not count."""
    people, times = _people(POINTS), []
    for _ in range(repeats):
        start = thread_time()
        network(*people)
        times.append(thread_time() - start)
    return 1e3 * median(times)
