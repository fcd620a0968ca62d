"""What the built-in detector finds with each sensor: a short street through the whole measurement."""

import pytest

from gckpl_training.bench import accuracy
from gckpl_training.bench.accuracy import SENSORS, sensor_rows
from gckpl_training.lidar import sensor


def test_the_sensors_exist() -> None:
    assert all(sensor(name).name == name for name in SENSORS)


def test_a_short_street_by_either_method(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accuracy, "SENSORS", ("spinner16",))
    monkeypatch.setattr(accuracy, "STREETS", (4,))
    learned, shape = sensor_rows(seconds=1.0)
    assert (learned["sensor"], learned["method"], shape["method"]) == ("spinner16", "learned", "shape")
    # ten scans of seven people: by shape whoever stands is found after five looks
    assert 0 < learned["people"] == shape["people"] <= 70
    assert shape["recall_%"] < learned["recall_%"] <= 100
    assert all(0 < row["MPJPE_cm"] < 25 and 0 < row["PEM_cm"] <= 25 for row in (learned, shape))
