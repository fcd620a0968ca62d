"""Tell which of the requirements NAME>=VERSION this Python lacks, and what to type for them; nothing where it has all.

Outside of a virtual environment one is made first: pip may not install into the Python of Debian or of Ubuntu 24.04.
"""

import re
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from os import environ
from pathlib import Path
from shlex import quote

REQUIREMENTS = Path(__file__).with_name("requirements-ros.txt")
# With the packages of apt and of ROS in it; colcon is not to look for packages in it.
ENVIRONMENT = ("python3 -m venv --system-site-packages venv", "touch venv/COLCON_IGNORE", ". venv/bin/activate")
# CMake remembers the Python that it has found.
BUILD = "colcon build --cmake-clean-cache --packages-select gckpl_ros"


def numbers(text: str) -> list[int]:
    """The release in a version: 2.4.1+cpu is [2, 4, 1]."""
    return [int(number) for number in re.findall(r"\d+", text.split("+")[0])[:3]]


def is_met(requirement: str) -> bool:
    """Whether the library is installed and not older than that."""
    name, least = requirement.split(">=")
    try:
        return numbers(version(name)) >= numbers(least)
    except PackageNotFoundError:
        return False


def advice(missing: Sequence[str]) -> str:
    """The libraries, and lines for a shell in the workspace's folder."""
    python = quote(sys.executable) if sys.prefix != sys.base_prefix else "python3"
    # An active one may be newer than the Python that CMake remembers.
    environment = () if python != "python3" or "VIRTUAL_ENV" in environ else ENVIRONMENT
    lines = (*environment, f"{python} -m pip install -r {quote(str(REQUIREMENTS))}", BUILD)
    return "\n  ".join((f"{' '.join(missing)}. Install them, in the workspace's folder, with", *lines))


if __name__ == "__main__":
    if missing := [requirement for requirement in sys.argv[1:] if not is_met(requirement)]:
        sys.stdout.write(advice(missing))
