"""What `gckpl benchmark accuracy` measures: the network on people, motions and a sensor that training never saw."""

from pathlib import Path
from typing import Any

import torch

from gckpl_ros.estimate.checkpoint import load_network
from gckpl_training.learn.validate import Validation
from gckpl_training.simulate.maker import CropConfig


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
