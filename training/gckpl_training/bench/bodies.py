"""What `gckpl benchmark body` measures: fitted bodies against the network's keypoints, on streets held out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import thread_time
from typing import Any, Final

import numpy as np
from jaxtyping import Bool, Float32, Float64
from scipy.spatial import cKDTree

from gckpl_ros.body.tracker import BodyTracker
from gckpl_ros.config import BodyConfig, Config, TrackConfig
from gckpl_ros.errors import InputError
from gckpl_ros.evaluate.matching import People, match_people
from gckpl_ros.pipeline import Pipeline
from gckpl_ros.skeleton import INDEX
from gckpl_ros.track import Tracker
from gckpl_ros.types import Frame, Sample
from gckpl_training.bench.tracking import other_street


@dataclass(frozen=True)
class Look:
    """A cloud: what the network says of it alone (first rows of the tracked), the tracked frame, and the truth."""

    sample: Sample
    single: Float32[np.ndarray, "b 14 3"]
    frame: Frame
    truth: People


Scene = Sequence[Look]

# A limb's keypoint is hidden where no return of the cloud lies this near to it.
HIDDEN_M: Final = 0.2
_LIMBS: Final = [INDEX[f"{side}_{j}"] for side in ("left", "right") for j in ("elbow", "wrist", "knee", "ankle")]
_ANKLES: Final = [INDEX["left_ankle"], INDEX["right_ankle"]]
# An ankle stands that truly moves less than this from frame to frame.
STANDS_M: Final = 0.01
_FEW: Final = (8, 60)
_BONES: Final = np.array(
    [
        (INDEX[f"{side}_{a}"], INDEX[f"{side}_{b}"])
        for side in ("left", "right")
        for a, b in (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"))
    ]
)


@dataclass(frozen=True)
class Looks:
    """Everybody in every frame who was found: errors (m) of each keypoint by estimator, and what was to be seen."""

    errors: dict[str, Float64[np.ndarray, "n 14"]]
    hidden: Bool[np.ndarray, "n 8"]
    counts: np.ndarray

    def mean_cm(self, name: str, people: np.ndarray | slice = slice(None)) -> float:
        """MPJPE of some people."""
        return round(100 * float(self.errors[name][people].mean()), 2)

    def hidden_cm(self, name: str) -> float:
        """Mean error of hidden limbs' keypoints."""
        return round(100 * float(self.errors[name][:, _LIMBS][self.hidden].mean()), 2)


def body_result(independent: Path | None = None, weights: str = "", small: bool = False) -> dict[str, Any]:
    """Rows by returns, and the figures of all; ``independent``: folder with streets of another simulator (.npz)."""
    if independent is None:
        raise InputError("body needs streets whose people were never trained on: give a folder with --independent")
    paths = sorted(independent.glob("*.npz"))[: 2 if small else None]
    config = Config.parse({"estimate": {"weights": weights}, "track": {"smoothing": 0}})
    all_steps = BodyConfig(enabled=True, budget_ms=10_000)  # whatever else the machine does meanwhile
    return measured([list(seen_street(path, config)) for path in paths], all_steps)


def seen_street(path: Path, config: Config) -> Iterator["Look"]:
    """Every cloud of a street with the network's keypoints, the tracked frame and the truth; true boxes given."""
    pipeline, tracker = Pipeline(config), Tracker(TrackConfig())
    for sample, people in other_street(path, given=True):
        frame = pipeline.process(sample)
        seen = np.arange(len(frame.people or ()))
        single = frame.tracks.skeletons[seen]
        tracks = tracker(frame.tracks.boxes[seen], single, frame.stamp_ns, sample.pose)
        yield Look(sample, single.keypoints, replace(frame, tracks=tracks), people)


def measured(streets: Sequence[Scene], config: BodyConfig) -> dict[str, Any]:
    """Everything that is told of bodies on these streets."""
    tracker = BodyTracker(config)
    looks, slides, bones, times = _looks(streets, tracker)
    few = (looks.counts >= _FEW[0]) & (looks.counts < _FEW[1])
    groups = {"8-60": few, "60-200": (looks.counts >= 60) & (looks.counts < 200), ">=200": looks.counts >= 200}
    groups |= {"all": looks.counts >= _FEW[0]}
    rows = [
        {"returns": name, "people": int(which.sum())}
        | {f"{kind}_cm": looks.mean_cm(kind, which) for kind in looks.errors}
        for name, which in groups.items()
        if which.any()
    ]
    rows.append(
        {"returns": "hidden limbs", "people": int(looks.hidden.sum())}
        | {f"{kind}_cm": looks.hidden_cm(kind) for kind in looks.errors}
    )
    return {
        "rows": rows,
        "tracked_cm": looks.mean_cm("tracked"),
        "occluded_tracked_cm": looks.hidden_cm("tracked"),
        "network_cm": looks.mean_cm("network"),
        "fitted_cm": looks.mean_cm("fused"),
        "few_network_cm": looks.mean_cm("network", few),
        "few_fitted_cm": looks.mean_cm("fused", few),
        "occluded_network_cm": looks.hidden_cm("network"),
        "occluded_fitted_cm": looks.hidden_cm("fused"),
        "standing_foot_moves_cm": {name: round(100 * float(np.median(values)), 2) for name, values in slides.items()},
        "bone_deviation_mm": {name: round(1e3 * value, 1) for name, value in bones.items()},
        "cpu_ms_per_frame": {
            "median": round(float(np.median(times)), 1),
            "p95": round(float(np.quantile(times, 0.95)), 1),
        },
    }


def _looks(streets: Sequence[Scene], tracker: BodyTracker) -> tuple[Any, ...]:
    errors: dict[str, list[np.ndarray]] = {"network": [], "tracked": [], "body": [], "fused": []}
    slides: dict[str, list[float]] = {"tracked": [], "fused": []}
    hidden, counts, times = [], [], []
    lengths: dict[str, list[list[np.ndarray]]] = {"tracked": [], "body": []}
    for street in streets:
        tracker.reset()
        before: dict[int, dict[str, np.ndarray]] = {}
        own: dict[str, dict[int, list[np.ndarray]]] = {"tracked": {}, "body": {}}
        for look in street:
            sample, frame, truth = look.sample, look.frame, look.truth
            start = thread_time()
            embodied = tracker(sample, frame)
            times.append(1e3 * (thread_time() - start))
            bodies = embodied.bodies
            assert bodies is not None
            told = {
                "network": look.single,
                "tracked": frame.tracks.skeletons.keypoints[: len(bodies)],
                "body": bodies.keypoints,
                "fused": embodied.tracks.skeletons.keypoints[: len(bodies)],
            }
            columns, rows = match_people(told["tracked"], truth.keypoints, truth.boxes)
            tree = cKDTree(sample.cloud.points)
            far = tree.query(truth.keypoints[columns][:, _LIMBS])[0] if len(columns) else np.zeros((0, 8))
            hidden.append(far > HIDDEN_M)
            assert truth.counts is not None
            counts.append(truth.counts[columns])
            for name, keypoints in told.items():
                errors[name].append(np.linalg.norm(keypoints[rows] - truth.keypoints[columns], axis=2))
            T = sample.pose
            for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
                person = int(truth.ids[column])
                ankles = {name: told[name][row][_ANKLES] @ T[:3, :3].T + T[:3, 3] for name in slides}
                ankles["truth"] = truth.keypoints[column][_ANKLES] @ T[:3, :3].T + T[:3, 3]
                if last := before.get(person):
                    stands = np.linalg.norm(ankles["truth"] - last["truth"], axis=1) < STANDS_M
                    for name, values in slides.items():
                        values += np.linalg.norm(ankles[name] - last[name], axis=1)[stands].tolist()
                before[person] = ankles
                for name, people in own.items():
                    a, b = told[name][row][_BONES[:, 0]], told[name][row][_BONES[:, 1]]
                    people.setdefault(person, []).append(np.linalg.norm(a - b, axis=1))
        for name, people in own.items():
            lengths[name] += list(people.values())
    looks = Looks(
        {name: np.concatenate(each) for name, each in errors.items()}, np.concatenate(hidden), np.concatenate(counts)
    )
    later = {name: [np.std(each[len(each) // 2 :], axis=0).mean() for each in many] for name, many in lengths.items()}
    return looks, slides, {name: float(np.mean(each)) for name, each in later.items()}, times
