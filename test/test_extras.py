"""What the runtime does not need, it does not import; and who lacks an extra is told which."""

import subprocess
import sys

import pytest

PICTURES = ("matplotlib", "PIL", "rerun")
WITHOUT = "import sys; sys.modules[{!r}] = None; "


def python(code: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    ("modules", "absent"),
    [
        ("gckpl_ros.commands.replay, gckpl_ros.commands.evaluate", (*PICTURES, "cyclonedds")),
        ("gckpl_ros.commands.live", PICTURES),
        ("gckpl_ros.commands.echo", (*PICTURES, "torch")),  # what only shows skeletons starts at once
        ("gckpl_ros.io.dds.node, gckpl_ros.io.recording.replay, gckpl_ros.adapt", (*PICTURES, "tyro", "rich")),
    ],
)
def test_the_runtime_does_not_import_what_only_pictures_or_commands_need(modules: str, absent: tuple[str, ...]) -> None:
    done = python(f"import sys, {modules}; sys.stdout.write(' '.join(set(sys.modules) & set({absent})))")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


@pytest.mark.parametrize(
    ("lacking", "module", "told"),
    [
        ("PIL", "gckpl_ros.view.report", "pictures need Pillow"),
        ("PIL", "gckpl_ros.commands.report", "pictures need Pillow"),
        ("matplotlib", "gckpl_ros.evaluate.plots", "plots need matplotlib"),
    ],
)
def test_who_lacks_the_extra_for_reports_is_told(lacking: str, module: str, told: str) -> None:
    code = f"""
from importlib import import_module
from gckpl_ros.errors import InputError
try:
    import_module({module!r})
except InputError as error:
    sys.stdout.write(str(error))
"""
    done = python(WITHOUT.format(lacking) + code)
    assert done.stdout == f"{told}: pip install 'gckpl_ros[report]'", done.stderr
