"""What is in person sequences, to look at: figures, plots of them, and sheets of people."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from jaxtyping import Bool, Float32, Float64

from gckpl_ros.errors import InputError
from gckpl_ros.geometry import facing, turned
from gckpl_ros.skeleton import BACKGROUND, CONNECTORS, INDEX, KEYPOINTS, LIMBS, NUM_KEYPOINTS
from gckpl_training.data.sequences import Sequences

QUANTILES: Final = (0.05, 0.5, 0.95)
RANGES_M: Final = (0, 5, 10, 15, 20, 30, 50)
LYING_DEG, BENT_DEG = 60.0, 30.0
"""How far the trunk leans from the vertical."""
STRAIGHT_LEG: Final = 0.8
"""Height of the hips over the ankles, of thigh and shin together, below which somebody sits, kneels or crouches."""


@dataclass(frozen=True)
class Overview:
    """Figures of person sequences; bones in metres by name, of the frames that know both ends."""

    sequences: int
    frames: int
    points: int
    points_per_frame: Float64[np.ndarray, " f"]
    ranges_m: Float64[np.ndarray, " f"]
    seconds: Float64[np.ndarray, " s"]
    known: Mapping[str, float]
    """Share of frames that know each keypoint; empty without keypoints."""
    bones: Mapping[str, Float32[np.ndarray, " k"]]
    postures: Mapping[str, float]
    has: tuple[str, ...]

    def figures(self) -> dict[str, Any]:
        """As JSON."""
        quantiles = {
            name: dict(zip(map(str, QUANTILES), np.quantile(values, QUANTILES).round(4).tolist(), strict=True))
            for name in ("points_per_frame", "ranges_m", "seconds")
            if len(values := getattr(self, name))
        }
        bones = {
            name: {"mean_m": round(float(of.mean()), 4), "std_m": round(float(of.std()), 4), "n": len(of)}
            for name, of in self.bones.items()
            if len(of)
        }
        counts = {name: getattr(self, name) for name in ("sequences", "frames", "points")}
        return {**counts, **quantiles, "known": dict(self.known), "bones": bones, "postures": dict(self.postures)}


def overview(shards: Sequence[Sequences]) -> Overview:
    """Figures of all shards together."""
    per_frame, ranges, seconds, keypoints, known = [], [], [], [], []
    for shard in shards:
        per_frame.append(shard.arrays.get("counts", shard.points_of_frames))
        ranges.append(np.linalg.norm(shard["views"], axis=1))
        if "stamps_ns" in shard:
            ends = shard["frame_start"]
            seconds.append((shard["stamps_ns"][ends[1:] - 1] - shard["stamps_ns"][ends[:-1]]) * 1e-9)
        if "keypoints" in shard:
            keypoints.append(shard["keypoints"])
            known.append(_known(shard))
    empty = np.zeros(0)
    joints = np.concatenate(keypoints) if keypoints else np.zeros((0, NUM_KEYPOINTS, 3), np.float32)
    there = np.concatenate(known) if known else np.zeros((0, NUM_KEYPOINTS), bool)
    return Overview(
        sequences=sum(map(len, shards)),
        frames=sum(len(shard["views"]) for shard in shards),
        points=sum(len(shard["points"]) for shard in shards),
        points_per_frame=np.concatenate([empty, *per_frame]),
        ranges_m=np.concatenate([empty, *ranges]),
        seconds=np.concatenate([empty, *seconds]),
        known=dict(zip(KEYPOINTS, there.mean(0).round(4).tolist(), strict=True)) if len(there) else {},
        bones=bones(joints, there) if len(there) else {},
        postures=postures(joints, there),
        has=tuple(sorted({name for shard in shards for name in shard.arrays})),
    )


def bones(
    keypoints: Float32[np.ndarray, "f 14 3"], known: Bool[np.ndarray, "f 14"]
) -> dict[str, Float32[np.ndarray, " k"]]:
    """Length of each limb (m) in the frames that know both of its ends."""
    found = {}
    for a, b in LIMBS:
        both = known[:, a] & known[:, b]
        found[f"{KEYPOINTS[a]} - {KEYPOINTS[b]}"] = np.linalg.norm(keypoints[both, a] - keypoints[both, b], axis=1)
    return found


def postures(keypoints: Float32[np.ndarray, "f 14 3"], known: Bool[np.ndarray, "f 14"]) -> dict[str, float]:
    """Shares of lying, bent, low (sitting, kneeling, crouching) and upright frames, and of arms above the shoulder.

    Of the frames that know trunk and legs; arms of those that know the arm.
    """
    trunk = [INDEX[f"{side}_{joint}"] for side in ("left", "right") for joint in ("shoulder", "hip", "knee", "ankle")]
    whole = known[:, trunk].all(1)
    if not whole.any():
        return {}
    of = {name: keypoints[whole][:, index] for name, index in INDEX.items()}
    up = (of["left_shoulder"] + of["right_shoulder"] - of["left_hip"] - of["right_hip"]) / 2
    lean = np.degrees(np.arccos(np.clip(up[:, 2] / np.linalg.norm(up, axis=1).clip(1e-6), -1, 1)))
    legs = np.mean([_extended(*(of[f"{s}_{j}"] for j in ("hip", "knee", "ankle"))) for s in ("left", "right")], 0)
    kinds = np.select([lean > LYING_DEG, lean > BENT_DEG, legs < STRAIGHT_LEG], ["lying", "bent", "low"], "upright")
    shares = {kind: round(float((kinds == kind).mean()), 4) for kind in ("upright", "low", "bent", "lying")}
    arms = [
        keypoints[:, wrist, 2] > keypoints[:, shoulder, 2]
        for wrist, shoulder in _arms()
    ]  # fmt: skip
    sure = np.any([known[:, wrist] & known[:, shoulder] for wrist, shoulder in _arms()], 0)
    return shares | {"arm raised": round(float(np.any(arms, 0)[sure].mean()) if sure.any() else 0.0, 4)}


def _arms() -> Iterator[tuple[int, int]]:
    return ((INDEX[f"{side}_wrist"], INDEX[f"{side}_shoulder"]) for side in ("left", "right"))


def _extended(hip: np.ndarray, knee: np.ndarray, ankle: np.ndarray) -> np.ndarray:
    """Height of the hip over the ankle as a share of the leg."""
    leg = np.linalg.norm(hip - knee, axis=1) + np.linalg.norm(knee - ankle, axis=1)
    share: np.ndarray = (hip - ankle)[:, 2] / leg.clip(1e-6)
    return share


def _known(shard: Sequences) -> Bool[np.ndarray, "f 14"]:
    finite: np.ndarray = np.isfinite(shard["keypoints"]).all(-1)
    return finite & shard["keypoint_mask"] if "keypoint_mask" in shard else finite


def plots(found: Overview) -> dict[str, Any]:
    """Pictures of the figures by name, as matplotlib draws them; raises InputError without it."""
    figure = _figure()
    drawn = {}
    shown = {
        "points": ("points of a frame", found.points_per_frame, np.geomspace(1, 5000, 40)),
        "ranges": ("range, m", found.ranges_m, np.linspace(0, 50, 51)),
        "seconds": ("length of a sequence, s", found.seconds, 40),
    }
    for name, (title, values, bins) in shown.items():
        if len(values):
            drawn[name] = figure(figsize=(6, 3.4), dpi=130)
            axes = drawn[name].subplots(gridspec_kw={"bottom": 0.18})
            axes.hist(values, bins=bins, color="#1971c2")
            axes.set_xlabel(title)
            if name == "points":
                axes.set_xscale("log")
    if any(map(len, found.bones.values())):
        drawn["bones"] = figure(figsize=(7.6, 4), dpi=130)
        axes = drawn["bones"].subplots(gridspec_kw={"left": 0.32, "bottom": 0.14})
        lengths = {name: values for name, values in found.bones.items() if len(values)}
        axes.boxplot(list(lengths.values()), orientation="horizontal", tick_labels=list(lengths), showfliers=False)
        axes.set_xlabel("length, m")
    return drawn


def sheet(shards: Sequence[Sequences], people: int = 12, seed: int = 0) -> Any:
    """Some people on one picture, from the front and from the side: points by part, keypoints where known."""
    ends = np.cumsum([len(shard) for shard in shards])
    chosen = np.random.default_rng(seed).permutation(int(ends[-1]))[:people]
    columns = min(6, len(chosen))
    rows = -(-len(chosen) // columns)
    figure = _figure()(figsize=(2.6 * columns, 2.9 * rows), dpi=120)
    grid = figure.subplots(rows, 2 * columns, squeeze=False, gridspec_kw={"wspace": 0, "hspace": 0.15})
    for axes in grid.flat:
        axes.set_axis_off()
    for place, person in enumerate(sorted(chosen)):
        shard = int(np.searchsorted(ends, person, side="right"))
        two = grid[place // columns, 2 * (place % columns) : 2 * (place % columns) + 2]
        _person(two, shards[shard], int(person - (ends[shard - 1] if shard else 0)))
    return figure


def _person(axes: np.ndarray, shard: Sequences, person: int) -> None:
    """The frame with the most points, seen from where the person looks, or else from the sensor, and from the side."""
    frames = np.arange(shard["frame_start"][person], shard["frame_start"][person + 1])
    frame = int(frames[shard.points_of_frames[frames].argmax()])
    chosen = slice(shard["point_start"][frame], shard["point_start"][frame + 1])
    points = shard.metres("points", chosen)
    keypoints = known = None
    view = shard["views"][frame]
    towards = np.arctan2(-view[1], -view[0])
    if "keypoints" in shard:
        keypoints, known = shard["keypoints"][frame], _known(shard)[frame]
        left, right = INDEX["left_hip"], INDEX["right_hip"]
        if known[left] and known[right]:
            towards = facing(keypoints[left] - keypoints[right])
    parts = shard["parts"][chosen] if "parts" in shard else np.zeros(len(points), np.uint8)
    for axis, yaw in zip(axes, (towards, towards + np.pi / 2), strict=True):
        seen = turned(points, -np.asarray(yaw, np.float32))
        axis.scatter(seen[:, 1], seen[:, 2], s=2, c=np.where(parts == BACKGROUND, NUM_KEYPOINTS, parts), cmap="tab20")
        if keypoints is not None and known is not None:
            joints = turned(keypoints, -np.asarray(yaw, np.float32))
            for a, b in (*LIMBS, *CONNECTORS):
                if known[a] and known[b]:
                    axis.plot(joints[[a, b], 1], joints[[a, b], 2], color="#212529", linewidth=1.2)
        axis.set_xlim(-1.1, 1.1)
        axis.set_ylim(-1.3, 1.3)
        axis.set_aspect("equal")
    axes[0].set_title(f"{len(points)} at {np.linalg.norm(view):.1f} m", fontsize=7, loc="left")


def _figure() -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise InputError("plots need matplotlib: pip install 'gckpl_ros[report]'") from error
    return Figure
