"""What `gckpl benchmark accuracy` and `sensors` measure: people, motions, sensors and streets never seen before.

Sets of held-out people, each in one frame: `hard`, as in the model card; others like it under other sensors and nearer
than training was for long; `protocol`, as the anchors of the field are measured; `independent`, another simulator's.
A posture is low where the head is less than 1.2 m above the lower ankle; somebody is turned whose heading, by hips and
shoulders, is off by more than 90 degrees.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory
from typing import Any, Final, get_args

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gckpl_ros.batch import PersonBatch
from gckpl_ros.body.body import Posed
from gckpl_ros.commands.evaluate import measure
from gckpl_ros.config import CropConfig as RuntimeCrop
from gckpl_ros.config import DetectConfig, load_config
from gckpl_ros.errors import InputError
from gckpl_ros.estimate.checkpoint import SHIPPED, load_network
from gckpl_ros.estimate.network import KeypointNetwork
from gckpl_ros.evaluate.metrics import POINT_BINS, Errors, pck, reliability
from gckpl_ros.files import load_arrays
from gckpl_ros.geometry import facing
from gckpl_ros.io.recording.replay import replay
from gckpl_ros.people.crop import crop
from gckpl_ros.skeleton import INDEX
from gckpl_ros.types import Boxes, Cloud
from gckpl_training.learn.validate import VALIDATION_SEED, held_out, predict
from gckpl_training.motion.files import read_mocap
from gckpl_training.motion.library import MotionLibrary
from gckpl_training.simulate.maker import CropConfig
from gckpl_training.simulate.people import CropSource
from gckpl_training.simulate.wild import TEST, UNLABELLED
from gckpl_training.street.recording import write_street

SENSORS: Final = ("waymo_top", "os1_128", "os1_64", "spinner32", "spinner16", "mid360")
HARD, PROTOCOL, INDEPENDENT = "hard", "protocol", ("test", "full")
NEAR_M: Final = (0.7, 3.0)
ON_FOOT: Final = tuple(name for name in (*UNLABELLED, *TEST) if name not in ("06_09", "11_01"))
"""Daily motions of the val subjects: they walk and run; without the dribbler and the one who kicks."""
DIVIDED: Final = (HARD, PROTOCOL, *(f"independent {name}" for name in INDEPENDENT))
"""Sets whose groups have rows of their own."""
LOW_M: Final = 1.2
TRUNK: Final = ("hip", "shoulder")
AROUND_JOINTS_M: Final = 0.2
EVERY, LEAST = 2, 20
"""Of independent streets every second frame counts, and people with this many returns."""
RANGES_M: Final = {"<3": (0.0, 3.0), "3-8": (3.0, 8.0), "8-15": (8.0, 15.0), ">=15": (15.0, np.inf)}
TURNS_DEG: Final = {"<30": (0.0, 30.0), "30-90": (30.0, 90.0), ">90": (90.0, np.inf)}


@dataclass(frozen=True)
class HeldOut:
    """A set of people with truth, in batches that a network takes."""

    name: str
    title: str
    batches: Sequence[PersonBatch]

    def column(self, name: str) -> np.ndarray:
        """A field of all people."""
        found: np.ndarray = torch.cat([batch.required(name) for batch in self.batches]).numpy()
        return found

    @property
    def groups(self) -> Iterator[tuple[str, str, Bool[np.ndarray, " n"]]]:
        """Who belongs together: by posture, range, points."""
        low, ranges = low_postures(self.column("keypoints")), np.linalg.norm(self.column("views")[:, :2], axis=1)
        yield from (("posture", "low", low), ("posture", "upright", ~low))
        for by, values, bins in (("range m", ranges, RANGES_M), ("points", self.column("counts"), POINT_BINS)):
            for group, (start, end) in bins.items():
                yield by, group, (values >= start) & (values < end)


@dataclass(frozen=True)
class Score:
    """What one network says of one set: errors of n people, how far their headings are off (deg), confidence."""

    errors: Errors
    turned_deg: Float[np.ndarray, " n"]
    confidence: Float[np.ndarray, "n 14"]
    part_accuracy: float

    @staticmethod
    def of(network: KeypointNetwork, people: HeldOut) -> "Score":
        """Run a network on a set."""
        keypoints, logits, right, points = predict(network, list(people.batches))
        truth = people.column("keypoints")
        off = np.abs((headings(keypoints) - headings(truth) + np.pi) % (2 * np.pi) - np.pi)
        sure = 1 / (1 + np.exp(-logits))
        return Score(Errors.of(keypoints, truth), np.degrees(off), sure, right / max(points, 1))

    def cm(self, chosen: Bool[np.ndarray, " n"] | None = None) -> float | None:
        """Mean error (cm) of the people chosen; None of nobody."""
        plain = self.errors.plain if chosen is None else self.errors.plain[chosen]
        return round(100 * float(plain.mean()), 1) if len(plain) else None


def low_postures(keypoints: Float[np.ndarray, "n 14 3"]) -> Bool[np.ndarray, " n"]:
    """Whose head is less than 1.2 m above the lower ankle."""
    ankles = keypoints[:, [INDEX["left_ankle"], INDEX["right_ankle"]], 2].min(1)
    low: np.ndarray = keypoints[:, INDEX["head_center"], 2] - ankles < LOW_M
    return low


def headings(keypoints: Float[np.ndarray, "n 14 3"]) -> Float[np.ndarray, " n"]:
    """Where people look (rad), by hips and shoulders together."""
    across = (keypoints[:, INDEX[f"left_{joint}"]] - keypoints[:, INDEX[f"right_{joint}"]] for joint in TRUNK)
    return facing(sum(across))


class ProtocolSource(CropSource):
    """People as the field's anchors are measured: the true joints' box and 0.2 m more, sensors of training."""

    def __init__(self, crops: CropConfig) -> None:
        super().__init__(replace(crops, validation_sensors=crops.sensors), VALIDATION_SEED, torch.device("cpu"), "val")
        if crops.mocap is not None:
            daily = [clip for clip in read_mocap(crops.mocap, "val") if clip.name in ON_FOOT]
            self.library = MotionLibrary(daily) if daily else self.library

    def boxes(self, posed: Posed, config: CropConfig) -> tuple[Float[Tensor, "b 3"], Float[Tensor, "b 3"], Tensor]:
        """Of the joints, along the sensor's axes."""
        low, high = posed.keypoints.amin(1), posed.keypoints.amax(1)
        return (low + high) / 2, high - low + 2 * AROUND_JOINTS_M, torch.zeros(len(low))


def independent_people(folder: Path, every: int = EVERY) -> list[PersonBatch]:
    """People of another simulator's streets in their true boxes; raises InputError where there is no street."""
    files = sorted(folder.glob("*.npz"))
    if not files:
        raise InputError(f"no street (.npz) in {folder}: name the folder of the independent streets' test and full")
    found = [person for file in files for person in _street_people(file, every)]
    return PersonBatch.join(found).split(256, torch.Generator().manual_seed(0))


def _street_people(file: Path, every: int) -> Iterator[PersonBatch]:
    street = load_arrays(file, "points_2mm", "frame_start", "boxes", "counts", "keypoints")
    for row in range(0, len(street["boxes"]), every):
        points = street["points_2mm"][slice(*street["frame_start"][row : row + 2])].astype(np.float32) / 500
        boxes, truth = street["boxes"][row].astype(np.float32), street["keypoints"][row].astype(np.float32)
        seen = np.flatnonzero(np.isfinite(boxes).all(1) & (street["counts"][row] >= LEAST))
        there = Boxes(boxes[seen, :3], boxes[seen, 3:6], boxes[seen, 6], np.ones(len(seen), np.float32))
        crops, kept, _ = crop(Cloud(points, 0, "lidar"), there, RuntimeCrop())
        keypoints = torch.from_numpy(truth[seen[kept]]) - crops.required("origins")[:, None]
        if len(crops):
            yield replace(crops, keypoints=keypoints)


def held_out_sets(mocap: Path | None, independent: Path | None, small: bool) -> list[HeldOut]:
    """All sets; independent ones where there is the folder with both."""
    people, few = (60, 12) if small else (2000, 300)
    crops, device = CropConfig(mocap=mocap), torch.device("cpu")
    sets = [HeldOut(HARD, "hard", held_out(crops, people, device, VALIDATION_SEED))]
    for name in SENSORS:
        if name not in crops.validation_sensors:
            under = replace(
                crops, validation_sensors=(name,), range_m=(1.5, 8.0) if name == "mid360" else crops.range_m
            )
            sets.append(HeldOut(name, f"hard, under {name}", held_out(under, few, device, VALIDATION_SEED)))
    near = replace(crops, range_m=NEAR_M, mount_height_m=(0.3, 2.5))
    sets.append(HeldOut("near", "hard, nearer than 3 m", held_out(near, few, device, VALIDATION_SEED)))
    daily = ProtocolSource(crops)
    sets.append(HeldOut(PROTOCOL, "protocol", daily.draw(people // 2).split(256, daily.generator)))
    if independent is not None:
        every = 10 if small else EVERY
        names = {name: f"independent {name}" for name in INDEPENDENT}
        sets += [HeldOut(title, title, independent_people(independent / name, every)) for name, title in names.items()]
    return sets


def accuracy_result(
    weights: str = "", mocap: Path | None = None, independent: Path | None = None, small: bool = False
) -> dict[str, Any]:
    """Errors in cm of each network that ships, or of ``weights`` alone; figures of the best one stand at the top."""
    sets = held_out_sets(mocap, independent, small)
    scores: dict[str, dict[str, Score]] = {}
    for name in [weights] if weights else SHIPPED:
        network = load_network(name)
        scores[Path(name).stem] = {people.name: Score.of(network, people) for people in sets}
    figures = {name: _figures_of(sets, score) for name, score in scores.items()}
    best = min(figures, key=lambda name: figures[name][HARD]["all_cm"])
    rows = [*_summary(figures), *_group_rows(sets, scores)]
    return {"weights": best, **figures[best], "networks": figures, "rows": rows}


def _figures_of(sets: Sequence[HeldOut], scores: Mapping[str, Score]) -> dict[str, Any]:
    """Of one network, by set."""
    found: dict[str, Any] = {}
    for people in sets:
        score, groups = scores[people.name], {(by, group): rows for by, group, rows in people.groups}
        plain = 100 * score.errors.plain.mean(1)
        found[people.name] = {
            "people": len(plain),
            "all_cm": score.cm(),
            "median_cm": round(float(np.median(plain)), 1),
            "ge100_cm": score.cm(groups["points", ">=100"]),
            "low_posture_cm": score.cm(groups["posture", "low"]),
            "upright_cm": score.cm(groups["posture", "upright"]),
            "near_cm": score.cm(groups["range m", "<3"]),
            "turned_share": round(float((score.turned_deg > 90).mean()), 3),
            "pa_cm": round(100 * float(score.errors.aligned.mean()), 1),
            "matched_cm": round(100 * float(score.errors.matched.mean()), 1),
            "pck_10cm": round(pck(score.errors.plain, (0.1,))[0.1], 3),
            "ece": round(reliability(score.confidence, score.errors.plain).ece, 3),
            "part_accuracy": round(score.part_accuracy, 3),
        }
    own = {name: found.pop(f"independent {name}") for name in INDEPENDENT if f"independent {name}" in found}
    own |= {f"{name}_cm": own[name]["all_cm"] for name in tuple(own)}
    return {**found, "independent": own}


SUMMARY: Final[Mapping[str, tuple[str, ...]]] = {
    "hard validation, all, cm": (HARD, "all_cm"),
    "hard's median, cm": (HARD, "median_cm"),
    "at 100 points or more, cm": (HARD, "ge100_cm"),
    "low postures, cm": (HARD, "low_posture_cm"),
    "upright, cm": (HARD, "upright_cm"),
    "turned by more than 90 degrees, share": (HARD, "turned_share"),
    "after the best similarity (PA-MPJPE), cm": (HARD, "pa_cm"),
    "matched, cm": (HARD, "matched_cm"),
    "keypoints within 10 cm, share": (HARD, "pck_10cm"),
    "calibration error": (HARD, "ece"),
    "points whose part is right, share": (HARD, "part_accuracy"),
    "nearer than 3 m, sensor at 0.3 to 2.5 m, cm": ("near", "all_cm"),
    "protocol, on foot, at 100 points or more, cm": (PROTOCOL, "ge100_cm"),
    "protocol, on foot, all, cm": (PROTOCOL, "all_cm"),
    "independent test, all, cm": ("independent", "test", "all_cm"),
    "test's median, cm": ("independent", "test", "median_cm"),
    "test's people nearer than 3 m, cm": ("independent", "test", "near_cm"),
    "independent full, all, cm": ("independent", "full", "all_cm"),
    "full's median, cm": ("independent", "full", "median_cm"),
    "full's people nearer than 3 m, cm": ("independent", "full", "near_cm"),
}


def _summary(figures: Mapping[str, Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """One row for each figure, one column for each network."""
    for title, way in SUMMARY.items():
        row: dict[str, Any] = {"table": "networks", "on": title}
        for name, found in figures.items():
            value: Any = found
            for key in way:
                value = value.get(key) if value is not None else None
            row[name] = value
        if any(row[name] is not None for name in figures):
            yield row


def _group_rows(sets: Sequence[HeldOut], scores: Mapping[str, Mapping[str, Score]]) -> Iterator[dict[str, Any]]:
    """Errors of each network in each group of each set; by heading error, each network has its own people."""
    for people in sets:
        whole = np.ones(len(people.column("counts")), bool)
        groups = people.groups if people.name in DIVIDED else ()
        for by, group, chosen in (("", "all", whole), *groups):
            if chosen.any():
                row = {"table": "groups", "set": people.title, "by": by, "group": group, "people": int(chosen.sum())}
                yield row | {f"{name}_cm": score[people.name].cm(chosen) for name, score in scores.items()}
    for name, score in scores.items():
        turned = score[HARD].turned_deg
        for group, (start, end) in TURNS_DEG.items():
            chosen = (turned >= start) & (turned < end)
            row = {"table": "groups", "set": f"hard, {name}", "by": "heading off by deg", "group": group}
            yield row | {"people": int(chosen.sum()), f"{name}_cm": score[HARD].cm(chosen)}


STREETS: Final = (4, 5)


def sensor_rows(seconds: float = 15.0) -> list[dict[str, Any]]:
    """Two rows for each sensor model: people found in simulated streets by either method, without boxes given."""
    return [row for sensor in SENSORS for row in _sensor_rows(sensor, seconds)]


def _sensor_rows(sensor: str, seconds: float) -> list[dict[str, Any]]:
    with TemporaryDirectory() as name:
        streets = [Path(name) / f"{seed}.mcap" for seed in STREETS]
        for seed, street in zip(STREETS, streets, strict=True):
            write_street(street, sensor, seconds, seed)
        methods = get_args(DetectConfig.model_fields["method"].annotation)
        return [{"sensor": sensor, "method": method, **_figures(streets, method)} for method in methods]


def _figures(streets: Sequence[Path], method: str) -> dict[str, Any]:
    """Of all streets together."""
    reports = [_report(street, method) for street in streets]
    people = [report["people"] for report in reports]
    true, found, invented = (sum(each[key] for each in people) for key in ("true", "found", "invented"))
    error_m = sum(report["keypoints"]["mpjpe"] * report["people"]["found"] for report in reports if report["keypoints"])
    return {
        "people": true,
        "precision_%": round(100 * found / max(found + invented, 1), 1),
        "recall_%": round(100 * found / true, 1),
        "MPJPE_cm": round(100 * error_m / max(found, 1), 1),
        "PEM_cm": round(100 * mean(each["pem"] for each in people), 1),
    }


def _report(street: Path, method: str) -> dict[str, Any]:
    out = street.with_suffix(".out.mcap")
    replay(street, out, load_config(None, ["track.frame=odom", f"detect.method={method}"]))
    return measure(out, truth_bag=street).figures
