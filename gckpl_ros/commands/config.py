"""The command `gckpl config`."""

import sys
from pathlib import Path
from typing import Literal

from gckpl_ros.config import Config


def main(file: Path | None = None, style: Literal["plain", "ros"] = "plain") -> None:
    """Print every parameter with value, description and range; with a file, its values after validation."""
    config = Config.load(file) if file else Config()
    sys.stdout.write(config.to_ros_yaml() if style == "ros" else config.to_yaml())
