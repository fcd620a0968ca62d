"""Fine-tuning on a few labelled people: what Stage I and II learnt without labels is where it starts."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from gckpl_ros.batch import PersonBatch
from gckpl_ros.estimate.checkpoint import fingerprint, load_network, save_network
from gckpl_ros.estimate.network import KeypointNetwork
from gckpl_ros.estimate.registry import NetworkConfig, build
from gckpl_ros.estimate.tokens import TokenConfig
from gckpl_ros.learn.learner import Learner, LearnerConfig
from gckpl_training.data.people import load_labelled
from gckpl_training.learn.artefacts import key, settings
from gckpl_training.learn.run import Run, RunConfig, Stream
from gckpl_training.simulate.people import labelled_crops


@dataclass(frozen=True)
class FinetuneConfig(RunConfig):
    """Fine-tune on labelled crops; resumes where a former run in ``out`` stopped."""

    out: Path = Path("runs/finetune")
    labels: Path = Path("labelled.people")
    """Labelled person sequences: a shard, or a folder of them (docs/data.md)."""
    weights: str = ""
    """Where to start; empty: the weights that ship; `random`: from nothing, with ``network``."""
    network: NetworkConfig = field(default_factory=TokenConfig)
    people: int = 0
    """Use only the first so many people; 0: all."""
    steps: int = 800
    batch_size: int = 32
    learner: LearnerConfig = field(default_factory=LearnerConfig)


class Finetune(Run):
    """A training run on labelled people."""

    stage = "finetune"
    processes = "one batch"
    config: FinetuneConfig

    def __init__(
        self, config: FinetuneConfig, people: PersonBatch | None = None, start: KeypointNetwork | None = None
    ) -> None:
        """People and start are read as the configuration says unless they are given."""
        super().__init__(config)
        people = people or load_labelled(config.labels)
        self.batch = labelled_crops(people.rows(torch.arange(config.people or len(people)))).to(self.device)
        if start is None:
            start = build(config.network) if config.weights == "random" else load_network(config.weights)
        self._start, self._trained_from = key(start), fingerprint(start)
        self.learner = Learner(start.to(self.device), config.learner, self.parallel)
        self.averaged = self.learner.averaged
        self.generators["batches"] = generator = torch.Generator(self.device).manual_seed(config.seed)
        self.batches = Stream(lambda step: self.batch.split(config.batch_size, generator), generator)
        self.parts |= {"learner": self.learner, "batches": self.batches}

    def train_step(self) -> dict[str, float]:
        """Learn the next labelled crops."""
        return self.learner.step(None, self.batches.next(self.step), self.config.schedule(self.step))

    def write(self, path: Path) -> None:
        """Write the averaged network."""
        save_network(path, self.averaged, self.provenance() | {"trained_from": self._trained_from})

    @cached_property
    def made_of(self) -> dict[str, Any]:
        """The settings, the people and the network to start from."""
        return settings(self.config, *self.free, "labels", "weights", "network") | {
            "people": key(self.batch),
            "start": self._start,
        }
