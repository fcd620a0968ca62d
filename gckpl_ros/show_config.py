"""The command `gckpl config`."""

import sys
from pathlib import Path

from gckpl_ros.config import Config


def main(file: Path | None = None) -> None:
    """Print every parameter with value, description and range; with a file, its values after validation."""
    config = Config.load(file) if file else Config()
    sys.stdout.write(config.to_yaml())
