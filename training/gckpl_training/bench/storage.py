"""What `gckpl benchmark data` measures: person sequences on disk, and whether a training waits for them.

Simulated crops are written again and again until there are as many as asked for; times are a core's own, files lie in
the page cache as those of a training do.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time
from typing import Any, Final

import numpy as np
import torch

from gckpl_ros.estimate.checkpoint import load_network
from gckpl_ros.learn.learner import Learner, LearnerConfig
from gckpl_training.data.sequences import Sequences, open_shards, write_shard
from gckpl_training.simulate.maker import CropConfig
from gckpl_training.simulate.people import CropSource

CROPS: Final = 2_000_000
SMALL_CROPS: Final = 4096
SHARD: Final = 2048
BATCH: Final = 32
BATCHES, STEPS = 200, 5


def storage_rows(weights: str = "", small: bool = False) -> list[dict[str, Any]]:
    """One row: bytes of a crop, crops a second, milliseconds of a batch and of the training step that takes it."""
    crops, shard = (SMALL_CROPS, SHARD // 8) if small else (CROPS, SHARD)
    simulated = CropSource(CropConfig(), 0, torch.device("cpu"), "train").draw(shard)
    packed = Sequences.of(simulated)
    with TemporaryDirectory() as folder:
        files = [Path(folder) / f"{number:05d}.people" for number in range(-(-crops // shard))]
        start = process_time()
        for file in files:
            write_shard(file, packed)
        written_s, start = process_time() - start, process_time()
        opened = open_shards([Path(folder)])
        opened_s = process_time() - start
        size = sum(file.stat().st_size for file in files)
        rng, start = np.random.default_rng(0), process_time()
        for _ in range(BATCHES):
            batch = opened.shards[rng.integers(len(files))].rows(rng.integers(shard, size=BATCH)).batch().flat()
        batch_s = (process_time() - start) / BATCHES
    learner = Learner(load_network(weights), LearnerConfig())
    start = process_time()
    for _ in range(STEPS):
        learner.step(None, batch)
    step_s = (process_time() - start) / STEPS
    return [
        {
            "crops": len(opened),
            "points_per_crop": round(len(packed["points"]) / len(packed)),
            "bytes_per_crop": round(size / len(opened)),
            "written_per_s": round(len(opened) / written_s),
            "opened_and_checked_per_s": round(len(opened) / opened_s),
            f"batch_of_{BATCH}_ms": round(1e3 * batch_s, 2),
            "training_step_ms": round(1e3 * step_s, 1),
            "share_of_waiting_%": round(100 * batch_s / (batch_s + step_s), 2),
        }
    ]
