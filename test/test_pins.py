"""The pins of constraints.txt fit setup.py on every Python that is served: the index is asked, nothing is installed.

uv asks, for pip evaluates markers for the Python that runs it, and downloads whole wheels to read what they need.
"""

import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import uv
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
UNREACHABLE = ("error sending request", "timed out")
CUDA = ("cuda-", "nvidia-", "triton")  # needed by torch from the index, which pins them itself

Resolve = Callable[[str, str, str], set[str]]


def pinned(python: str) -> set[str]:
    """The names with a pin for this Python."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    environment = {"python_version": python}
    return {canonicalize_name(pin.name) for pin in pins if pin.marker is None or pin.marker.evaluate(environment)}


@pytest.fixture
def required(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[str]]:
    """What setup.py requires with an extra."""
    declared: dict = {}
    monkeypatch.setitem(sys.modules, "setuptools", SimpleNamespace(setup=declared.update))
    runpy.run_path(str(ROOT / "setup.py"))
    return lambda extra: declared["install_requires"] + declared["extras_require"][extra]


@pytest.fixture
def resolve(required: Callable[[str], list[str]], pytestconfig: pytest.Config) -> Resolve:
    """The names of all packages that an extra brings to a Python on a platform, if the pins allow it."""

    def resolve(extra: str, python: str, platform: str) -> set[str]:
        command = [uv.find_uv_bin(), "pip", "compile", "-", "--constraints", str(ROOT / "constraints.txt")]
        command += ["--python-version", python, "--python-platform", platform, "--no-build"]
        command += ["--python", sys.executable, "--no-python-downloads"]
        command += ["--quiet", "--no-header", "--no-annotate", "--cache-dir", str(pytestconfig.cache.mkdir("uv"))]
        run = subprocess.run(command, input="\n".join(required(extra)), capture_output=True, text=True)
        said = " ".join(run.stderr.split())
        if run.returncode and any(words in said for words in UNREACHABLE):
            pytest.skip(f"the package index cannot be reached: {said}")
        assert run.returncode == 0, said
        return {name for line in run.stdout.splitlines() if not (name := line.split("==")[0]).startswith(CUDA)}

    return resolve


@pytest.mark.parametrize("python", PYTHONS)
def test_make_test_finds_a_wheel_for_every_pin_and_needs_nothing_unpinned(python: str, resolve: Resolve) -> None:
    assert resolve("dev", python, "x86_64-manylinux_2_35") == pinned(python)  # open3d needs this glibc: Ubuntu 22.04


@pytest.mark.parametrize("python", PYTHONS)
def test_make_demo_does_so_on_the_computers_of_robots(python: str, resolve: Resolve) -> None:
    assert resolve("report", python, "aarch64-manylinux_2_28") < pinned(python)
