"""What the runtime does not need, it does not import; and who lacks an extra is told which."""

import subprocess
import sys

import pytest

PICTURES = ("matplotlib", "PIL", "rerun")
COMPILER = ("torch._dynamo", "sympy")  # two seconds and 70 MB for nothing


# In each program one after the other: modules, and what they must not have brought; what only shows skeletons starts
# at once.
ABSENT = (
    [("gckpl_ros.commands.echo", (*PICTURES, "torch"))],
    [
        ("gckpl_ros.io.dds.node, gckpl_ros.adapt", (*PICTURES, *COMPILER, "tyro", "rich")),
        ("gckpl_ros.commands.live", (*PICTURES, *COMPILER)),
    ],
    [
        ("gckpl_ros.io.recording.replay", (*PICTURES, *COMPILER, "cyclonedds", "tyro", "rich")),
        ("gckpl_ros.commands.replay, gckpl_ros.commands.evaluate", (*PICTURES, "cyclonedds")),
    ],
)


LACKING = """
import sys
from importlib import import_module
from gckpl_ros.errors import InputError
lacking = {
    "gckpl_ros.view.report": ("PIL", "pictures need Pillow"),
    "gckpl_ros.commands.report": ("PIL", "pictures need Pillow"),
    "gckpl_ros.evaluate.plots": ("matplotlib", "plots need matplotlib"),
}
for module, (package, told) in lacking.items():
    with_it = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] == package}
    sys.modules[package] = None
    try:
        import_module(module)
    except InputError as error:
        assert str(error) == told + ": pip install 'gckpl_ros[report]'", error
        sys.stdout.write("told ")
    sys.modules.update(with_it)
"""


@pytest.fixture(scope="module")
def told() -> list[str]:
    """What each program says: forks of one Python, which has imported torch after the first."""
    programs = [
        "import sys\n"
        + "".join(f"import {m}\nsys.stdout.write(' '.join(set(sys.modules) & set({a})))\n" for m, a in steps)
        for steps in ABSENT
    ]
    code = f"""
import os, sys
for program in {[*programs, LACKING]}:
    if not (child := os.fork()):
        exec(program)
        sys.stdout.flush()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0, program
    print(flush=True)
    import torch
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_runtime_does_not_import_what_only_pictures_or_commands_need(told: list[str]) -> None:
    assert told[:-1] == [""] * len(ABSENT)


def test_who_lacks_the_extra_for_reports_is_told(told: list[str]) -> None:
    assert told[-1] == "told " * 3
