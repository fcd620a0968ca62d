"""The command `gckpl demo`: a simulated street, replayed, measured against its truth, and shown in a report."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Annotated

import tyro
from rich.console import Console

from gckpl_ros.config import load_config
from gckpl_ros.errors import InputError
from gckpl_ros.evaluate.matching import People
from gckpl_ros.evaluate.report import evaluate
from gckpl_ros.view.report import write_report
from gckpl_training.street.recording import write_street
from gckpl_training.street.report import replay_scenes, summarise, with_truth

MIN_POINTS = 8  # people with fewer returns need not be found


def main(
    out: Annotated[Path, tyro.conf.arg(help="folder for the recordings and the report")] = Path("out/demo"),
    seconds: Annotated[float, tyro.conf.arg(help="length of the simulated recording")] = 15.0,
    seed: Annotated[int, tyro.conf.arg(help="another seed, another street")] = 0,
    viz: Annotated[bool, tyro.conf.arg(help="show everything in rerun while it runs")] = False,
    config: Annotated[Path | None, tyro.conf.arg(help="YAML file, see `gckpl config`")] = None,
    overrides: Annotated[
        tuple[str, ...], tyro.conf.arg(name="set", metavar="SECTION.KEY=VALUE", help="single parameters")
    ] = (),
) -> None:
    """Simulate a street with people and a moving LiDAR, replay it, and write an HTML report with pictures."""
    if seconds < 1:
        raise InputError(f"--seconds {seconds:g}: a demo needs at least 1 s")
    # the sensor moves: people are tracked in the fixed frame that the recording names
    settings, console = load_config(config, ("track.frame=odom", *overrides)), Console()
    street, skeletons = out / "street.mcap", out / "skeletons.mcap"
    with _step(console, "simulate"):
        write_street(street, seconds=seconds, seed=seed)
    with _step(console, "replay"):
        scenes, replayed = replay_scenes(street, skeletons, settings, console, viz)
    with _step(console, "measure"):
        scenes, truths = with_truth(scenes, street)
        report = evaluate([People.of(scene.frame) for scene in scenes], truths, min_points=MIN_POINTS)
    with _step(console, "draw"):
        page = write_report(out, scenes, summarise(replayed, report, scenes, street, skeletons))
    console.print(f"report: {page.resolve()}", soft_wrap=True)


@contextmanager
def _step(console: Console, name: str) -> Iterator[None]:
    start = perf_counter()
    console.print(f"{name} ...")
    yield
    console.print(f"{name} done in {perf_counter() - start:.1f} s")
