"""The report as tables for the terminal: centimetres and percent."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Group
from rich.table import Table

from gckpl_ros.evaluate.report import Report


def tables(report: Report) -> Group:
    """People and tracks; keypoint errors by range and by number of points; single figures; joints left and right."""
    figures = report.figures
    shown = [_people(figures)]
    if figures["keypoints"]:
        shown += [_errors(figures), _quality(figures), _joints(figures["keypoints"])]
    return Group(*shown)


def _people(figures: Mapping[str, Any]) -> Table:
    people, tracking, frames = figures["people"], figures["tracking"], figures["frames"]
    only = ", ".join(
        f"{frames[f'only_{side}']} only {side}" for side in ("truth", "predicted") if frames[f"only_{side}"]
    )
    rows = {
        "frames compared": f"{frames['compared']}" + (f" ({only})" if only else ""),
        "people, true / found": f"{people['true']} / {people['found']}",
        "missed / invented": f"{people['missed']} / {people['invented']}",
        "precision / recall": f"{_percent(people['precision'])} / {_percent(people['recall'])}",
        "PEM": f"{_cm(people['pem'])} cm",
        "OKS AP": _percent(people["oks_ap"]),
        "identities": f"{tracking['people']}",
        "id switches / fragmentations": f"{tracking['id_switches']} / {tracking['fragmentations']}",
        "mostly tracked": _percent(tracking["mostly_tracked"]),
        "MOTA": _percent(tracking["mota"]),
    }
    return _two_columns("People and tracks", rows)


def _errors(figures: Mapping[str, Any]) -> Table:
    table = Table(title="Keypoint errors, cm", title_justify="left")
    table.add_column("")
    for name in ("people", "recall", "MPJPE", "PA-MPJPE", "matched"):
        table.add_column(name, justify="right")
    for name, row, recall in _rows(figures):
        errors = (_cm(row[key]) for key in ("mpjpe", "pa_mpjpe", "mpjpe_matched"))
        table.add_row(name, str(row["people"]), _percent(recall), *errors)
    return table


def _rows(figures: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, int | float], float]]:
    keypoints, people = figures["keypoints"], figures["people"]
    yield "all", keypoints, people["recall"]
    for kind, unit in (("range", "m"), ("points", "points")):
        for name, row in keypoints[f"by_{kind}"].items():
            yield f"{name} {unit}", row, people[f"recall_by_{kind}"][name]


def _quality(figures: Mapping[str, Any]) -> Table:
    keypoints = figures["keypoints"]
    within = {f"PCK within {float(t) * 100:g} cm": _percent(value) for t, value in keypoints["pck"].items()}
    scaled = {f"PCK within {t} x box scale": _percent(value) for t, value in keypoints["pck_box"].items()}
    single = {
        "PCK AUC, 0 to 20 cm": _percent(keypoints["auc"]),
        "OKS": _percent(keypoints["oks"]),
        "calibration error (ECE)": _percent(figures["calibration"]["ece"]),
    }
    return _two_columns("Keypoints of found people", within | scaled | single)


def _joints(keypoints: Mapping[str, Any]) -> Table:
    table = Table(title="MPJPE by keypoint, cm", title_justify="left")
    table.add_column("")
    for side in ("left", "right"):
        table.add_column(side, justify="right")
    errors = dict(keypoints["per_joint"])
    for name in [name for name in errors if name.startswith("left_")]:
        joint = name.removeprefix("left_")
        table.add_row(joint, _cm(errors.pop(name)), _cm(errors.pop(f"right_{joint}")))
    for name, error in errors.items():
        table.add_row(name.replace("_", " "), _cm(error), "")
    return table


def _two_columns(title: str, rows: Mapping[str, str]) -> Table:
    table = Table("", "", title=title, title_justify="left", show_header=False)
    table.columns[1].justify = "right"
    for row in rows.items():
        table.add_row(*row)
    return table


def _cm(metres: float) -> str:
    return f"{metres * 100:.1f}"


def _percent(fraction: float) -> str:
    return f"{fraction * 100:.1f} %"
