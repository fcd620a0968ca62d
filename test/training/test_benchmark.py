"""Benchmarks: the crowd that they time is what it says, and what they write is whole."""

import json
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch

from gckpl_ros.errors import InputError
from gckpl_ros.estimate.checkpoint import save_network
from gckpl_ros.estimate.tokens import TokenConfig, TokenNetwork
from gckpl_training.bench import BENCHMARKS, Name, measure, speed, storage
from gckpl_training.commands.benchmark import circumstances, cpu_model, write
from gckpl_training.lidar import sensor


@pytest.fixture
def weights(tmp_path: Path) -> str:
    torch.manual_seed(0)
    small = TokenConfig(width=32, point_width=16, heads=2, layers=2)
    save_network(tmp_path / "small.safetensors", TokenNetwork(small), {})
    return str(tmp_path / "small.safetensors")


def test_ground_returns_lie_on_the_ground_along_the_beams() -> None:
    model = sensor("spinner16")
    points = speed.ground_returns(model)
    below = np.radians([e for e in model.elevations_deg if e < 0])
    reached = below[model.mount_height_m / -np.tan(below) < model.max_range_m]
    assert len(points) == len(reached) * model.columns
    np.testing.assert_allclose(points[:, 2], -model.mount_height_m, atol=1e-6)
    elevations = np.arctan2(points[:, 2], np.linalg.norm(points[:, :2], axis=1))
    np.testing.assert_allclose(np.unique(elevations.round(4)), np.unique(reached.round(4)), atol=2e-4)


def test_everybody_of_the_crowd_has_a_box_with_returns() -> None:
    cloud, boxes = speed.crowd(4)
    assert len(boxes) == 4
    distance = np.linalg.norm(boxes.centers[:, :2], axis=1)
    assert (distance > 3).all() and (distance < 13).all()
    for center in boxes.centers:
        near = np.linalg.norm(cloud.points[:, :2] - center[:2], axis=1) < 1
        assert (near & (cloud.points[:, 2] > -1.7)).sum() >= 8


def test_the_pipeline_estimates_all_whom_it_is_timed_for(weights: str) -> None:
    rows = speed.pipeline_rows(weights, crowds=(1, 3), repeats=2)
    assert [row["people"] for row in rows] == [row["skeletons"] for row in rows] == [1, 3]
    for row in rows:
        stages = [row[f"{stage}_ms"] for stage in ("detect", "crop", "estimate", "track")]
        assert row["total_ms"] == pytest.approx(sum(stages), abs=0.02)
        assert min(stages) >= 0


def test_crops_on_disk_take_what_their_arrays_do(weights: str) -> None:
    """Of a crop 7 bytes for each point (int16, part), 12 of its view, 168 of keypoints, 20 of counts and bounds."""
    (row,) = storage.storage_rows(weights, small=True)
    assert row["crops"] == 4096 and 0 < row["share_of_waiting_%"] < 100
    assert row["bytes_per_crop"] == pytest.approx(7 * row["points_per_crop"] + 12 + 168 + 20, rel=0.05)


def test_a_measurement_says_when_where_and_of_what() -> None:
    made = circumstances()
    assert made["machine"]["torch"] == torch.__version__
    assert made["machine"]["cores"] >= 1
    assert len(made["date"]) == len("2023-06-18") and made["commit"]


def test_the_processor_is_named_as_linux_names_it(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: Abacus: 2 rows\n\nmodel name\t: Other\n")
    assert cpu_model(tmp_path / "cpuinfo") == "Abacus: 2 rows"
    assert cpu_model(tmp_path / "missing") != ""


def test_json_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    file = write(tmp_path / "new" / "pipeline.json", {"rows": [{"people": 1}]})
    assert json.loads(file.read_text()) == {"rows": [{"people": 1}]}
    assert [path.name for path in file.parent.iterdir()] == ["pipeline.json"]
    (tmp_path / "occupied").write_text("")
    with pytest.raises(InputError, match=r"cannot write .*pipeline\.json"):
        write(tmp_path / "occupied" / "pipeline.json", {})


def test_a_near_sensor_with_many_beams_returns_more() -> None:
    dense, sparse = (speed.simulate_row(sensor(name), 5.0, 8, 1) for name in ("waymo_top", "spinner16"))
    assert dense["returns_per_body"] > 3 * sparse["returns_per_body"] > 60
    assert min(dense["bodies_scanned_per_s"], dense["training_crops_per_s"]) > 0


def test_every_benchmark_has_its_function() -> None:
    assert get_args(Name) == tuple(BENCHMARKS)
    root = Path(speed.__file__).parent
    for place in BENCHMARKS.values():
        module, function = place.split(".")
        assert f"def {function}(" in (root / f"{module}.py").read_text()


def test_benchmarks_take_the_options_that_they_name(weights: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="labelfree needs people who walk"):
        measure("labelfree", small=True)
    monkeypatch.setattr(speed, "pipeline_rows", lambda weights: [{"weights": weights}])
    assert measure("pipeline", weights=weights, small=True) == {"rows": [{"weights": weights}]}
