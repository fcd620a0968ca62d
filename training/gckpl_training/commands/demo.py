"""The command `gckpl demo`: a simulated street, replayed, measured against its truth, and shown in a report.

`--real`: a recorded scan that ships, in a picture.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.resources import files
from pathlib import Path
from time import perf_counter
from typing import Annotated, Final

import numpy as np
import tyro
from rich.console import Console
from rich.progress import Progress

from gckpl_ros.commands.report import Scenes, report
from gckpl_ros.config import Config, load_config
from gckpl_ros.errors import InputError
from gckpl_ros.files import atomic_write
from gckpl_ros.io.recording.bag import Record
from gckpl_ros.io.recording.replay import replay
from gckpl_ros.runner import Sink
from gckpl_ros.view.canvas import Image, mean_bearing_deg, perspective
from gckpl_ros.view.pictures import closeup, picture
from gckpl_ros.view.rerun_view import RerunView
from gckpl_ros.view.scene import extent
from gckpl_training.street.recording import write_street

TITLE: Final = "People in a simulated street"
LEAD: Final = (
    "A LiDAR drives through a simulated street where people walk, stand, wave and crouch. Its clouds were recorded, "
    "replayed through detection, keypoint network and tracker as a robot would run them, and compared with the truth."
)

SURE: Final = "detect.min_confidence=0.6"
"""Nobody labelled the scan; at the default of this parameter pieces of walls and posts count as people too."""
CAPTION: Final = "Ouster OS-1-128, one scan"
REAL_PX: Final = (900, 400)
REACH_M: Final = (-12.0, 12.0)


def main(
    out: Annotated[Path, tyro.conf.arg(help="folder for the recordings and the report")] = Path("out/demo"),
    seconds: Annotated[float, tyro.conf.arg(help="length of the simulated recording")] = 15.0,
    seed: Annotated[int, tyro.conf.arg(help="another seed, another street")] = 0,
    real: Annotated[
        bool, tyro.conf.arg(help="a recorded scan of an Ouster OS-1 in place of the street: OUT/real.png")
    ] = False,
    viz: Annotated[bool, tyro.conf.arg(help="show everything in rerun while it runs")] = False,
    config: Annotated[Path | None, tyro.conf.arg(help="YAML file, see `gckpl config`")] = None,
    overrides: Annotated[
        tuple[str, ...], tyro.conf.arg(name="set", metavar="SECTION.KEY=VALUE", help="single parameters")
    ] = (),
) -> None:
    """Simulate a street with people and a moving LiDAR, replay it, and write an HTML report with pictures."""
    if seconds < 1:
        raise InputError(f"--seconds {seconds:g}: a demo needs at least 1 s")
    if real:
        return _real(out, load_config(config, (SURE, *overrides)), Console())
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


def _real(out: Path, settings: Config, console: Console) -> None:
    """A picture of the scan with its skeletons, and a recording with these."""
    source = Path(str(files("gckpl_training.street") / "ouster_os1.npy"))
    scenes = Scenes(source)
    with _step(console, "replay"):
        replay(source, out / "real.mcap", settings, sinks=[scenes])
    (scene,) = scenes.scenes
    around = np.array([[x, y, scene.ground + z] for x in REACH_M for y in REACH_M for z in (0, 2)], np.float32)
    near = [closeup(scene, row).image for row, _ in zip(scene.visible_rows(), range(1), strict=False)]
    shown = Image.new("RGB", (REAL_PX[0] + sum(image.width for image in near), REAL_PX[1]))
    camera = perspective(around, REAL_PX, mean_bearing_deg(extent([scene])) + 14.0, 24.0, fill=0.95)
    shown.paste(picture(scene, camera, caption=CAPTION))
    for image in near:
        shown.paste(image, (REAL_PX[0], 0))
    with atomic_write(out / "real.png", "name another folder with --out") as beside:
        shown.save(beside, format="png")
    console.print(f"picture: {(out / 'real.png').resolve()}", soft_wrap=True)


@contextmanager
def _step(console: Console, name: str) -> Iterator[None]:
    start = perf_counter()
    console.print(f"{name} ...")
    yield
    console.print(f"{name} done in {perf_counter() - start:.1f} s")
