"""What presets gain: a short street through the whole measurement, and a preset for every sensor that it names."""

import pytest

from gckpl_training.bench import accuracy as preset_gain
from gckpl_training.bench.accuracy import CONFIG, PRESETS, preset_rows
from gckpl_training.lidar import sensor


def test_every_sensor_has_its_preset() -> None:
    assert all(sensor(name).name == name for name in PRESETS)
    assert {f"{name}.param.yaml" for name in (*PRESETS.values(), "gckpl")} == {
        file.name for file in CONFIG.glob("*.param.yaml")
    }


def test_a_short_street_with_the_defaults_and_with_a_preset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preset_gain, "PRESETS", {"spinner16": "vlp16"})
    monkeypatch.setattr(preset_gain, "STREETS", (4,))
    defaults, preset = preset_rows(seconds=1.0)
    assert (defaults["sensor"], defaults["parameters"], preset["parameters"]) == ("spinner16", "defaults", "vlp16")
    # ten scans of seven people: whoever stands is found after three looks, with the defaults after five
    assert 0 < defaults["people"] == preset["people"] <= 70
    assert defaults["recall_%"] < preset["recall_%"] <= 100
    assert all(0 < row["MPJPE_cm"] < 25 and 0 < row["PEM_cm"] <= 25 for row in (defaults, preset))
