"""What `gckpl benchmark labelfree` measures: learning without labels on the simulated wild domain.

The paper's two tables (GC-KPL, CVPR 2023): Stage II by amount of unlabelled data, beside a control that has as many
steps of simulated crops alone; and fine-tuning on few labels from several initialisations. From a weak Stage I as the
paper's and from the one that ships. Every row is kept when it is measured: a stopped run goes on where it was.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from gckpl_ros.adapt.learner import LearnerConfig
from gckpl_ros.adapt.total import LossWeights
from gckpl_ros.estimate.network import KeypointNetwork
from gckpl_training import wild
from gckpl_training.crops import CropConfig
from gckpl_training.labelfree_runs import SMALL, Row, Runs, Scale, Start
from gckpl_training.stage2_config import TeacherName

FOLDER: Final = Path("runs/labelfree")
TEACHERS: Final[tuple[TeacherName, ...]] = ("single", "smoothing", "temporal", "fit")
NOTHING: Final = LossWeights(0.0, 0.0, 0.0, 0.0, 0.0)
# Terms that are added, one at a time, with the paper's weight where it has one.
ADDED: Final = {
    "flow": 0.02,
    "points_to_limb": 0.01,
    "symmetry": 0.5,
    "joint_to_part": 2.0,
    "limb_radius": 0.5,
    "bone_length": 0.5,
    "left_right": 0.5,
}


def labelfree_result(
    mocap: Path, starts: tuple[Start, ...] = ("weak", "strong"), small: bool = False, folder: Path = FOLDER
) -> dict[str, Any]:
    """Both tables and the ablation from each start, and their summary, as docs/benchmarks/labelfree.json holds them."""
    scale, place = SMALL if small else Scale(), folder / ("small" if small else "full")
    rows = {start: start_rows(Runs(start, mocap, place, scale)) for start in starts}
    summaries = {start: summary(found, scale) for start, found in rows.items()}
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
    largest, stage1 = _sized(runs, most), runs.kept("Stage I", lambda: runs.network)
    controls = [runs.kept(name, partial(runs.stage2, name, None, **changes)) for name, changes in _controls(runs)]
    oracle = runs.kept("true labels of all people", runs.oracle)
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
        runs.kept(f"ablation, {name}", partial(_studied, runs, name, kind, changes), steps)
        for name, (kind, changes) in cases.items()
    ]


def _studied(runs: Runs, name: str, kind: TeacherName | None, changes: dict[str, Any]) -> KeypointNetwork:
    lore = runs.lore(kind) if kind else None
    return runs.stage2(f"ablation {name}", lore, runs.scale.ablation_steps, **changes)


def few_labels(runs: Runs) -> list[Row]:
    """Fine-tuning on shares of the labels from four initialisations."""
    least, most = runs.scale.sizes[0], runs.scale.sizes[-1]
    starts: dict[str, Callable[[], KeypointNetwork | None]] = {
        "random": lambda: None,
        "Stage I": lambda: runs.network,
        f"Stage I + II, {least} people": lambda: runs.after(least),
        f"Stage I + II, {most} people": lambda: runs.after(most),
    }
    rows = []
    for name, begin in starts.items():
        for share in runs.scale.shares:
            train = partial(runs.finetune, name, begin, share)
            row = runs.kept(f"{name}, {100 * share:g} % of labels", train, runs.scale.label_steps)
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
    name = f"Stage II, {size} people"
    return runs.kept(name, lambda: runs.stage2(name, runs.lore(people=size))) | {"people": size}
