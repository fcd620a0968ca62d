"""The command `gckpl benchmark`: measurements of this machine as JSON, for the tables of README.md and docs/."""

import json
import os
import platform
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Any

import tyro

from gckpl_ros.files import write_file
from gckpl_training.bench import Name, measure
from gckpl_training.learn.run import commit


def main(
    name: tyro.conf.Positional[Name],
    out: Annotated[Path, tyro.conf.arg(help="folder for NAME.json")] = Path("docs/benchmarks"),
    recording: Annotated[Path | None, tyro.conf.arg(help="replay: this one; None: the simulated street")] = None,
    mocap: Annotated[Path | None, tyro.conf.arg(help="motions to use; None: procedural ones")] = None,
    weights: Annotated[str, tyro.conf.arg(help="other weights than those that ship")] = "",
    external: Annotated[bool, tyro.conf.arg(help="live: measure the node that runs, with ROS or without")] = False,
    small: Annotated[
        bool,
        tyro.conf.arg(
            help="labelfree, adaptation, detect, accuracy, frontier, waymo, data, priors, body: less of it all"
        ),
    ] = False,
    independent: Annotated[
        Path | None,
        tyro.conf.arg(
            help="detect, body: folder of another simulator's streets; accuracy: of its streets test and full"
        ),
    ] = None,
    real: Annotated[Path | None, tyro.conf.arg(help="detect: folder of labelled real frames")] = None,
    scenes: Annotated[Path | None, tyro.conf.arg(help="detect: shards of test scenes; None: made here")] = None,
    pictures: Annotated[
        Path | None, tyro.conf.arg(help="detect: folder for pages of what was missed and invented")
    ] = None,
    people: Annotated[
        Path | None, tyro.conf.arg(help="waymo: folder with train and val, as `gckpl data convert` makes them")
    ] = None,
    budget_s: Annotated[float, tyro.conf.arg(help="frontier: seconds of a core for each; 0: costs alone")] = 240.0,
) -> None:
    """Measure speed (ms, medians), accuracy (cm) or both; write OUT/NAME.json, live --external writes node.json."""
    from rich.console import Console

    options = (recording, mocap, weights, external, small, independent, real, scenes, pictures, people, budget_s)
    measured = measure(name, *options)
    title = "node" if external else name
    file = write(out / f"{title}.json", {"name": title, **circumstances(), **measured})
    for row in measured["rows"]:
        Console().print(row)
    Console().print(f"written to {file}; `make tables` puts it into the documents")


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
