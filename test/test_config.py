"""Configuration: files read back, every bad key named with its reason, every value with description and range."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from gckpl_ros.config import (
    AdaptConfig,
    BodyConfig,
    Config,
    CropConfig,
    DetectConfig,
    EstimateConfig,
    InputConfig,
    OutputConfig,
    TrackConfig,
)
from gckpl_ros.errors import InputError

SECTIONS = {
    "input": InputConfig,
    "crop": CropConfig,
    "estimate": EstimateConfig,
    "detect": DetectConfig,
    "track": TrackConfig,
    "body": BodyConfig,
    "output": OutputConfig,
    "adapt": AdaptConfig,
}

# What YAML finds special; the whole of Unicode would have hypothesis build its tables first, which takes long.
texts = st.text(" aZ09:#'\"-_{}[],/\\\n\té%&*!|>?~", max_size=20)
configs = st.builds(
    Config,
    input=st.builds(InputConfig, points=st.lists(texts, min_size=1, max_size=3).map(tuple), detections=texts),
    crop=st.builds(
        CropConfig,
        margin_m=st.floats(0, 1),
        min_points=st.integers(1, 1024),
        max_points=st.integers(16, 1024),
    ),
    estimate=st.builds(EstimateConfig, weights=texts, threads=st.integers(0, 256)),
    detect=st.builds(DetectConfig, max_range_m=st.floats(1, 200, exclude_min=True)),
    track=st.builds(TrackConfig, smoothing=st.floats(0, 1, exclude_max=True), frame=texts),
)


def written(folder: Path, text: str) -> Path:
    path = folder / "gckpl.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_says_only_what_differs(tmp_path: Path) -> None:
    config = Config.load(written(tmp_path, "crop: {margin_m: 0.3}\ntrack:\n  enabled: false\n"))
    assert config.crop.margin_m == 0.3
    assert config.track.enabled is False
    assert config.crop.min_points == 8
    assert config.detect == DetectConfig()


def test_a_ros_parameter_file_is_read_as_well(tmp_path: Path) -> None:
    text = "/**:\n  ros__parameters:\n    detect:\n      max_range_m: 12.5\n"
    assert Config.load(written(tmp_path, text)).detect.max_range_m == 12.5


@pytest.mark.parametrize("text", ["", "# nothing\n", "{}\n"])
def test_an_empty_file_means_the_defaults(tmp_path: Path, text: str) -> None:
    assert Config.load(written(tmp_path, text)) == Config()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("crop: {margin: 0.3}", "crop.margin: Extra inputs are not permitted"),
        ("cropping: {}", "cropping: Extra inputs are not permitted"),
        ("crop: {margin_m: -0.1}", "crop.margin_m: Input should be greater than or equal to 0"),
        ("crop: {max_points: 2000}", "crop.max_points: Input should be less than or equal to 1024"),
        ("crop: {min_points: many}", "crop.min_points: Input should be a valid integer"),
        ("crop: {margin_m: .nan}", "crop.margin_m: Input should be a finite number"),
        ("track: {smoothing: 1}", "track.smoothing: Input should be less than 1"),
        ("estimate: 3", "estimate: Input should be a valid dictionary"),
        ("[1, 2]", "(top): Input should be a valid dictionary"),
    ],
)
def test_a_bad_value_is_named_with_file_and_reason(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(InputError) as error:
        Config.load(written(tmp_path, text))
    assert str(tmp_path / "gckpl.yaml") in str(error.value)
    assert reason in str(error.value)


def test_all_bad_values_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        Config.load(written(tmp_path, "crop: {margin_m: 7}\ntrack: {gate_m: 0, colour: red}\n"))
    assert all(key in str(error.value) for key in ("crop.margin_m", "track.gate_m", "track.colour"))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read configuration .*none\.yaml: No such file"):
        Config.load(tmp_path / "none.yaml")


@pytest.mark.parametrize("content", [b"crop: {margin_m: ", b"\x89PNG\r\n", b"\x00\x01"])
def test_what_is_not_yaml_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "gckpl.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError, match="is not valid YAML"):
        Config.load(path)


@settings(max_examples=25)
@given(configs)
def test_yaml_round_trip(config: Config) -> None:
    assert Config.parse(yaml.safe_load(config.to_yaml())) == config


@settings(max_examples=25)
@given(configs)
def test_ros_yaml_holds_the_same_values(config: Config) -> None:
    values = yaml.safe_load(config.to_ros_yaml())
    assert list(values) == ["/**"] and list(values["/**"]) == ["ros__parameters"]
    assert values["/**"]["ros__parameters"] == config.model_dump(mode="json")


def test_yaml_shows_description_and_range() -> None:
    lines = Config().to_yaml().splitlines()
    assert "  margin_m: 0.15  # Enlarge every box by this much on each side. [>= 0, <= 1]" in lines
    assert "    max_range_m: 25.0  # Look for people up to this range. [> 1, <= 200]" in Config().to_ros_yaml()


@pytest.mark.parametrize("section", SECTIONS.values())
def test_every_parameter_is_described_and_every_number_bounded(section: type[CropConfig]) -> None:
    for name, field in section.model_fields.items():
        assert field.description, name
        if field.annotation in (int, float):
            bounds = {type(bound).__name__ for bound in field.metadata}
            assert bounds & {"Ge", "Gt"} and bounds & {"Le", "Lt"}, name


def test_sections_are_complete() -> None:
    assert {name: type(section) for name, section in Config()} == SECTIONS


def test_a_configuration_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Config().crop.margin_m = 0.5  # type: ignore[misc]
