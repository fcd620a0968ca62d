"""The command `gckpl evaluate`: a replayed recording against its truth."""

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
from rich.console import Console
from tyro.conf import Positional, arg

from gckpl_ros.config import CropConfig
from gckpl_ros.evaluate.matching import People
from gckpl_ros.evaluate.report import Report, evaluate
from gckpl_ros.evaluate.show import tables
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
