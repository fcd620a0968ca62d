"""What `gckpl benchmark labelfree` measures: learning without labels on the simulated wild domain.

The paper's two tables (GC-KPL, CVPR 2023): Stage II by amount of unlabelled data, beside a control that has as many
steps of simulated crops alone; and fine-tuning on few labels from several initialisations. From a weak Stage I as the
paper's and from the one that ships. Every row is kept when it is measured: a stopped run goes on where it was.
"""

import json
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final, Literal

import torch

from gckpl_ros.batch import PersonBatch
from gckpl_ros.estimate.checkpoint import load_network
from gckpl_ros.estimate.network import KeypointNetwork
from gckpl_ros.evaluate.metrics import Errors
from gckpl_ros.learn.learner import LearnerConfig
from gckpl_ros.learn.stage2_loss import LossWeights
from gckpl_ros.learn.teachers import estimate
from gckpl_training.learn.artefacts import artefact, key
from gckpl_training.learn.finetune import Finetune, FinetuneConfig
from gckpl_training.learn.run import Run
from gckpl_training.learn.stage1 import Stage1, Stage1Config
from gckpl_training.learn.stage2 import PseudoLabelled, Stage2, Stage2Config, TeacherName, pseudo_label
from gckpl_training.learn.temporal import TemporalTraining, TemporalTrainingConfig
from gckpl_training.scene.surroundings import Surroundings
from gckpl_training.simulate import wild
from gckpl_training.simulate.maker import CropConfig

# The runs behind `gckpl benchmark labelfree`: networks of one start, their pseudo-labels, and what they measure.

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
    """Everything from one start; networks, pseudo-labels, rows are kept in ``folder``, once for what makes them."""

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

    def kept(self, name: str, network: KeypointNetwork, steps: int | None = None) -> Row:
        """The row of this name: what the network measures."""
        row = {"start": self.start, "row": name, "steps": steps or self.scale.steps, "seed": self.seed}
        made_of = {"row": row, "network": network, "test": self.test}

        def make(path: Path) -> None:
            path.write_text(json.dumps(row | measure(estimate(network, self.test), self.test)))

        found: Row = json.loads(artefact(self.folder / f"{name}.json", made_of, make).read_text())
        return found

    def trained(self, name: str, run: Run) -> Path:
        """Weights of a run, in a folder of what it is made of; trained unless that was done before."""
        made_of = {**run.made_of, "steps": run.config.steps}
        out = self.folder / f"{name}.{key(made_of)}"
        if not (out / "final.safetensors").exists():  # written at the end of a run
            run.move(out)
            run.run()
        return out / "final.safetensors"

    def stage2(
        self, name: str, people: PseudoLabelled | None, steps: int | None = None, **changes: Any
    ) -> KeypointNetwork:
        """Stage II; without anybody to learn from on simulated crops alone, the control."""
        config = replace(self._config(name, steps or self.scale.steps), **changes)
        return load_network(self.trained(name, Stage2(config, people, self.network)))

    def pseudo_labelled(self, kind: TeacherName = "fit", people: int | None = None) -> PseudoLabelled:
        """The first people without labels and their pseudo-labels; these are measured too: they can be learnt."""
        config = replace(self._config(f"people, {kind}", 0), teacher=kind, temporal=self.temporal)
        found = pseudo_label(config, self.network, self.people)
        made_of = {"labels": found.people.keypoints, "people": self.people}
        errors = partial(measure, found.people, self.people)
        artefact(config.out / "errors.json", made_of, lambda path: path.write_text(json.dumps(errors())))
        return found if people is None else found.rows(torch.arange(people))

    def oracle(self) -> KeypointNetwork:
        """Supervised training on the truth of the people without labels, as many steps and crops."""
        crops = self._config("", 1)
        config = FinetuneConfig(
            steps=self.scale.steps, batch_size=crops.seen + crops.replay, device="cpu", seed=self.seed
        )
        return load_network(self.trained("oracle", Finetune(config, self.people, self.network)))

    def finetune(self, name: str, start: KeypointNetwork | None, share: float) -> KeypointNetwork:
        """Supervised training on a share of the labelled people, from a network or (None) from nothing."""
        people = max(1, round(share * len(self.labelled)))
        config = FinetuneConfig(
            weights="random",
            people=people,
            steps=self.scale.label_steps,
            learner=LearnerConfig(learning_rate=2e-3 if start is None else 1e-3),
            device="cpu",
            seed=self.seed,
        )
        return load_network(self.trained(f"fine-tuned {name} {people}", Finetune(config, self.labelled, start)))

    @cached_property
    def labelled(self) -> PersonBatch:
        """People with labels, of whom some are learnt."""
        return wild.unlabelled(self.mocap, self.scale.labelled, wild.LABELLED_SEED)

    def _config(self, name: str, steps: int) -> Stage2Config:
        crops = WEAK_CROPS if self.start == "weak" else CropConfig(mocap=self.mocap, views=3)
        return Stage2Config(
            out=self.folder / name, steps=steps, device="cpu", seed=self.seed, crops=crops, sensors=(wild.SENSOR,)
        )

    def _stage1(self) -> KeypointNetwork:
        if self.start == "strong":
            return load_network()
        config = Stage1Config(
            steps=self.scale.weak_steps, batch_size=32, easy_steps=0, ramp_steps=1, warmup_steps=200, ema_decay=0.995,
            device="cpu", seed=self.seed, validation_people=200, crops=WEAK_CROPS,
        )  # fmt: skip
        return load_network(self.trained("stage1", Stage1(config)))

    def _temporal(self) -> str:
        """The temporal network of this start; a weak start's saw all of the simulation, but no captured motion."""
        if self.start == "strong":
            return ""
        config = TemporalTrainingConfig(
            people=self.scale.temporal_people, steps=self.scale.temporal_steps, device="cpu", seed=self.seed
        )
        return str(self.trained("temporal", TemporalTraining(config, self.network)))


def measure(targets: PersonBatch, truth: PersonBatch) -> dict[str, float]:
    """Errors in cm over all frames with points."""
    predicted, true = (one.required("keypoints")[truth.seen].numpy() for one in (targets, truth))
    summary = Errors.of(predicted, true).summary()
    return {f"{name}_cm": round(100 * value, 2) for name, value in summary.items() if name != "people"}


FOLDER: Final = Path("runs/labelfree")
TEACHERS: Final[tuple[TeacherName, ...]] = ("single", "smoothing", "temporal", "fit")
NOTHING: Final = LossWeights(0.0, 0.0, 0.0, 0.0, 0.0)
# Terms that are added, one at a time, with the paper's weight where it has one.
ADDED: Final = {
    "flow": 0.02,
    "points_to_limb": 0.01,
    "symmetry": 0.5,
    "joint_to_part": 2.0,
}


def labelfree_result(
    mocap: Path, starts: tuple[Start, ...] = ("weak", "strong"), small: bool = False, folder: Path = FOLDER
) -> dict[str, Any]:
    """Both tables and the ablation from each start, and their summary, as docs/benchmarks/labelfree.json holds them."""
    scale, place = SMALL if small else Scale(), folder / ("small" if small else "full")
    rows = {start: start_rows(Runs(start, mocap, place, scale)) for start in starts}
    summaries: dict[str, Any] = {start: summary(found, scale) for start, found in rows.items()}
    return {**summaries, "rows": [row for found in rows.values() for row in found]}


def start_rows(runs: Runs) -> list[Row]:
    """All rows of one start; few labels only from the weak one, which is like the paper's."""
    tables = {"amount": amount(runs), "ablation": ablation(runs)}
    if runs.start == "weak":
        tables["labels"] = few_labels(runs)
    return [row | {"table": table} for table, rows in tables.items() for row in rows]


def amount(runs: Runs) -> list[Row]:
    """Stage I, controls, Stage II by the number of people without labels, and on true labels."""
    *fewer, most = runs.scale.sizes
    largest, stage1 = _sized(runs, most), runs.kept("Stage I", runs.network)
    controls = [runs.kept(name, runs.stage2(name, None, **changes)) for name, changes in _controls(runs)]
    oracle = runs.kept("true labels of all people", runs.oracle())
    return [stage1, *controls, *(_sized(runs, size) for size in fewer), largest, oracle]


def _controls(runs: Runs) -> list[tuple[str, dict[str, Any]]]:
    """Simulated crops alone: as Stage I's, for a weak one also all that can be simulated, and with the wild sensor."""
    crops = CropConfig(mocap=None if runs.start == "weak" else runs.mocap, views=3)
    rich = [("control, all augmentations", {"crops": crops})] if runs.start == "weak" else []
    return [("control", {}), *rich, ("control, the wild sensor", {"crops": replace(crops, sensors=(wild.SENSOR,))})]


def ablation(runs: Runs) -> list[Row]:
    """Pseudo-labels of several teachers in place of bodies simulated anew, and each loss beside these; fewer steps."""
    steps = runs.scale.ablation_steps
    beside = {"seen": 16, "pairs": 6}
    alone = {"seen": 0, "pairs": 14}
    cases: dict[str, tuple[TeacherName | None, dict[str, Any]]] = {
        "control": (None, {}),
        "Stage II": ("fit", {}),
        "without replay": ("fit", {"replay": 0}),
        "the paper's losses": ("single", alone | {"replay": 0, "learner": LearnerConfig()}),
        "the paper's losses, with replay": ("single", alone | {"learner": LearnerConfig()}),
    }
    cases |= {f"pseudo-labels alone, {kind}": (kind, alone) for kind in TEACHERS}
    cases["with pseudo-labels"] = ("fit", beside)
    for term, weight in ADDED.items():
        cases[f"with {term}"] = "fit", beside | {"learner": LearnerConfig(weights=replace(NOTHING, **{term: weight}))}
    return [
        runs.kept(f"ablation, {name}", _ablated(runs, name, kind, changes), steps)
        for name, (kind, changes) in cases.items()
    ]


def _ablated(runs: Runs, name: str, kind: TeacherName | None, changes: dict[str, Any]) -> KeypointNetwork:
    people = runs.pseudo_labelled(kind) if kind else None
    return runs.stage2(f"ablation {name}", people, runs.scale.ablation_steps, **changes)


def few_labels(runs: Runs) -> list[Row]:
    """Fine-tuning on shares of the labels from four initialisations."""
    least, most = runs.scale.sizes[0], runs.scale.sizes[-1]
    starts: dict[str, KeypointNetwork | None] = {
        "random": None,
        "Stage I": runs.network,
        f"Stage I + II, {least} people": _after(runs, least),
        f"Stage I + II, {most} people": _after(runs, most),
    }
    rows = []
    for name, start in starts.items():
        for share in runs.scale.shares:
            network = runs.finetune(name, start, share)
            row = runs.kept(f"{name}, {100 * share:g} % of labels", network, runs.scale.label_steps)
            rows.append(row | {"initialisation": name, "labels_%": 100 * share})
    return rows


def summary(rows: list[Row], scale: Scale) -> dict[str, float]:
    """Stage I, its control and the largest Stage II, in cm."""
    names = {"stage1": "Stage I", "control": "control", "stage2": f"Stage II, {scale.sizes[-1]} people"}
    found = {row["row"]: row for row in rows}
    return {
        f"{short}_{error}": found[name][error]
        for short, name in names.items()
        for error in ("mpjpe_cm", "mpjpe_matched_cm")
    }


def _sized(runs: Runs, size: int) -> Row:
    return runs.kept(_name(size), _after(runs, size)) | {"people": size}


def _after(runs: Runs, size: int) -> KeypointNetwork:
    """What so many people without labels make of the start."""
    return runs.stage2(_name(size), runs.pseudo_labelled(people=size))


def _name(size: int) -> str:
    return f"Stage II, {size} people"
