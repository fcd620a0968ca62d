"""The report's figures as HTML: cards, bars, and the tables of stages, of what was dropped, and of commands."""

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np


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
