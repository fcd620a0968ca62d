"""The command `gckpl live`: skeletons of live clouds on a ROS 2 network, without ROS."""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Annotated, TypeAlias

import tyro
from rich.console import Console
from rich.text import Text

from gckpl_ros.adapt import Activity
from gckpl_ros.config import Config, load_config
from gckpl_ros.io.dds.node import Node
from gckpl_ros.io.dds.participant import Participant
from gckpl_ros.io.dds.stop import Stop
from gckpl_ros.io.live.interface import input_overrides
from gckpl_ros.io.live.network import buffer_warning
from gckpl_ros.io.live.status import Report, in_words, what_is_wrong
from gckpl_ros.pipeline import Pipeline

Show: TypeAlias = Callable[[str], None]

_SILENT_S = 1.5
_LINE_S, _PLAIN_LINE_S = 1.0, 5.0


def main(
    points: Annotated[tuple[str, ...], tyro.conf.arg(metavar="TOPIC ...", help="PointCloud2 topics")] = (),
    detections: Annotated[
        str | None, tyro.conf.arg(metavar="TOPIC", help="Detection3DArray topic; none: not used")
    ] = None,
    config: Annotated[Path | None, tyro.conf.arg(help="YAML file, see `gckpl config`")] = None,
    overrides: Annotated[
        tuple[str, ...], tyro.conf.arg(name="set", metavar="SECTION.KEY=VALUE", help="single parameters")
    ] = (),
    name: Annotated[str, tyro.conf.arg(help="name of the node: it publishes /NAME/skeletons and so on")] = "gckpl",
    local: Annotated[bool, tyro.conf.arg(help="this machine only: always works, if all programs say it")] = False,
) -> None:
    """Find people in the LiDAR clouds of a ROS 2 network and publish their skeletons, without ROS, until Ctrl-C."""
    settings = load_config(config, [*overrides, *input_overrides(points, detections)])
    console = Console(stderr=True)
    if warning := buffer_warning():
        console.print(warning, highlight=False, soft_wrap=True)
    pipeline = Pipeline(settings)
    pipeline.warm_up()
    gc.freeze()  # what is there stays to the end: looking through all of it takes tenths of a second each time
    with Stop() as stop, Participant(local) as network:
        node = Node(network, pipeline, settings, name)
        with node.running(), _display(console) as show:
            _watch(node, settings, stop, show, console)
        _print_news(node, console)
        console.print("\n".join(_summary(node)), highlight=False, markup=False)


def _watch(node: Node, settings: Config, stop: Stop, show: Show, console: Console) -> None:
    """Report on /diagnostics and on the terminal, each in its own time, until the end is asked for."""
    line_s = _LINE_S if console.is_terminal else _PLAIN_LINE_S
    report_due, line_due = monotonic(), monotonic() + _LINE_S
    while not stop.wait(min(report_due, line_due) - monotonic()):
        now = monotonic()
        if now >= report_due:
            node.report()
            report_due = now + settings.output.diagnostics_period_s
        if now >= line_due:
            _print_news(node, console)
            show(_line(node))
            line_due = now + line_s


@contextmanager
def _display(console: Console) -> Iterator[Show]:
    """One line that changes on a terminal, a line each elsewhere."""
    if not console.is_terminal:
        yield lambda text: console.print(text, highlight=False, markup=False, soft_wrap=True)
        return
    with console.status("listening") as status:
        yield lambda text: status.update(Text(text))


def _print_news(node: Node, console: Console) -> None:
    for text in node.news():
        console.print(text, highlight=False, markup=False)


def _line(node: Node) -> str:
    report = node.status.report()
    if report.silent_s is None or report.silent_s > _SILENT_S:
        since = "" if report.silent_s is None else f" for {report.silent_s:.0f} s"
        others = node.elsewhere()
        hint = f"; clouds are on {', '.join(others)}: choose by --points" if others else ""
        return f"no clouds on {', '.join(node.points)}{since}{hint}"
    latency = report.stages_ms.get("latency", {"median": 0.0, "p95": 0.0})
    times = f"{latency['median']:.0f} ms (95 %: {latency['p95']:.0f} ms)"
    return f"{report.rate_hz:.1f} Hz, {report.people} people, {times}{_left_out(report)}"


def _left_out(report: Report) -> str:
    skipped = sum(report.recently_skipped.values())
    return f", {skipped} clouds skipped lately: {what_is_wrong(report)}" if skipped else ""


def _summary(node: Node) -> Iterator[str]:
    report = node.status.report()
    yield f"{report.clouds} clouds, {report.frames} results"
    for what, reasons in (("skipped", report.skipped), ("dropped", report.dropped), ("mended", report.mended)):
        for reason, count in reasons.items():
            latest = f", the latest: {report.examples[reason]}" if reason in report.examples else ""
            yield f"  {what}: {reason}: {count}{latest}"
    if node.adaptation.state != Activity.DISABLED:
        yield f"adaptation {in_words(node.adaptation)}"
