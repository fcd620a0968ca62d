"""What the runtime does not need, it does not import; and who lacks an extra is told which."""

import subprocess
import sys

import pytest

PICTURES = ("matplotlib", "PIL", "rerun")


def python(code: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)


# In each Python one after the other: modules, and what they must not have brought; what only shows skeletons starts at
# once.
ABSENT = (
    [("gckpl_ros.io.dds.node, gckpl_ros.adapt", (*PICTURES, "tyro", "rich")), ("gckpl_ros.commands.live", PICTURES)],
    [
        ("gckpl_ros.io.recording.replay", (*PICTURES, "cyclonedds", "tyro", "rich")),
        ("gckpl_ros.commands.replay, gckpl_ros.commands.evaluate", (*PICTURES, "cyclonedds")),
    ],
    [("gckpl_ros.commands.echo", (*PICTURES, "torch"))],
)


@pytest.mark.parametrize("steps", ABSENT)
def test_the_runtime_does_not_import_what_only_pictures_or_commands_need(
    steps: list[tuple[str, tuple[str, ...]]],
) -> None:
    code = "import sys\n" + "".join(
        f"import {modules}\nsys.stdout.write(' '.join(set(sys.modules) & set({absent})))\n" for modules, absent in steps
    )
    done = python(code)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_who_lacks_the_extra_for_reports_is_told() -> None:
    lacking = {
        "gckpl_ros.view.report": ("PIL", "pictures need Pillow"),
        "gckpl_ros.commands.report": ("PIL", "pictures need Pillow"),
        "gckpl_ros.evaluate.plots": ("matplotlib", "plots need matplotlib"),
    }
    code = f"""
import sys
from importlib import import_module
from gckpl_ros.errors import InputError
for module, (package, told) in {lacking}.items():
    with_it = {{name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] == package}}
    sys.modules[package] = None
    try:
        import_module(module)
    except InputError as error:
        assert str(error) == told + ": pip install 'gckpl_ros[report]'", error
        sys.stdout.write("told ")
    sys.modules.update(with_it)
"""
    done = python(code)
    assert done.stdout == "told " * 3, done.stderr
