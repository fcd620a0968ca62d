"""Presets for sensors: each is read by node and replay alike, and says only what differs from the defaults."""

import re
from pathlib import Path

import pytest
import yaml

from gckpl_ros.config import Config, load_config

CONFIG = Path(__file__).parents[1] / "config"
PRESETS = sorted(CONFIG.glob("*.param.yaml"))
PRESETS.remove(CONFIG / "gckpl.param.yaml")


def leaves(values: dict, prefix: str = "") -> dict:
    """Every value by its dotted name."""
    found = {}
    for key, value in values.items():
        found |= leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found


def given(preset: Path) -> dict:
    """What a preset says, as ROS sees it."""
    values = yaml.safe_load(preset.read_text())
    assert list(values) == ["/**"] and list(values["/**"]) == ["ros__parameters"]
    return leaves(values["/**"]["ros__parameters"])


def test_there_is_a_preset_for_each_kind_of_sensor() -> None:
    assert {preset.name for preset in PRESETS} == {f"{name}.param.yaml" for name in ("mid360", "os1", "vlp16", "waymo")}


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.name)
def test_a_preset_says_only_what_differs_from_the_defaults(preset: Path) -> None:
    defaults, said = leaves(Config().model_dump()), given(preset)
    assert said and not [name for name, value in said.items() if defaults[name] == value]
    assert leaves(Config.load(preset).model_dump()) == defaults | said


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.name)
def test_single_parameters_can_be_set_over_a_preset(preset: Path) -> None:
    config = load_config(preset, ["track.frame=odom"])
    assert config.track.frame == "odom"
    assert config.detect == Config.load(preset).detect


def test_they_are_installed() -> None:
    cmake = (CONFIG.parent / "CMakeLists.txt").read_text()
    assert re.search(r"^install\(DIRECTORY config\b[^)]* DESTINATION share/", cmake, re.MULTILINE)


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.name)
def test_a_preset_says_why(preset: Path) -> None:
    assert preset.read_text().startswith("# ")
