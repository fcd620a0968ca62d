"""What `gckpl benchmark detect` measures: who is found by the detectors, and what else they report.

A detection and a label belong together up to 0.5 m apart in the plane, greedily by score. Asked for are people within
25 m, in two classes: 20 returns or more, and 8 to 20. A detection at somebody who is not asked for, or at what is
labelled as neither (riders, bicycles, whatever lies outside the labelled part of a frame), counts neither way.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64

from gckpl_ros.config import DetectConfig
from gckpl_ros.detect import detector
from gckpl_ros.errors import InputError
from gckpl_ros.types import Boxes, Cloud
from gckpl_training.bench.labelled import LabelledFrame, independent_streets, real_frames
from gckpl_training.simulate.scenes import POSTURES, VIEWS, SceneScan, SceneSource, load_scans
from gckpl_training.street import Street

LEAST_SCORE: Final = 0.02
"""Average precision and curves are of all that is surer than this, whatever is reported."""
SINGLE_LOOK: Final = {"confirm_s": 0.1}
DETECTORS: Final[Mapping[str, Mapping[str, Any]]] = {"learned": {}, "shape": {"method": "shape"}}
"""Parameters of the section ``detect`` for each row; the first is the one that figures stand for."""
REACH_M, MANY, FEW, SAME_M = 25.0, 20, 8, 0.5
SCENES, STREET_S = 40, 3.0
STREETS: Final = ((11, "spinner32"), (12, "spinner32"), (13, "spinner32"), (14, "os1_64"), (15, "os1_64"))
"""Seeds, and sensors that training never had; the second shows more people with few returns."""
RANGES_M: Final = (0, 5, 10, 15, 20, 25)
RETURNS: Final = (8, 20, 50, 100, 300, 100_000)

Run = Sequence[LabelledFrame]
"""Successive frames."""


NOBODY: Final = -1
NEITHER: Final = -2


@dataclass(frozen=True)
class Found:
    """All frames of a set: n labels and d detections; ``score`` of a label is that of its detection, 0 if missed.

    ``outcome`` of a detection: the row of its label, or NOBODY, or NEITHER.
    """

    frame: Int64[np.ndarray, " n"]
    ranges: Float[np.ndarray, " n"]
    counts: Int64[np.ndarray, " n"]
    postures: tuple[str, ...]
    score: Float[np.ndarray, " n"]
    detected_in: Int64[np.ndarray, " d"]
    detected: Float[np.ndarray, "d 3"]
    scores: Float[np.ndarray, " d"]
    outcome: Int64[np.ndarray, " d"]

    @property
    def asked(self) -> Bool[np.ndarray, " n"]:
        """People in reach with returns enough."""
        near: Bool[np.ndarray, " n"] = (self.ranges <= REACH_M) & (self.counts >= MANY)
        return near


def detect_result(
    mocap: Path | None = None,
    independent: Path | None = None,
    real: Path | None = None,
    scenes: Path | None = None,
    pictures: Path | None = None,
    small: bool = False,
) -> dict[str, Any]:
    """Figures of simulated scenes and streets, and of the sets whose folders are given; raises InputError for others.

    ``scenes``: a folder with shards of the split test, so that they need not be made. ``pictures``: a folder for one
    page of each set with what was missed and what was invented.
    """
    few = 4 if small else SCENES
    simulated = scene_frames(mocap, few) if scenes is None else stored_frames(scenes, few)
    sets = [
        Measured("scenes", "hard, one look", [[frame] for frame in simulated]),
        Measured("simulated", "streets from the third frame on", list(streets(STREETS[: 1 if small else None])), 2),
    ]
    if independent is not None:
        sets.append(Measured("independent", "full clouds, all frames", independent_streets(independent)))
    if real is not None:
        sets.append(Measured("real", "labelled frames", [[frame] for frame in real_frames(real)]))
    rows: list[dict[str, Any]] = []
    result: dict[str, Any] = {}
    for part in sets:
        for method, parameters in DETECTORS.items():
            frames, found = part.measure(parameters)
            _, everything = part.measure({**parameters, "score": LEAST_SCORE})
            row = {"set": f"{part.group}: {part.title}", "detector": method, **summary(found)}
            row |= {"AP_%": round(100 * average_precision(everything), 1)}
            headline = {"recall": row["recall_%"], "precision": row["precision_%"], "rows": [], "curves": {}}
            group = result.setdefault(part.group, headline)
            group["rows"] += [{"set": part.title, "detector": method, **one} for one in breakdown(found)]
            group["curves"][f"{part.title}, {method}"] = curve(everything)
            rows.append(row)
            if pictures is not None:
                page = pictures / f"{part.group}_{part.title.split()[0]}_{method}.png"
                mistakes_page(page, frames, mistakes(frames, found), f"{part.group}: {part.title} ({method})")
    return {"rows": rows, **result}


@dataclass(frozen=True)
class Measured:
    """A set of runs; the first ``skip`` frames of each are looked at, not counted."""

    group: str
    title: str
    runs: Sequence[Run]
    skip: int = 0

    def measure(self, parameters: Mapping[str, Any]) -> tuple[list[LabelledFrame], Found]:
        """The frames that count, and what a detector of these parameters finds in them."""
        single = SINGLE_LOOK if max(map(len, self.runs)) == 1 else {}
        config = DetectConfig(**{**parameters, **single})
        frames = [frame for run in self.runs for frame in run[self.skip :]]
        return frames, match(frames, [boxes for run in self.runs for boxes in look(config, run)[self.skip :]])


def scene_frames(mocap: Path | None, scenes: int) -> Iterator[LabelledFrame]:
    """Held-out scenes of ``simulate.scenes``, each scan for itself."""
    files = () if mocap is None else tuple(sorted(mocap.glob("*.npz"))) if mocap.is_dir() else (mocap,)
    source = SceneSource("test", files)
    for index in range(scenes):
        yield from map(_of_scene, source.scene(index))


def stored_frames(folder: Path, scenes: int) -> Iterator[LabelledFrame]:
    """The same out of the shards of a folder; raises InputError where there is none."""
    files = sorted(folder.glob("*.npz"))
    if not files:
        raise InputError(f"no scenes (.npz) in {folder}: make some with `python -m gckpl_training.simulate.scenes`")
    scans = (scan for file in files for scan in load_scans(file))
    yield from map(_of_scene, islice(scans, scenes * VIEWS))


def _of_scene(scan: SceneScan) -> LabelledFrame:
    postures = tuple(POSTURES[posture] for posture in scan.postures)
    return LabelledFrame(Cloud(scan.points, 0, "lidar"), scan.boxes.astype(np.float64), scan.returns, postures)


def streets(seeds: Sequence[tuple[int, str]]) -> Iterator[Run]:
    """The simulated street with other people, driven along."""
    for seed, sensor in seeds:
        street = Street(seed, sensor, STREET_S)
        yield [_of_scan(street, index) for index in range(len(street))]


def _of_scan(street: Street, index: int) -> LabelledFrame:
    scan = street.scan(index)
    boxes = np.column_stack([scan.boxes.centers, scan.boxes.sizes, scan.boxes.yaws]).astype(np.float64)
    postures = ("street",) * len(boxes)
    return LabelledFrame(scan.cloud, boxes, scan.points_per_person, postures, T_fixed_cloud=scan.T_odom_sensor)


def look(config: DetectConfig, frames: Run) -> list[Boxes]:
    """What a detector finds in successive frames."""
    looks = detector(config)
    return [looks(frame.cloud, frame.T_fixed_cloud) for frame in frames]


def match(frames: Run, boxes: Sequence[Boxes]) -> Found:
    """Detections and labels that belong together, frame by frame."""
    labels, scores, outcomes, offset = [], [], [], 0
    for frame, found in zip(frames, boxes, strict=True):
        of_label, of_detection = match_frame(frame, found)
        scores.append(of_label)
        outcomes.append(np.where(of_detection >= 0, of_detection + offset, of_detection))
        labels.append(frame.boxes)
        offset += len(frame.boxes)
    rows = np.concatenate(labels)
    return Found(
        frame=np.repeat(np.arange(len(frames)), [len(each) for each in labels]),
        ranges=np.concatenate([frame.ranges for frame in frames]),
        counts=np.concatenate([frame.counts for frame in frames]),
        postures=tuple(posture for frame in frames for posture in frame.postures),
        score=np.concatenate(scores) if len(rows) else np.zeros(0),
        detected_in=np.repeat(np.arange(len(frames)), [len(each) for each in boxes]),
        detected=np.concatenate([each.centers for each in boxes]).astype(np.float64),
        scores=np.concatenate([each.scores for each in boxes]).astype(np.float64),
        outcome=np.concatenate(outcomes),
    )


def match_frame(frame: LabelledFrame, found: Boxes) -> tuple[Float64[np.ndarray, " p"], Int64[np.ndarray, " d"]]:
    """Score of each label's detection (0: none), and the outcome of each detection."""
    scores, outcome = np.zeros(len(frame.boxes)), np.full(len(found), NOBODY)
    asked = (frame.ranges <= REACH_M) & (frame.counts >= FEW)
    apart = np.linalg.norm(found.centers[:, None, :2] - frame.boxes[None, :, :2], axis=-1)
    for row in np.argsort(-found.scores, kind="stable"):
        near = np.flatnonzero((apart[row] <= SAME_M) & (scores == 0))
        if len(near):
            label = min(near, key=lambda one: (not asked[one], apart[row, one]))
            scores[label] = found.scores[row]
            outcome[row] = label if asked[label] else NEITHER
        elif (~asked & (apart[row] <= SAME_M)).any() or frame.neither(found.centers[row]):
            outcome[row] = NEITHER
    return scores, outcome


def summary(found: Found) -> dict[str, Any]:
    """Recall of both classes, and precision of all that is reported."""
    few = (found.ranges <= REACH_M) & (found.counts >= FEW) & (found.counts < MANY)
    right, wrong = int((found.outcome >= 0).sum()), int((found.outcome == NOBODY).sum())
    return {
        "frames": int(max(found.frame.max(initial=0), found.detected_in.max(initial=0))) + 1,
        "people": int(found.asked.sum()),
        "recall_%": _share(found.score[found.asked] > 0),
        "recall_8_to_20_%": _share(found.score[few] > 0),
        "invented": wrong,
        "precision_%": round(100 * right / (right + wrong), 1) if right + wrong else None,
    }


def _ranked(found: Found) -> tuple[Float64[np.ndarray, " d"], Bool[np.ndarray, " d"]]:
    """Scores, falling, of the detections that count, and which are right; people with 20 returns or more."""
    right = np.isin(found.outcome, np.flatnonzero(found.asked))
    chosen = np.flatnonzero(right | (found.outcome == NOBODY))
    order = chosen[np.argsort(-found.scores[chosen], kind="stable")]
    return found.scores[order], right[order]


def average_precision(found: Found) -> float:
    """Area under precision over recall; precision made monotonous from the right."""
    _, right = _ranked(found)
    precision = right.cumsum() / np.arange(1, len(right) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(envelope[right].sum() / max(int(found.asked.sum()), 1))


def curve(found: Found, steps: int = 20) -> list[dict[str, float]]:
    """Recall and precision of the detections with at least a score, at scores evenly among the detections."""
    scores, right = _ranked(found)
    ends = np.flatnonzero(np.diff(scores, append=-1.0))  # like scores come in together
    at = np.unique(ends[np.linspace(0, len(ends) - 1, steps).astype(int)]) if len(ends) else ends
    return [
        {
            "score": round(float(scores[end]), 3),
            "recall": round(float(right[: end + 1].sum() / max(int(found.asked.sum()), 1)), 3),
            "precision": round(float(right[: end + 1].mean()), 3),
        }
        for end in at
    ]


def breakdown(found: Found) -> list[dict[str, Any]]:
    """People and recall by range, by returns and by posture; of who has 20 returns or more but where returns divide."""
    inside = found.ranges <= REACH_M
    rows = []
    for low, high in pairwise(RANGES_M):
        rows.append(
            _row(f"range {low} to {high} m", found, found.asked & (found.ranges >= low) & (found.ranges < high))
        )
    for low, high in pairwise(RETURNS):
        name = f"returns {low} to {high}" if high < RETURNS[-1] else f"returns {low} and more"
        rows.append(_row(name, found, inside & (found.counts >= low) & (found.counts < high)))
    postures = np.array(found.postures)
    for posture in (*POSTURES, "street", "unknown"):
        rows.append(_row(posture, found, found.asked & (postures == posture)))
    return [row for row in rows if row["people"]]


def _row(name: str, found: Found, chosen: Bool[np.ndarray, " n"]) -> dict[str, Any]:
    return {"part": name, "people": int(chosen.sum()), "recall_%": _share(found.score[chosen] > 0)}


def _share(values: Bool[np.ndarray, " n"]) -> float | None:
    return round(100 * float(values.mean()), 1) if len(values) else None


class Mistake(NamedTuple):
    """Somebody missed, or something invented."""

    frame: int
    at: Float[np.ndarray, "3"]
    title: str


def mistakes(frames: Sequence[LabelledFrame], found: Found) -> list[Mistake]:
    """Who is missed, nearest first, and what is invented, the surest first."""
    boxes = np.concatenate([frame.boxes for frame in frames])
    missed = np.flatnonzero(found.asked & (found.score == 0))
    invented = np.flatnonzero(found.outcome == NOBODY)
    return [
        Mistake(
            int(found.frame[row]),
            boxes[row, :3],
            f"missed: {found.postures[row]}, {found.ranges[row]:.0f} m, {found.counts[row]} returns",
        )
        for row in missed[np.argsort(found.ranges[missed])]
    ] + [
        Mistake(
            int(found.detected_in[row]),
            found.detected[row],
            f"invented: {found.scores[row]:.2f}, {np.linalg.norm(found.detected[row, :2]):.0f} m",
        )
        for row in invented[np.argsort(-found.scores[invented])]
    ]


PAGE: Final = 20
"""So many of each kind are shown, evenly among all."""


def mistakes_page(path: Path, frames: Sequence[LabelledFrame], shown: Sequence[Mistake], title: str) -> None:
    """A page with the points within 1.6 m of each mistake, seen from the sensor."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    kinds = [[one for one in shown if one.title.startswith(kind)] for kind in ("missed", "invented")]
    chosen = [kind[i] for kind in kinds for i in np.unique(np.linspace(0, len(kind) - 1, PAGE).astype(int)) if kind]
    figure = Figure(figsize=(24, 3.2 * max(1, -(-len(chosen) // 8)) + 0.6))
    figure.suptitle(f"{title}: {len(kinds[0])} missed, {len(kinds[1])} invented")
    for place, one in enumerate(chosen):
        axes = figure.add_subplot(-(-len(chosen) // 8), 8, place + 1)
        local = frames[one.frame].cloud.points - one.at
        local = local[(np.abs(local) < 1.6).all(1)]
        away = one.at[:2] / max(np.linalg.norm(one.at[:2]), 1e-6)
        across, depth = local[:, :2] @ [away[1], -away[0]], local[:, :2] @ away
        axes.scatter(across, local[:, 2], c=depth, s=2, cmap="turbo", vmin=-1, vmax=1)
        axes.set(xlim=(-1.6, 1.6), ylim=(-1.6, 1.6), aspect="equal")
        axes.set_title(one.title, fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=50)
