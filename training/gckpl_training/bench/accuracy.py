"""What `gckpl benchmark accuracy` and `sensors` measure: people, motions, a sensor and streets never seen before."""

from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory
from typing import Any, Final, get_args

import torch

from gckpl_ros.commands.evaluate import measure
from gckpl_ros.config import DetectConfig, load_config
from gckpl_ros.estimate.checkpoint import load_network
from gckpl_ros.io.recording.replay import replay
from gckpl_training.learn.validate import Validation
from gckpl_training.simulate.maker import CropConfig
from gckpl_training.street.recording import write_street


def accuracy_rows(weights: str = "", mocap: Path | None = None, people: int = 2000) -> list[dict[str, Any]]:
    """Errors in cm by number of points on the person, all people last."""
    figures = Validation(CropConfig(mocap=mocap), people, torch.device("cpu"))(load_network(weights))
    bins = dict.fromkeys(key.split("/")[1] for key in figures if key.startswith("by_points/"))
    whole = _row("all", figures, "") | {
        "PCK_10cm_%": round(100 * figures["pck/0.1"], 1),
        "calibration_error": round(figures["ece"], 3),
        "part_accuracy_%": round(100 * figures["part_accuracy"], 1),
    }
    return [*(_row(name, figures, f"by_points/{name}/") for name in bins), whole]


def _row(name: str, figures: dict[str, float], prefix: str) -> dict[str, Any]:
    names = {"MPJPE_cm": "mpjpe", "PA-MPJPE_cm": "pa_mpjpe", "MPJPE_matched_cm": "mpjpe_matched"}
    errors = {column: round(100 * figures[prefix + key], 1) for column, key in names.items()}
    return {"points": name, "people": int(figures[f"{prefix}people"])} | errors


SENSORS: Final = ("waymo_top", "os1_128", "os1_64", "spinner32", "spinner16", "mid360")
STREETS: Final = (4, 5)


def sensor_rows(seconds: float = 15.0) -> list[dict[str, Any]]:
    """Two rows for each sensor model: people found in simulated streets by either method, without boxes given."""
    return [row for sensor in SENSORS for row in _sensor_rows(sensor, seconds)]


def _sensor_rows(sensor: str, seconds: float) -> list[dict[str, Any]]:
    with TemporaryDirectory() as name:
        streets = [Path(name) / f"{seed}.mcap" for seed in STREETS]
        for seed, street in zip(STREETS, streets, strict=True):
            write_street(street, sensor, seconds, seed)
        methods = get_args(DetectConfig.model_fields["method"].annotation)
        return [{"sensor": sensor, "method": method, **_figures(streets, method)} for method in methods]


def _figures(streets: Sequence[Path], method: str) -> dict[str, Any]:
    """Of all streets together."""
    reports = [_report(street, method) for street in streets]
    people = [report["people"] for report in reports]
    true, found, invented = (sum(each[key] for each in people) for key in ("true", "found", "invented"))
    error_m = sum(report["keypoints"]["mpjpe"] * report["people"]["found"] for report in reports if report["keypoints"])
    return {
        "people": true,
        "precision_%": round(100 * found / max(found + invented, 1), 1),
        "recall_%": round(100 * found / true, 1),
        "MPJPE_cm": round(100 * error_m / max(found, 1), 1),
        "PEM_cm": round(100 * mean(each["pem"] for each in people), 1),
    }


def _report(street: Path, method: str) -> dict[str, Any]:
    out = street.with_suffix(".out.mcap")
    replay(street, out, load_config(None, ["track.frame=odom", f"detect.method={method}"]))
    return measure(out, truth_bag=street).figures
