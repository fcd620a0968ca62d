"""What a replay did, as data and as a table."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gckpl_ros.adapt import Activity, AdaptationState
from gckpl_ros.errors import InputError
from gckpl_ros.io.live.status import figures, to_dict
from gckpl_ros.reasons import DROPPED, MENDED, SKIPPED, of_kind, shortened
from gckpl_ros.types import Frame


@dataclass(frozen=True)
class Summary:
    """Counts and latencies. ``skipped``: clouds without a result, ``dropped``: people and detections, by reason.

    ``mended``: what was used nevertheless. ``examples``: of each reason the first. ``notes``: what was taken in place
    of a topic that is not in the recording.
    """

    source: str
    out: str
    topic: str
    clouds: int
    frames: int
    people: int
    ids: int
    skipped: Mapping[str, int]
    dropped: Mapping[str, int]
    mended: Mapping[str, int]
    examples: Mapping[str, str]
    stages_ms: Mapping[str, Mapping[str, float]]
    adaptation: AdaptationState
    notes: Sequence[str] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {**vars(self), "adaptation": to_dict(self.adaptation)}


@dataclass
class Tally:
    """Counts while a replay runs."""

    clouds: int = 0
    frames: int = 0
    people: int = 0
    ids: set[int] = field(default_factory=set)
    numbers: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    timings_ms: list[Mapping[str, float]] = field(default_factory=list)

    def count(self, reason: str, number: int = 1, example: str = "") -> None:
        """Count what has no result, was left out or mended."""
        self.numbers[reason] += number
        if example:
            self.examples.setdefault(reason, shortened(example))

    def check(self, source: Path, topic: str) -> None:
        """Raise InputError if there is not a single result."""
        if not self.frames:
            first = next((reason for reason in self.numbers if reason in SKIPPED), "it has no messages")
            why = f"{first}: {self.examples[first]}" if first in self.examples else first
            raise InputError(f"{source}: none of the {self.clouds} clouds on {topic} can be used: {why}")

    def add(self, frame: Frame) -> None:
        """Count one result."""
        self.frames += 1
        self.people += len(frame.tracks)
        self.ids.update(frame.tracks.ids.tolist())
        self.numbers.update(frame.dropped)
        self.timings_ms.append(frame.timings_ms)

    def summary(
        self, source: Path, out: Path, topic: str, adaptation: AdaptationState, notes: Sequence[str]
    ) -> Summary:
        """All in all; a stage's total is the sum of all stages of one frame."""
        stages = {name: [t.get(name, 0.0) for t in self.timings_ms] for name in _names(self.timings_ms)}
        stages["total"] = [sum(t.values()) for t in self.timings_ms]
        return Summary(
            source=str(source),
            out=str(out),
            topic=topic,
            clouds=self.clouds,
            frames=self.frames,
            people=self.people,
            ids=len(self.ids),
            skipped=of_kind(SKIPPED, self.numbers),
            dropped=of_kind(DROPPED, self.numbers),
            mended=of_kind(MENDED, self.numbers),
            examples=self.examples,
            stages_ms={
                name: {"median": float(np.median(values)), "p95": float(np.percentile(values, 95))}
                for name, values in stages.items()
                if values
            },
            adaptation=adaptation,
            notes=list(notes),
        )


def table(summary: Summary) -> Any:
    """A rich table: counts, milliseconds per stage (median, 95th percentile), what was skipped and dropped and why.

    And what was learnt, with adaptation on.
    """
    from rich.table import Table
    from rich.text import Text

    made = Table(title=f"{summary.topic} -> {summary.out}", title_justify="left", show_header=False)
    for note in summary.notes:
        made.add_row("taken", note)
    made.add_row("clouds", str(summary.clouds))
    made.add_row("frames with a result", str(summary.frames))
    made.add_row("people, over all frames", str(summary.people))
    made.add_row("different ids", str(summary.ids))
    made.add_section()
    for stage, values in summary.stages_ms.items():
        made.add_row(f"{stage}, ms (p95)", f"{values['median']:.1f} ({values['p95']:.1f})")
    made.add_section()
    for what, reasons in (("skipped", summary.skipped), ("dropped", summary.dropped), ("mended", summary.mended)):
        for reason, count in Counter(reasons).most_common():
            example = summary.examples.get(reason)
            made.add_row(f"{what}: {reason}", Text(f"{count}, the first: {example}" if example else str(count)))
    if summary.adaptation.state != Activity.DISABLED:
        made.add_section()
        for name, value in figures(summary.adaptation).items():
            made.add_row(f"adaptation, {name}", value)
    return made


def _names(timings: list[Mapping[str, float]]) -> list[str]:
    return list(dict.fromkeys(name for frame in timings for name in frame))
