"""What learning beside it costs the estimation: time for each cloud with the adapter's thread at work, and without."""

from pathlib import Path
from statistics import median, quantiles
from time import monotonic, perf_counter, sleep
from typing import Any, Final

from gckpl_ros.config import Config
from gckpl_ros.pipeline import Pipeline
from gckpl_training.online_gain import MINUTE, PERIOD_NS, Scan, recording

Row = dict[str, Any]

PEOPLE: Final = 10
COLLECTED: Final = 300
"""Clouds without a pause, so that there is something to learn from."""
TIMED: Final = 300
"""Clouds at 10 Hz, of which each is timed."""


def latency_rows(mocap: Path) -> list[Row]:
    """The same clouds at 10 Hz with and without adaptation, one after the other."""
    scans = recording(mocap, 9, minutes=2, together=PEOPLE)[: min(COLLECTED + TIMED, 2 * MINUTE)]
    off, on = (timed(Config.parse({"adapt": {"enabled": enabled}}), scans) for enabled in (False, True))
    more = 100 * (on["median_ms"] / off["median_ms"] - 1)
    return [{"adaptation": "off", **off}, {"adaptation": "on", **on, "median_more_%": round(more, 1)}]


def timed(config: Config, scans: list[Scan]) -> Row:
    """Median and 95th percentile of a cloud's way through the pipeline (ms), while the adapter's thread learns."""
    pipeline = Pipeline(config)
    pipeline.warm_up()
    for scan in scans[:COLLECTED]:
        pipeline.process(scan.cloud, scan.boxes)
    pipeline.adapter.start()
    start_s, spent = monotonic(), []
    for index, scan in enumerate(scans[COLLECTED:]):
        sleep(max(0.0, start_s + index * PERIOD_NS * 1e-9 - monotonic()))
        before_s = perf_counter()
        pipeline.process(scan.cloud, scan.boxes)
        spent.append(1e3 * (perf_counter() - before_s))
    pipeline.adapter.stop()
    status = pipeline.adapter.status
    figures = {"median_ms": round(median(spent), 1), "p95_ms": round(quantiles(spent, n=20)[-1], 1)}
    return {"people": PEOPLE, "clouds": len(spent), **figures, "steps": status.step, "accepted": status.accepted}
