"""The command `gckpl benchmark`: measurements of this machine as JSON, for the tables of README.md and docs/."""

import json
import os
import platform
from collections.abc import Callable
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from gckpl_ros.errors import InputError
from gckpl_ros.files import write_file
from gckpl_training.learn.run import commit

Rows = list[dict[str, Any]]


def main(
    name: tyro.conf.Positional[
        Literal["replay", "simulate", "pipeline", "accuracy", "presets", "flow", "labelfree", "adaptation", "live"]
    ],
    out: Annotated[Path, tyro.conf.arg(help="folder for NAME.json")] = Path("docs/benchmarks"),
    recording: Annotated[Path | None, tyro.conf.arg(help="replay: this one; None: the simulated street")] = None,
    mocap: Annotated[Path | None, tyro.conf.arg(help="motions to use; None: procedural ones")] = None,
    weights: Annotated[str, tyro.conf.arg(help="other weights than those that ship")] = "",
    external: Annotated[bool, tyro.conf.arg(help="live: measure the node that runs, with ROS or without")] = False,
    small: Annotated[
        bool, tyro.conf.arg(help="labelfree, adaptation: less of everything, to see that it runs")
    ] = False,
) -> None:
    """Measure speed (ms, medians), accuracy (cm) or both; write OUT/NAME.json, live --external writes node.json."""
    from rich.console import Console

    from gckpl_training.bench import accuracy, speed
    from gckpl_training.bench import flow as flow_accuracy
    from gckpl_training.bench import presets as preset_gain

    measure: dict[str, Callable[[], Rows]] = {
        "replay": partial(speed.replay_rows, recording, weights),
        "simulate": speed.simulate_rows,
        "pipeline": partial(speed.pipeline_rows, weights),
        "accuracy": partial(accuracy.accuracy_rows, weights, mocap),
        "presets": preset_gain.preset_rows,
        "flow": partial(flow_accuracy.flow_rows, weights, mocap),
        "live": partial(_live_rows, weights, external),
    }
    measured = _learnt(name, mocap, small) if name in ("labelfree", "adaptation") else {"rows": measure[name]()}
    title = "node" if external else name
    file = write(out / f"{title}.json", {"name": title, **circumstances(), **measured})
    for row in measured["rows"]:
        Console().print(row)
    Console().print(f"written to {file}; `make tables` puts it into the documents")


def _live_rows(weights: str, external: bool) -> Rows:
    from gckpl_training.bench.live import live_rows  # needs Cyclone DDS, the others do not

    return live_rows(weights=weights, external=external)


def _learnt(name: str, mocap: Path | None, small: bool) -> dict[str, Any]:
    from gckpl_training.bench import adaptation as online_gain
    from gckpl_training.bench import adaptation as online_latency
    from gckpl_training.bench import labelfree

    if mocap is None:
        raise InputError(f"{name} needs people who walk: give motion capture with --mocap FILE")
    if name == "labelfree":
        return labelfree.labelfree_result(mocap, small=small)
    gain = online_gain.adaptation_rows(mocap, *((2, (1, 2)) if small else ()))
    tables = {"latency": online_latency.latency_rows(mocap), "gain": gain}
    return {"rows": [{"table": table, **row} for table, rows in tables.items() for row in rows]}


def circumstances() -> dict[str, Any]:
    """When, on what, and of which commit a measurement is."""
    import torch

    machine = {
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }
    return {"date": datetime.now(timezone.utc).date().isoformat(), "commit": commit(), "machine": machine}


def cpu_model(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The processor's name, as Linux knows it."""
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def write(file: Path, measurement: dict[str, Any]) -> Path:
    """Write JSON whole or not at all; raises InputError where the folder cannot be written."""
    return write_file(file, json.dumps(measurement, indent=2) + "\n", mend="name another folder with --out")
