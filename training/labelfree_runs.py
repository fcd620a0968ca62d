"""The runs behind `gckpl benchmark labelfree`: networks of one start, their pseudo-labels, and what they measure."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

import torch

from gckpl_ros.adapt.learner import LearnerConfig
from gckpl_ros.adapt.targets import Targets, estimate
from gckpl_ros.adapt.temporal import save_temporal
from gckpl_ros.estimate.checkpoint import load_network
from gckpl_ros.estimate.network import KeypointNetwork
from gckpl_ros.evaluate.keypoints import Errors
from gckpl_training import wild
from gckpl_training.crops import CropConfig
from gckpl_training.finetune import Finetune
from gckpl_training.finetune_config import FinetuneConfig
from gckpl_training.passers import LabelledTracklets
from gckpl_training.scene.surroundings import Surroundings
from gckpl_training.stage1 import Stage1
from gckpl_training.stage1_config import Stage1Config
from gckpl_training.stage2 import Lore, Stage2, study
from gckpl_training.stage2_config import Stage2Config, TeacherName
from gckpl_training.temporal import TemporalTraining
from gckpl_training.temporal_config import TemporalTrainingConfig

Row = dict[str, Any]
Start = Literal["weak", "strong"]

# As the paper's Stage I: procedural poses, one sensor, near and alone, hardly an augmentation, a short training.
WEAK_CROPS: Final = CropConfig(
    sensors=("waymo_top",),
    range_m=(3.0, 15.0),
    views=3,
    box_shift_m=0.03,
    jitter_m=0.005,
    thin_chance=0.0,
    thin_beams_chance=0.0,
    hide_chance=0.0,
    blob_chance=0.0,
    surroundings=Surroundings(0.0, 0.0, 0.0, 0.0, 0.0, tilt_deg=2.0, roughness_m=0.0),
)


@dataclass(frozen=True)
class Scale:
    """How much of everything."""

    sizes: tuple[int, ...] = (100, 400, 1500)
    """People without labels, ten frames each."""
    test_people: int = 500
    steps: int = 600
    ablation_steps: int = 100
    """Of all rows of the ablation, its own control among them."""
    label_steps: int = 200
    weak_steps: int = 650
    temporal_people: int = 3000
    temporal_steps: int = 2000
    labelled: int = 400
    """People who are 100 % of the labels."""
    shares: tuple[float, ...] = (0.01, 0.1, 1.0)


SMALL: Final = Scale((10, 20, 40), 30, 12, 4, 8, 20, 24, 12, 20)


@dataclass
class Runs:
    """Everything from one start; networks, pseudo-labels and rows are kept in ``folder``, and not made twice."""

    start: Start
    mocap: Path
    folder: Path
    scale: Scale = field(default_factory=Scale)
    seed: int = 0

    def __post_init__(self) -> None:
        self.folder = self.folder / self.start
        self.folder.mkdir(parents=True, exist_ok=True)
        self.test = wild.test_people(self.mocap, self.scale.test_people)
        self.people = wild.unlabelled(self.mocap, max(self.scale.sizes))
        self.network = self._stage1()
        self.temporal = self._temporal()

    def kept(self, name: str, train: Callable[[], KeypointNetwork], steps: int | None = None) -> Row:
        """The row of this name; trained and measured unless that was done before."""
        kept = self.folder / f"{name}.json"
        if not kept.exists():
            row = {"start": self.start, "row": name, "steps": steps or self.scale.steps, "seed": self.seed}
            row |= measure(estimate(train(), self.test.tracklets), self.test)
            _write(kept, lambda beside: beside.write_text(json.dumps(row)))
        found: Row = json.loads(kept.read_text())
        return found

    def stage2(self, name: str, lore: Lore | None, steps: int | None = None, **changes: Any) -> KeypointNetwork:
        """Stage II; without anybody to learn from on simulated crops alone, the control."""
        config = replace(self._config(name, steps or self.scale.steps), **changes)
        return Stage2(config, lore, self.network).run()

    def lore(self, kind: TeacherName = "fit", people: int | None = None) -> Lore:
        """What is known of the first people without labels; measured too, for it is what can be learnt."""
        config = replace(self._config(f"people, {kind}", 0), teacher=kind, temporal=self.temporal)
        lore = study(config, self.network, self.people.tracklets)
        measured = config.out / "errors.json"
        if not measured.exists():
            errors = measure(lore.targets, self.people)
            _write(measured, lambda beside: beside.write_text(json.dumps(errors)))
        return lore if people is None else lore.rows(torch.arange(people))

    def oracle(self) -> KeypointNetwork:
        """Supervised training on the truth of the people without labels, as many steps and crops."""
        crops = self._config("", 1)
        config = FinetuneConfig(
            out=self.folder / "oracle",
            steps=self.scale.steps,
            batch_size=crops.seen + crops.replay,
            device="cpu",
            seed=self.seed,
        )
        return Finetune(config, self.people, self.network).run()

    def after(self, size: int) -> KeypointNetwork:
        """What so many people without labels made of the start."""
        return load_network(self.folder / f"Stage II, {size} people" / "final.safetensors")

    def finetune(self, name: str, begin: Callable[[], KeypointNetwork | None], share: float) -> KeypointNetwork:
        """Supervised training on a share of the labelled people, from a network or (None) from nothing."""
        start = begin()
        labelled = wild.unlabelled(self.mocap, self.scale.labelled, wild.LABELLED_SEED)
        people = max(1, round(share * len(labelled)))
        config = FinetuneConfig(
            weights="random",
            people=people,
            steps=self.scale.label_steps,
            learner=LearnerConfig(learning_rate=2e-3 if start is None else 1e-3),
            out=self.folder / f"fine-tuned {name} {people}",
            device="cpu",
            seed=self.seed,
        )
        return Finetune(config, labelled, start).run()

    def _config(self, name: str, steps: int) -> Stage2Config:
        crops = WEAK_CROPS if self.start == "weak" else CropConfig(mocap=self.mocap, views=3)
        return Stage2Config(
            out=self.folder / name, steps=steps, device="cpu", seed=self.seed, crops=crops, sensors=(wild.SENSOR,)
        )

    def _stage1(self) -> KeypointNetwork:
        if self.start == "strong":
            return load_network()
        out = self.folder / "stage1"
        if not (out / "final.safetensors").exists():
            config = Stage1Config(
                out=out, steps=self.scale.weak_steps, batch_size=32, easy_steps=0, ramp_steps=1, warmup_steps=200,
                ema_decay=0.995, device="cpu", seed=self.seed, validation_people=200, crops=WEAK_CROPS,
            )  # fmt: skip
            Stage1(config).run()
        return load_network(out / "final.safetensors")

    def _temporal(self) -> str:
        """The temporal network of this start; a weak start's saw all of the simulation, but no captured motion."""
        if self.start == "strong":
            return ""
        out = self.folder / "temporal"
        if not (out / "final.safetensors").exists():
            config = TemporalTrainingConfig(
                out=out, people=self.scale.temporal_people, steps=self.scale.temporal_steps, device="cpu",
                seed=self.seed,
            )  # fmt: skip
            save_temporal(out / "final.safetensors", TemporalTraining(config).run(self.network), {})
        return str(out / "final.safetensors")


def measure(said: Targets, truth: LabelledTracklets) -> dict[str, float]:
    """Errors in cm over all frames with points."""
    seen = truth.tracklets.seen
    summary = Errors.of(said.keypoints[seen].numpy(), truth.keypoints[seen].numpy()).summary()
    return {f"{name}_cm": round(100 * value, 2) for name, value in summary.items() if name != "people"}


def _write(file: Path, write: Callable[[Path], Any]) -> None:
    """Write beside, then rename."""
    beside = file.with_name(f".{file.name}.tmp")
    write(beside)
    beside.replace(file)
