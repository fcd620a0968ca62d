"""The command `gckpl demo`: a simulated street, replayed, measured against its truth, and shown in a report."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import perf_counter
from typing import Annotated, Final

import tyro
from rich.console import Console
from rich.progress import Progress

from gckpl_ros.commands.report import Scenes, report
from gckpl_ros.config import load_config
from gckpl_ros.errors import InputError
from gckpl_ros.io.recording.bag import Record
from gckpl_ros.io.recording.replay import replay
from gckpl_ros.runner import Sink
from gckpl_ros.view.rerun_view import RerunView
from gckpl_training.street.recording import write_street

TITLE: Final = "People in a simulated street"
LEAD: Final = (
    "A LiDAR drives through a simulated street where people walk, stand, wave and crouch. Its clouds were recorded, "
    "replayed through detection, keypoint network and tracker as a robot would run them, and compared with the truth."
)


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
    scenes = Scenes(street)
    with _step(console, "replay"), ExitStack() as stack:
        bar = stack.enter_context(Progress(console=console, transient=True))
        sinks: list[Sink] = [scenes, *([stack.enter_context(RerunView(spawn=True))] if viz else [])]

        def progress(records: Iterable[Record], total: int) -> Iterable[Record]:
            return bar.track(records, total, description="replaying")

        replayed = replay(street, skeletons, settings, sinks=sinks, progress=progress)
    with _step(console, "report"):
        page = report(out, scenes, replayed, TITLE, LEAD)
    console.print(f"report: {page.resolve()}", soft_wrap=True)


@contextmanager
def _step(console: Console, name: str) -> Iterator[None]:
    start = perf_counter()
    console.print(f"{name} ...")
    yield
    console.print(f"{name} done in {perf_counter() - start:.1f} s")
