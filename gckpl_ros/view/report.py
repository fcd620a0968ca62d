"""The report of a replay: one HTML file with pictures, figures and the way on, which needs nothing from outside."""

from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from string import Template

import numpy as np

from gckpl_ros.files import write_file
from gckpl_ros.view.canvas import Image
from gckpl_ros.view.palette import DARK
from gckpl_ros.view.pictures import (
    Closeup,
    animation,
    best_views,
    camera_3d,
    camera_side,
    camera_top,
    closeup,
    picture,
    seconds,
)
from gckpl_ros.view.scene import Scene, trails

# The report's figures as HTML: cards, bars, and the tables of stages, of what was dropped, and of commands.


def cards(figures: Sequence[tuple[str, str, str]]) -> str:
    """Headline figures: (label, value, note) each."""
    return "\n".join(
        f'<div class="card"><div class="label">{escape(label)}</div><div class="value">{escape(value)}</div>'
        f'<div class="note">{escape(note)}</div></div>'
        for label, value, note in figures
    )


def bars(title: str, values: Mapping[str, float]) -> str:
    """A bar chart, one row a label; values that are not finite are left out."""
    finite = {label: value for label, value in values.items() if np.isfinite(value)}
    longest = max([*finite.values(), 1e-9])
    rows = "".join(_row(label, value / longest, f"{value:.1f}") for label, value in finite.items())
    return f'<div class="chart"><h3>{escape(title)}</h3><table>{rows}</table></div>'


def stages(timings_ms: Sequence[Mapping[str, float]]) -> str:
    """Median and 95th percentile of each stage's milliseconds, and of their sum per frame."""
    names = list(dict.fromkeys(name for timing in timings_ms for name in timing))
    if not names:
        return "<p>No timings were recorded.</p>"
    columns = {name: [timing[name] for timing in timings_ms if name in timing] for name in names}
    columns["all stages"] = [sum(timing.values()) for timing in timings_ms if timing]
    medians = {name: float(np.median(values)) for name, values in columns.items()}
    longest = max(max(medians.values()), 1e-9)
    rows = "".join(
        _row(name, medians[name] / longest, f"{medians[name]:.1f}", f"{np.percentile(values, 95):.1f}")
        for name, values in columns.items()
    )
    return f"<table><tr><th>stage</th><th></th><th>median</th><th>95 %</th></tr>{rows}</table>"


def dropped(counts: Sequence[Mapping[str, int]]) -> str:
    """How often each reason to drop something occurred."""
    total: Counter[str] = Counter()
    for count in counts:
        total.update(count)
    rows = "".join(
        f'<tr><th>{escape(reason.replace("_", " "))}</th><td class="number">{number}</td></tr>'
        for reason, number in total.most_common()
        if number
    )
    return f"<table>{rows}</table>" if rows else "<p>Nothing was dropped.</p>"


def commands(rows: Sequence[tuple[str, str]]) -> str:
    """What to run next: (what it does, command) each."""
    return "\n".join(
        f'<div class="command"><p>{escape(purpose)}</p><pre>{escape(command)}</pre></div>' for purpose, command in rows
    )


def _row(label: str, share: float, *numbers: str) -> str:
    cells = "".join(f'<td class="number">{number}</td>' for number in numbers)
    bar = f'<td class="bar"><i style="width:{100 * share:.1f}%"></i></td>'
    return f"<tr><th>{escape(label.replace('_', ' '))}</th>{bar}{cells}</tr>"


WIDE_PX, SIDE_PX, TOP_PX = (1040, 570), (1040, 250), (480, 832)


@dataclass(frozen=True)
class Figure:
    """One headline number: ``Figure("MPJPE", "6.1 cm", "mean keypoint error")``."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Summary:
    """What a report says beside the pictures; ``charts`` maps a title to values by label, in the title's unit."""

    title: str
    lead: str
    figures: Sequence[Figure] = ()
    charts: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    commands: Sequence[tuple[str, str]] = ()


def write_report(
    folder: Path,
    scenes: Sequence[Scene],
    summary: Summary,
    instants: int = 4,
    people: int = 12,
    progress: Callable[[str], None] = lambda step: None,
) -> Path:
    """Write report.html and animation.webp into a folder and return the report's path.

    ``instants`` are spread over the replay; ``people`` is how many tracks get a close-up at most; ``progress`` hears of
    each step.
    """
    progress("animation")
    moving = animation(scenes)
    progress("pictures")
    shown = [_instant(scenes, index) for index in _spread(len(scenes), instants)]
    progress("close-ups")
    views = [closeup(scenes[index], row) for index, row in best_views(scenes, people)]
    page = Template(files(__package__).joinpath("report.html").read_text(encoding="utf-8")).substitute(
        title=escape(summary.title),
        lead=escape(summary.lead),
        figures=cards([(f.label, f.value, f.note) for f in summary.figures]),
        animation=_uri(moving),
        instants="\n".join(shown),
        people="\n".join(map(_person, views)),
        truth_legend='<span><i class="truth"></i>truth</span>' if any(v.error_m is not None for v in views) else "",
        charts="\n".join(bars(title, values) for title, values in summary.charts.items()),
        stages=stages([scene.frame.timings_ms for scene in scenes]),
        dropped=dropped([scene.frame.dropped for scene in scenes]),
        commands=commands(summary.commands),
    )
    write_file(folder / "animation.webp", moving)
    return write_file(folder / "report.html", page)


def webp(image: Image.Image, quality: int = 82) -> bytes:
    """A still picture as WebP."""
    file = BytesIO()
    image.save(file, "WEBP", quality=quality, method=3)
    return file.getvalue()


def _instant(scenes: Sequence[Scene], index: int) -> str:
    scene, paths = scenes[index], trails(scenes, index)
    cameras = camera_3d([scene], WIDE_PX), camera_side([scene], SIDE_PX), camera_top([scene], TOP_PX)
    images = [
        _img(webp(picture(scene, camera, DARK, paths)), name) for camera, name in zip(cameras, _VIEWS, strict=True)
    ]
    people, points = len(scene.visible_rows()), len(scene.cloud)
    caption = f"<b>{seconds(scenes, index):.1f} s</b> {people} people in {points:,} points"
    wide, side, top = images
    return (
        f'<figure class="instant"><div><div class="column">{wide}{side}</div>{top}</div>'
        f"<figcaption>{caption}</figcaption></figure>"
    )


_VIEWS = ("scan with skeletons in perspective", "the same from the side", "the same from above")


def _person(view: Closeup) -> str:
    red, green, blue = (round(255 * value) for value in DARK.track(view.identity))
    error = f"<b>{view.error_m * 100:.1f} cm</b> off, " if view.error_m is not None else ""
    return (
        f'<figure class="person">{_img(webp(view.image), f"person {view.identity}, front and side")}<figcaption>'
        f'<span class="id" style="background:rgb({red},{green},{blue})">{view.identity}</span>'
        f"<span>{error}{view.points} points, {view.range_m:.1f} m, confidence {view.confidence:.2f}</span>"
        f"</figcaption></figure>"
    )


def _spread(count: int, most: int) -> list[int]:
    return sorted({round(share * (count - 1)) for share in np.linspace(0.1, 0.95, most)})


def _img(data: bytes, text: str) -> str:
    return f'<img src="{_uri(data)}" alt="{escape(text)}" loading="lazy">'


def _uri(data: bytes) -> str:
    return f"data:image/webp;base64,{b64encode(data).decode()}"
