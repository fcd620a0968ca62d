"""Plots of an evaluation, by matplotlib, which the extra [report] brings."""

from collections.abc import Mapping
from typing import Final, Literal

import numpy as np

from gckpl_ros.errors import InputError
from gckpl_ros.evaluate.metrics import CORRECT_WITHIN_M, Errors, Reliability
from gckpl_ros.evaluate.report import Report
from gckpl_ros.skeleton import KEYPOINTS

try:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
except ImportError as error:
    raise InputError("plots need matplotlib: pip install 'gckpl_ros[report]'") from error

_LEFT: Final = "#e8590c"
_RIGHT: Final = "#1971c2"
_SECOND: Final = "#74c0fc"
_GREY: Final = "#adb5bd"
_TEXT: Final = "#495057"
_ERRORS: Final = {"mpjpe": ("MPJPE", _RIGHT), "mpjpe_matched": ("matched", _SECOND), "pa_mpjpe": ("PA-MPJPE", _GREY)}
_CURVE_LIMIT_CM: Final = 30


def plots(report: Report) -> dict[str, Figure]:
    """Pictures by name; none where nobody was found, and none over the number of points where that is not known."""
    keypoints = report.figures["keypoints"]
    if not keypoints:
        return {}
    figures = {
        "pck_curve": _pck_curve(report.errors, keypoints["auc"]),
        "error_by_joint": _by_joint(keypoints["per_joint"]),
        "error_by_range": _bars("Keypoint error by range", "range of the person, m", keypoints["by_range"]),
        "reliability": _reliability(report.reliability),
    }
    points = {name: row for name, row in keypoints["by_points"].items() if name != ">=100"}
    if points:
        figures["error_by_points"] = _bars("Keypoint error by number of points", "points on the person", points)
    return figures


def _axes(title: str, x: str, y: str, grid: Literal["x", "y", "both"] = "y") -> tuple[Figure, Axes]:
    figure = Figure(figsize=(7.6, 4.4), dpi=130)
    # Fixed margins: matplotlib's automatic layouts draw everything twice.
    axes = figure.subplots(gridspec_kw={"left": 0.12, "right": 0.98, "top": 0.91, "bottom": 0.17})
    axes.set_title(title, loc="left", fontsize=12, fontweight="bold", color="#212529")
    axes.set_xlabel(x, color=_TEXT)
    axes.set_ylabel(y, color=_TEXT)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_GREY)
    axes.tick_params(colors=_TEXT)
    axes.grid(axis=grid, color="#e9ecef", linewidth=1)
    axes.set_axisbelow(True)
    return figure, axes


def _pck_curve(errors: Errors, auc: float) -> Figure:
    figure, axes = _axes("Correct keypoints by threshold (PCK)", "threshold, cm", "keypoints within it, %", "both")
    thresholds = np.linspace(0, _CURVE_LIMIT_CM, 301)
    curves = {"named keypoints": (errors.plain, _RIGHT), "matched": (errors.matched, _SECOND)}
    for label, (distances, colour) in curves.items():
        known = np.sort(distances[~np.isnan(distances)])
        share = np.searchsorted(known, thresholds / 100, side="right") / known.size
        axes.plot(thresholds, share * 100, color=colour, linewidth=2.2, label=label)
    axes.set(xlim=(0, _CURVE_LIMIT_CM), ylim=(0, 102))
    legend_title = f"AUC to 20 cm: {auc * 100:.1f} %"
    axes.legend(frameon=False, loc="lower right", title=legend_title, alignment="left")
    return figure


def _bars(title: str, x: str, bins: Mapping[str, Mapping[str, int | float]]) -> Figure:
    figure, axes = _axes(title, x, "mean error, cm")
    places = np.arange(len(bins))
    for number, (key, (label, colour)) in enumerate(_ERRORS.items()):
        heights = [row[key] * 100 for row in bins.values()]
        drawn = axes.bar(places + (number - 1) * 0.28, heights, 0.26, color=colour, label=label)
        axes.bar_label(drawn, fmt="%.1f", fontsize=7, color=_TEXT, padding=2)
    axes.set_xticks(places, [f"{name}\n{row['people']:,} people" for name, row in bins.items()])
    axes.tick_params(axis="x", length=0)
    axes.margins(y=0.18)
    axes.legend(frameon=False, ncols=3, loc="upper left")
    return figure


def _by_joint(errors: Mapping[str, float]) -> Figure:
    figure, axes = _axes("Mean error of each keypoint", "", "", "x")
    joints = list(dict.fromkeys(name.removeprefix("left_").removeprefix("right_") for name in KEYPOINTS))
    for side, colour, shift in (("left_", _LEFT, -0.2), ("right_", _RIGHT, 0.2), ("", _TEXT, 0.0)):
        rows = [(place, errors[side + joint] * 100) for place, joint in enumerate(joints) if side + joint in errors]
        drawn = axes.barh(
            [place + shift for place, _ in rows],
            [error for _, error in rows],
            0.38,
            color=colour,
            label=f"the person's {side[:-1]}" if side else None,
        )
        axes.bar_label(drawn, fmt="%.1f", fontsize=8, color=_TEXT, padding=3)
    axes.set_yticks(range(len(joints)), [joint.replace("_", " ") for joint in joints])
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("MPJPE, cm", loc="left", color=_TEXT)
    axes.invert_yaxis()
    axes.margins(x=0.1)
    figure.legend(frameon=False, loc="lower right", ncols=2)
    return figure


def _reliability(curve: Reliability) -> Figure:
    y = f"keypoints within {CORRECT_WITHIN_M * 100:g} cm of the truth, %"
    figure, axes = _axes("Is the confidence true?", "confidence, %", y, "both")
    axes.plot((0, 100), (0, 100), color=_GREY, linewidth=1.2, linestyle="--", label="a true confidence")
    axes.plot(curve.confidence * 100, curve.accuracy * 100, color=_RIGHT, linewidth=1.5, zorder=3)
    area = 20 + 380 * curve.counts / curve.counts.max()
    axes.scatter(curve.confidence * 100, curve.accuracy * 100, area, _RIGHT, zorder=4, edgecolor="white")
    axes.set(xlim=(-2, 102), ylim=(-2, 105))
    title = f"ECE {curve.ece * 100:.1f} %, area: number of keypoints"
    axes.legend(frameon=False, loc="upper left", title=title, alignment="left")
    return figure
