"""The directions of docs/architecture.md, read from the imports, and files that must agree with each other."""

import ast
import re
from collections.abc import Callable, Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import gckpl_ros
from gckpl_ros.cli import COMMANDS
from gckpl_ros.config import Config

ROOT = Path(__file__).parents[1]
FOLDERS = {"gckpl_ros": ROOT / "gckpl_ros", "gckpl_training": ROOT / "training/gckpl_training"}
RUNTIME = sorted(FOLDERS["gckpl_ros"].rglob("*.py"))
SOURCES = RUNTIME + sorted(FOLDERS["gckpl_training"].rglob("*.py"))

TRAINING = sorted(FOLDERS["gckpl_training"].rglob("*.py"))
MODULES = {
    ".".join((package, *file.relative_to(folder).with_suffix("").parts)).removesuffix(".__init__"): file
    for package, folder in FOLDERS.items()
    for file in folder.rglob("*.py")
}

# What each part of the runtime may import of the others; training may import all of them.
VOCABULARY = {"skeleton", "batch", "types", "config", "errors", "files", "geometry", "reasons"}
STAGES = {"people", "detect", "estimate", "track"}
ALLOWED = {
    "errors": set(),
    "skeleton": set(),
    "batch": set(),
    "types": {"skeleton", "batch"},
    "config": {"errors"},
    "files": {"errors"},
    "geometry": {"types"},
    "reasons": set(),
    "people": VOCABULARY,
    "detect": VOCABULARY | {"estimate"},
    "estimate": VOCABULARY,
    "track": VOCABULARY,
    "body": VOCABULARY | {"people", "estimate"},
    "learn": VOCABULARY | {"people", "estimate"},
    "adapt": VOCABULARY | {"people", "estimate", "learn"},
    "pipeline": VOCABULARY | STAGES | {"body"},
    "runner": VOCABULARY | {"pipeline", "estimate"},
    "view": VOCABULARY,
    "io": VOCABULARY | {"pipeline", "runner", "view", "adapt"},
    "evaluate": VOCABULARY | {"people"},
    "commands": VOCABULARY | {"people", "body", "estimate", "pipeline", "adapt", "io", "evaluate", "view", "runner"},
    "weights": set(),
    "cli": {"errors"},
    "__main__": {"cli"},
    "__init__": set(),
}
# What each part of training may import of the others.
ALLOWED_TRAINING = {
    "motion": set(),
    "lidar": set(),
    "scene": set(),
    "simulate": {"motion", "lidar", "scene"},
    "data": {"simulate"},
    "learn": {"motion", "simulate", "data"},
    "street": {"motion", "lidar", "scene"},
    "bench": {"motion", "lidar", "scene", "simulate", "data", "learn", "street"},
    "commands": {"simulate", "data", "learn", "street", "bench"},
    "bake_body": set(),
    "__init__": set(),
}
SILENT = VOCABULARY | STAGES | {"body", "learn", "adapt", "pipeline", "runner"}
ROS = {"rclpy", "launch", "launch_ros", "tf2_ros", "tf2_msgs", "sensor_msgs", "geometry_msgs", "std_msgs", "std_srvs"}
ROS |= {"visualization_msgs", "vision_msgs", "diagnostic_msgs", "rosidl_runtime_py", "ament_index_python"}
ROS |= {"tf_transformations", "rcl_interfaces", "lifecycle_msgs", "sensor_msgs_py", "hri_msgs"}


def part(path: Path, package: str = "gckpl_ros") -> str:
    """The folder of a package that a file belongs to, or the file itself at the top."""
    return path.relative_to(FOLDERS[package]).parts[0].removesuffix(".py")


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def imported(path: Path) -> Iterator[str]:
    """Dotted names of everything that a file imports, at its top or within its functions."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names)


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def offenders(paths: list[Path], forbidden: Callable[[str], bool]) -> list[tuple[str, str]]:
    return [(name(path), module) for path in paths for module in imported(path) if forbidden(module)]


def test_the_parts_have_an_order() -> None:
    order = list(TopologicalSorter(ALLOWED).static_order())
    assert order.index("types") < order.index("track") < order.index("pipeline") < order.index("io")
    training = list(TopologicalSorter(ALLOWED_TRAINING).static_order())
    assert training.index("motion") < training.index("simulate") < training.index("learn") < training.index("bench")


@pytest.mark.parametrize(
    ("package", "paths", "allowed"),
    [("gckpl_ros", RUNTIME, ALLOWED), ("gckpl_training", TRAINING, ALLOWED_TRAINING)],
)
def test_files_import_only_what_their_part_may(package: str, paths: list[Path], allowed: dict[str, set[str]]) -> None:
    wrong = {}
    for path in paths:
        parts = {module.split(".")[1] for module in imported(path) if module.startswith(f"{package}.")}
        wrong[name(path)] = parts - allowed[part(path, package)] - {part(path, package)}
    assert {file: parts for file, parts in wrong.items() if parts} == {}


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Imports within functions count as well: two modules that need each other are one."""
    graph = {module: {found for found in _modules(file) if found != module} for module, file in MODULES.items()}
    assert "gckpl_ros.skeleton" in graph["gckpl_ros.types"]
    list(TopologicalSorter(graph).static_order())


def _modules(file: Path) -> Iterator[str]:
    """The modules of ours that a file imports."""
    for found in imported(file):
        if found in MODULES or (found := found.rpartition(".")[0]) in MODULES:
            yield found


def test_runtime_never_imports_training() -> None:
    assert offenders(RUNTIME, lambda module: module.startswith(("gckpl_training", "training"))) == []


def test_ros_stays_in_its_folder() -> None:
    elsewhere = [path for path in SOURCES if not path.is_relative_to(ROOT / "gckpl_ros/io/ros")]
    assert offenders(elsewhere, lambda module: module.split(".")[0] in ROS or module.startswith("gckpl_ros.msg.")) == []


def test_cyclone_stays_in_its_folder() -> None:
    elsewhere = [path for path in SOURCES if not path.is_relative_to(ROOT / "gckpl_ros/io/dds")]
    assert offenders(elsewhere, lambda module: module.split(".")[0] == "cyclonedds") == []


def test_a_ros_node_needs_no_cyclone_of_pip() -> None:
    node = [path for path in SOURCES if path.is_relative_to(ROOT / "gckpl_ros/io/ros")]
    assert offenders(node, lambda module: module.startswith("gckpl_ros.io.dds")) == []


def test_the_core_is_silent() -> None:
    core = [path for path in RUNTIME if part(path) in SILENT]
    assert offenders(core, lambda module: module.split(".")[0] in {"rich", "tyro", "logging"}) == []


def test_nothing_prints() -> None:
    calls = [(name(path), node.func) for path in SOURCES for node in ast.walk(tree(path)) if isinstance(node, ast.Call)]
    assert [file for file, call in calls if isinstance(call, ast.Name) and call.id == "print"] == []


def test_imports_are_absolute() -> None:
    assert offenders(SOURCES, lambda module: module.startswith(".")) == []


def test_the_rules_would_catch_an_offender(tmp_path: Path) -> None:
    offender = tmp_path / "offender.py"
    offender.write_text("import rclpy.node\ndef f():\n    from gckpl_ros.body.body import Body\n    from . import x\n")
    assert list(imported(offender)) == ["rclpy.node", "gckpl_ros.body.body.Body", "..x"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_main(command: str) -> None:
    package, *rest = COMMANDS[command][0].split(".")
    module = FOLDERS[package].joinpath(*rest)
    source = module / "__init__.py" if module.is_dir() else module.with_suffix(".py")
    assert "main" in {node.name for node in tree(source).body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize(
    ("file", "pattern"),
    [
        ("setup.py", r'^    version="(.+)",$'),
        ("package.xml", r"^  <version>(.+)</version>$"),
        ("CHANGELOG.rst", r"^(\d+\.\d+\.\d+)\b"),
    ],
)
def test_versions_agree(file: str, pattern: str) -> None:
    found = re.search(pattern, (ROOT / file).read_text(), re.MULTILINE)
    assert found is not None and found[1] == gckpl_ros.__version__


def test_the_parameter_file_is_complete_and_equals_the_defaults() -> None:
    assert (ROOT / "config/gckpl.param.yaml").read_text() == Config().to_ros_yaml(), "run `make params`"


@pytest.mark.parametrize("package", FOLDERS)
def test_every_data_file_ships_with_the_pip_package(package: str) -> None:
    keyword = next(
        k for k in ast.walk(tree(ROOT / "setup.py")) if isinstance(k, ast.keyword) and k.arg == "package_data"
    )
    patterns = ast.literal_eval(keyword.value).get(package, [])
    shipped = {path for pattern in patterns for path in FOLDERS[package].glob(pattern)}
    data = {p for p in FOLDERS[package].rglob("*.*") if p.suffix not in (".py", ".pyc", ".tmp") and p.is_file()}
    assert data - shipped == set()
