"""Benchmarks: measurements of this machine and of the networks, each a function that returns rows."""

from importlib import import_module
from inspect import Parameter, signature
from pathlib import Path
from typing import Any, Final, Literal

from gckpl_ros.errors import InputError

Name = Literal[
    "replay",
    "simulate",
    "pipeline",
    "accuracy",
    "sensors",
    "flow",
    "labelfree",
    "adaptation",
    "live",
    "detect",
    "track",
    "waymo",
    "data",
    "priors",
    "body",
    "frontier",
    "backends",
]

# The function of each in this package; it takes the options of `gckpl benchmark` that it names, and returns rows, or
# rows and what goes beside them. Modules are imported only when they are needed: live needs Cyclone DDS.
BENCHMARKS: Final[dict[Name, str]] = {
    "replay": "speed.replay_rows",
    "simulate": "speed.simulate_rows",
    "pipeline": "speed.pipeline_rows",
    "accuracy": "accuracy.accuracy_result",
    "sensors": "accuracy.sensor_rows",
    "flow": "flow.flow_rows",
    "labelfree": "labelfree.labelfree_result",
    "adaptation": "adaptation.adaptation_result",
    "live": "live.live_rows",
    "detect": "detect.detect_result",
    "track": "tracking.track_rows",
    "waymo": "waymo.waymo_result",
    "data": "storage.storage_rows",
    "priors": "priors.prior_result",
    "body": "bodies.body_result",
    "frontier": "frontier.frontier_rows",
    "backends": "speed.backend_rows",
}


def measure(
    name: Name,
    recording: Path | None = None,
    mocap: Path | None = None,
    weights: str = "",
    external: bool = False,
    small: bool = False,
    independent: Path | None = None,
    real: Path | None = None,
    scenes: Path | None = None,
    pictures: Path | None = None,
    people: Path | None = None,
    budget_s: float = 240.0,
) -> dict[str, Any]:
    """Rows of a benchmark, and what goes beside them; raises InputError without motions where it needs them."""
    options = {
        "recording": recording, "mocap": mocap, "weights": weights, "external": external, "small": small,
        "independent": independent, "real": real, "scenes": scenes, "pictures": pictures,
        "people": people,
        "budget_s": budget_s,
    }  # fmt: skip
    module, _, function = BENCHMARKS[name].partition(".")
    benchmark = getattr(import_module(f"{__name__}.{module}"), function)
    takes = signature(benchmark).parameters
    if mocap is None and "mocap" in takes and takes["mocap"].default is Parameter.empty:
        raise InputError(f"{name} needs people who walk: give motion capture with --mocap FILE")
    found = benchmark(**{option: value for option, value in options.items() if option in takes})
    return found if isinstance(found, dict) else {"rows": found}
