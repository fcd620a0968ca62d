"""Configuration from the command line: a file, then single values over it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from gckpl_ros.config import Config
from gckpl_ros.errors import InputError


def load_config(file: Path | None = None, overrides: Sequence[str] = ()) -> Config:
    """The configuration of a file (or the defaults) with each ``section.key=value`` over it; raises InputError."""
    values = (Config.load(file) if file else Config()).model_dump()
    for override in overrides:
        section, key, value = _split(override)
        values.setdefault(section, {})[key] = value
    return Config.parse(values, f"configuration {file or '(defaults)'} with --set {' '.join(overrides)}")


def _split(override: str) -> tuple[str, str, Any]:
    name, equals, text = override.partition("=")
    section, dot, key = name.partition(".")
    if not (equals and dot and section and key):
        raise InputError(f"--set {override}: write section.key=value, for example crop.margin_m=0.2")
    try:
        return section, key, yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"--set {override}: the value is not valid YAML") from error
