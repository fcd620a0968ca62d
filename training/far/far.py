"""Far training: crops simulated once into shards, learnt from many times. See README.md beside this file.

    python training/far/far.py simulate --out SHARDS --mocap FILE [FILE ...]
    python training/far/far.py train --shards SHARDS --out RUN --start training/far/base.safetensors

Poses are drawn evenly over clusters, arms are exchanged between people, some lie; half of the sensors have beams that
no table knows; one in five people is nearer than 3 m. Shard n is the same whoever makes it: start several with
``--worker K --workers N``. A shard holds whole crops one behind the other: points as int16 (half millimetres), in the
order of the runtime's thinning, so that the first points of a crop are the crop thinned.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Final, Literal

import numpy as np
import torch
import tyro
from jaxtyping import Float
from torch import Tensor

from gckpl_ros.batch import PersonBatch
from gckpl_ros.errors import InputError
from gckpl_ros.estimate.checkpoint import load_network
from gckpl_ros.estimate.registry import NetworkConfig
from gckpl_ros.estimate.tokens import TokenConfig
from gckpl_ros.files import atomic_write
from gckpl_ros.skeleton import BACKGROUND, MIRROR
from gckpl_training.learn.stage1 import Stage1, Stage1Config
from gckpl_training.motion.files import read_mocap
from gckpl_training.motion.library import MotionLibrary
from gckpl_training.scene.surroundings import Surroundings
from gckpl_training.simulate.maker import CropConfig
from gckpl_training.simulate.people import CropSource
from gckpl_training.simulate.varied import VariedPoses, varied_sensor

SHARD: Final = 8192
SEED: Final = 777_000
EASY_SHARDS: Final = 6
"""The first shards rise from whole people, near and alone, to full difficulty."""
POINT_M: Final = 1 / 2000
THINNED: Final = (96, 192)
"""A crop is thinned to a number of points between these, as the runtime thins (``crop.max_points``)."""
MIRRORED_PARTS: Final = torch.tensor([*MIRROR, BACKGROUND])
NEAR: Final = 0.2
CROPS: Final = CropConfig(
    max_points=256,
    jitter_m=0.03,
    surroundings=Surroundings(wall=0.3, pole=0.25, bin=0.25, occluder=0.35, second_person=0.25),
)


@dataclass(frozen=True)
class Simulate:
    """Make the shards that are not there yet."""

    out: Path
    mocap: tuple[Path, ...] = ()
    """Packed motion capture; of each file the split train."""
    shards: int = 48
    worker: int = 0
    workers: int = 1


@dataclass(frozen=True)
class Train(Stage1Config):
    """Learn from shards as Stage I does from crops that it simulates itself; validated and resumed as Stage I."""

    shards: Path = Path("runs/far/shards")
    start: str = ""
    """Weights to go on from; empty: from nothing."""
    batch_size: int = 32
    learning_rate: float = 1.5e-3
    warmup_steps: int = 300
    ema_decay: float = 0.999
    precision: Literal["float32", "bfloat16", "float16"] = "bfloat16"
    network: NetworkConfig = field(
        default_factory=lambda: TokenConfig(width=192, point_width=96, heads=6, layers=5, free_tokens=18, neighbours=12)
    )


class Source(CropSource):
    """Crops of people in postures that are rare elsewhere, seen by sensors of all kinds."""

    def __init__(self, mocap: tuple[Path, ...]) -> None:
        super().__init__(CROPS, 0, torch.device("cpu"), "train")
        library = MotionLibrary([clip for file in mocap for clip in read_mocap(file, "train")])
        self.varied = VariedPoses(library, self.body)

    def shard(self, index: int) -> PersonBatch:
        """The crops of one shard."""
        self.generator.manual_seed(SEED + index)
        difficulty = min(1.0, index / EASY_SHARDS)
        parts: list[PersonBatch] = []
        while sum(map(len, parts)) < SHARD:
            model, near = varied_sensor(self.generator), self._uniform(0, 1) < NEAR
            config = replace(CROPS.eased(difficulty), range_m=(3.0, 9.0 + 21.0 * difficulty * (difficulty >= 0.3)))
            parts += self.scan_people(256, model, replace(config, range_m=(0.7, 3.0)) if near else config)
        found = PersonBatch.join(parts)
        return found.rows(torch.randperm(len(found), generator=self.generator)[:SHARD])

    def poses(self, n: int) -> Float[Tensor, "n 22 3 3"]:
        """Captured poses evenly over their clusters, procedural ones, others' arms, people who lie; any heading."""
        return self.varied.sample(n, self.generator)

    def _uniform(self, low: float, high: float) -> float:
        return low + (high - low) * float(self.rand(1))


def simulate(settings: Simulate) -> None:
    """Make this worker's share of the shards."""
    torch.set_num_threads(1)
    source = Source(settings.mocap)
    for index in range(settings.worker, settings.shards, settings.workers):
        path = settings.out / f"{index:04d}.npz"
        if not path.exists():
            save_shard(path, source.shard(index))


def save_shard(path: Path, crops: PersonBatch) -> None:
    """Write crops without their padding, whole or not at all."""
    there, points = crops.mask, crops.points[crops.mask] / POINT_M
    with atomic_write(path) as beside, beside.open("wb") as file:
        np.savez(
            file,
            points=points.round().clamp(-32767, 32767).short().numpy(),
            labels=crops.required("parts")[there].byte().numpy(),
            n=there.sum(1).short().numpy(),
            views=crops.views.numpy(),
            keypoints=crops.required("keypoints").numpy(),
            counts=crops.required("counts").int().numpy(),
        )


def batches(path: Path, size: int, g: torch.Generator) -> Iterator[PersonBatch]:
    """All crops of a shard once, in batches of like length: thinned, half of them mirrored, scaled by up to 7 %."""
    with np.load(path) as file:
        shard = {name: torch.from_numpy(file[name]) for name in file.files}
    n = shard["n"].long()
    first, most = n.cumsum(0) - n, torch.randint(*THINNED, (len(n),), generator=g)
    kept = torch.minimum(n, most)
    order = (kept * (1 + 0.15 * torch.rand(len(n), generator=g))).argsort()
    groups = order[: len(n) // size * size].view(-1, size)
    for rows in groups[torch.randperm(len(groups), generator=g)]:
        mask = torch.arange(int(kept[rows].max())) < kept[rows, None]
        at = (first[rows, None] + torch.arange(mask.shape[1])).clamp_max(len(shard["points"]) - 1)
        flip = torch.rand(size, generator=g) < 0.5
        scale = 0.93 + 0.14 * torch.rand(size, 1, generator=g)
        side = torch.ones(size, 3).masked_fill(flip[:, None] & (torch.arange(3) == 1), -1.0) * scale
        keypoints, parts = shard["keypoints"][rows], shard["labels"][at].long() * mask
        yield PersonBatch(
            points=shard["points"][at].float() * POINT_M * side[:, None] * mask[..., None],
            mask=mask,
            views=shard["views"][rows] * side,
            parts=torch.where(flip[:, None], MIRRORED_PARTS[parts], parts),
            keypoints=torch.where(flip[:, None, None], keypoints[:, list(MIRROR)], keypoints) * side[:, None],
            counts=shard["counts"][rows].long(),
        )


class FarTraining(Stage1):
    """Stage I on stored crops."""

    config: Train

    def __init__(self, config: Train) -> None:
        super().__init__(config)
        self.shards = sorted(config.shards.glob("*.npz"))
        if not self.shards:
            raise InputError(f"no shards in {config.shards}: make some with `far.py simulate`")
        if config.start:
            state = load_network(config.start).state_dict()
            self.network.load_state_dict(state)
            self.averaged.load_state_dict(state)

    def _pool(self, step: int) -> Iterator[PersonBatch]:  # type: ignore[override]
        """One shard after the other from nothing, as they rise in difficulty; any one afterwards."""
        place = step * self.config.batch_size // SHARD
        if self.config.start or place >= len(self.shards):
            place = int(torch.randint(len(self.shards), (1,), generator=self.source.generator))
        return batches(self.shards[place], self.config.batch_size, self.source.generator)


if __name__ == "__main__":
    chosen = tyro.cli(
        Annotated[Simulate, tyro.conf.subcommand("simulate")] | Annotated[Train, tyro.conf.subcommand("train")]
    )
    if isinstance(chosen, Simulate):
        simulate(chosen)
    else:
        torch.set_num_threads(1)
        FarTraining(chosen).run()
