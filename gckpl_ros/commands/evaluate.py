"""The command `gckpl evaluate`: a replayed recording against its truth."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
from rich.console import Console, Group
from rich.table import Table
from tyro.conf import Positional, arg

from gckpl_ros.config import CropConfig
from gckpl_ros.evaluate.matching import People
from gckpl_ros.evaluate.report import Report, evaluate
from gckpl_ros.files import atomic_write, write_file
from gckpl_ros.io.messages.pointcloud2 import to_points
from gckpl_ros.io.messages.skeletons import from_skeleton_array, stamp_ns
from gckpl_ros.io.recording.bag import BagReader
from gckpl_ros.people.crop import crop
from gckpl_ros.types import Cloud

SKELETONS: Final = "gckpl_ros/msg/SkeletonArray"
CLOUD: Final = "sensor_msgs/msg/PointCloud2"


def main(
    bag: Annotated[
        Positional[Path], arg(metavar="BAG", help="Recording with predicted skeletons, as replay writes it.")
    ],
    truth: Annotated[str, arg(help="Topic of the true skeletons.")] = "/truth/skeletons",
    truth_bag: Annotated[Path | None, arg(help="Recording with the truth, if it is not BAG itself.")] = None,
    predictions: Annotated[str, arg(help="Topic of the predicted skeletons.")] = "/gckpl/skeletons",
    cloud: Annotated[str, arg(help="Topic of the clouds, to count points by; empty: the only one there is.")] = "",
    tolerance_ms: Annotated[float, arg(help="Stamps this far apart are one frame.")] = 1.0,
    min_points: Annotated[int, arg(help="True people with fewer points need not be found.")] = 8,
    out: Annotated[Path | None, arg(help="Folder for evaluation.json and the plots.")] = None,
) -> None:
    """Measure the skeletons of a replayed recording against true ones: errors, detection, identities, calibration."""
    if out is not None:
        import_module("gckpl_ros.evaluate.plots")  # what it lacks is told before the work
    report = measure(bag, truth, truth_bag, predictions, cloud, tolerance_ms, min_points)
    console = Console()
    console.print(tables(report))
    if out is not None:
        write(report, out)
        console.print(f"report and plots: {out}", soft_wrap=True)


def measure(
    bag: Path,
    truth: str = "/truth/skeletons",
    truth_bag: Path | None = None,
    predictions: str = "/gckpl/skeletons",
    cloud: str = "",
    tolerance_ms: float = 1.0,
    min_points: int = 8,
) -> Report:
    """The report of a recording; the arguments are the command's. Raises InputError where it cannot be made."""
    with ExitStack() as stack:
        predicted_in = stack.enter_context(BagReader(bag))
        truth_in = stack.enter_context(BagReader(truth_bag)) if truth_bag else predicted_in
        found = list(_people(predicted_in, predictions, "--predictions"))
        true = _with_counts(list(_people(truth_in, truth, "--truth")), truth_in, cloud)
    return evaluate(found, true, round(tolerance_ms * 1e6), min_points)


def write(report: Report, folder: Path) -> None:
    """Write evaluation.json and the plots (PNG) into a folder; raises InputError where that cannot be."""
    from gckpl_ros.evaluate.plots import plots

    mend = "name another folder with --out"
    for name, figure in plots(report).items():
        with atomic_write(folder / f"{name}.png", mend) as beside:
            figure.savefig(beside, format="png")
    figures = json.dumps(report.figures, indent=1, allow_nan=False)
    write_file(folder / "evaluation.json", figures + "\n", mend)


def _people(reader: BagReader, topic: str, option: str) -> Iterator[People]:
    topic = reader.topic(SKELETONS, topic, option)
    for record in reader.records([topic]):
        yield People.of(from_skeleton_array(reader.decode(record)))


def _with_counts(truths: Sequence[People], reader: BagReader, topic: str) -> list[People]:
    """The number of returns inside each true box, where the recording holds the cloud of that stamp."""
    if not topic and not reader.of_type(CLOUD):
        return list(truths)
    places = {(people.stamp_ns, people.frame_id): place for place, people in enumerate(truths)}
    counted = list(truths)
    for record in reader.records([reader.topic(CLOUD, topic, "--cloud")]):
        message = reader.decode(record)
        place = places.get((stamp_ns(message.header.stamp), message.header.frame_id))
        if place is not None:
            counted[place] = replace(truths[place], counts=_count(message, truths[place]))
    return counted


def _count(message: Any, truth: People) -> np.ndarray:
    cloud = Cloud(to_points(message)[0], truth.stamp_ns, truth.frame_id)
    crops, kept, _ = crop(cloud, truth.boxes, CropConfig(margin_m=0, min_points=1))
    counts = np.zeros(len(truth), np.int64)
    counts[kept] = crops.required("counts").numpy()
    return counts


# The report as tables for the terminal: centimetres and percent.


def tables(report: Report) -> Group:
    """People and tracks; keypoint errors by range and by number of points; single figures; joints left and right."""
    figures = report.figures
    shown = [_people_table(figures)]
    if figures["keypoints"]:
        shown += [_errors(figures), _quality(figures), _joints(figures["keypoints"])]
    return Group(*shown)


def _people_table(figures: Mapping[str, Any]) -> Table:
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
        "MOTA / IDF1": f"{_percent(tracking['mota'])} / {_percent(tracking['idf1'])}",
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
