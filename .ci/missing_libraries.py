"""Print which of the requirements NAME>=VERSION this Python lacks, quoted for a shell."""

import re
import sys
from importlib.metadata import PackageNotFoundError, version


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


if __name__ == "__main__":
    sys.stdout.write(" ".join(f"'{requirement}'" for requirement in sys.argv[1:] if not is_met(requirement)))
