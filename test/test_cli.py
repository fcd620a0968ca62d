"""The command line as a user meets it."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from gckpl_ros.cli import COMMANDS, main

HEAVY = ("torch", "numpy", "open3d", "scipy", "pydantic", "tyro", "rosbags", "matplotlib")


class Result(NamedTuple):
    status: int
    out: str
    err: str


Run = Callable[..., Result]


@pytest.fixture
def gckpl(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """`gckpl ARGUMENTS` in this process."""

    def run(*arguments: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["gckpl", *arguments])
        try:
            main()
            status = 0
        except SystemExit as end:
            status = int(end.code or 0)
        return Result(status, *capsys.readouterr())

    return run


def process(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False, timeout=120)


def test_help_names_every_command(gckpl: Run) -> None:
    result = gckpl("--help")
    assert result.status == 0 and result.err == ""
    for name, (_, text) in COMMANDS.items():
        assert f"  {name} " in result.out and text in result.out


def test_no_argument_is_help(gckpl: Run) -> None:
    result = gckpl()
    assert result.status == 0
    assert result.out.startswith("usage: gckpl COMMAND")


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys; from gckpl_ros.cli import main; sys.argv = ['gckpl', '--help']; main();"
        f"print('heavy:', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    assert process("-c", program).stdout.splitlines()[-1] == "heavy: []"


def test_unknown_command_is_named_with_status_2(gckpl: Run) -> None:
    result = gckpl("fly")
    assert result.status == 2
    assert result.err.startswith("gckpl: unknown command 'fly'")
    assert "replay" in result.err and result.out == ""


@pytest.mark.parametrize("arguments", [("config", "--colour", "red"), ("config", "--style", "xml")])
def test_bad_arguments_are_refused_with_status_2(gckpl: Run, arguments: tuple[str, ...]) -> None:
    result = gckpl(*arguments)
    assert result.status == 2
    assert "Traceback" not in result.err and arguments[1] in result.err


def test_bad_input_is_a_message_without_traceback(gckpl: Run, tmp_path: Path) -> None:
    missing = tmp_path / "none.yaml"
    result = gckpl("config", "--file", str(missing))
    assert result.status == 2
    assert result.err == f"gckpl config: cannot read configuration {missing}: No such file or directory\n"
    assert result.out == ""


def test_config_prints_what_it_can_read_back(gckpl: Run, tmp_path: Path) -> None:
    printed = gckpl("config").out
    (tmp_path / "all.yaml").write_text(printed)
    assert gckpl("config", "--file", str(tmp_path / "all.yaml")).out == printed


def test_a_command_explains_its_arguments(gckpl: Run) -> None:
    result = gckpl("config", "--help")
    assert result.status == 0
    assert "--style" in result.out and "ros" in result.out


def test_the_module_is_the_command() -> None:
    result = process("-m", "gckpl_ros", "fly")
    assert result.returncode == 2
    assert result.stderr.startswith("gckpl: unknown command 'fly'")


def test_a_reader_that_has_gone_is_no_traceback() -> None:
    pipe = f"'{sys.executable}' -m gckpl_ros config | true"
    result = subprocess.run(["sh", "-c", pipe], capture_output=True, text=True, check=True, timeout=120)
    assert result.stderr == ""
