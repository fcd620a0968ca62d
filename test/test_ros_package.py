"""The files of the ROS package agree with the sources; no ROS is needed for that."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from gckpl_ros.io.live.interface import INPUTS, OUTPUTS, resolve

ROOT = Path(__file__).parents[1]
CMAKE = (ROOT / "CMakeLists.txt").read_text()
SOURCES = [*(ROOT / "gckpl_ros/io/ros").glob("*.py"), *(ROOT / "launch").glob("*.py")]
# Whose package has another name than what is imported.
PACKAGES = {"ament_index_python": "launch_ros", "pydantic": "", "numpy": "python3-numpy", "torch": "", "jaxtyping": ""}
PACKAGES |= {"yaml": "python3-yaml"}
LAUNCHED = {"ros2 bag": "ros2bag", "rviz2": "rviz2"}


def dependencies() -> set[str]:
    package = ET.parse(ROOT / "package.xml").getroot()
    return {element.text for element in package if element.tag.endswith("depend") and element.text}


def imported() -> Iterator[str]:
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            yield from (name.split(".")[0] for name in names)


def test_package_xml_names_all_that_the_node_and_the_launch_files_import() -> None:
    foreign = set(imported()) - set(sys.stdlib_module_names) - {"gckpl_ros"}
    assert {PACKAGES.get(name, name) for name in foreign} - {""} <= dependencies()


def test_package_xml_names_the_packages_of_all_messages() -> None:
    packages = {endpoint.type.split("/")[0] for endpoint in (*INPUTS.values(), *OUTPUTS.values())}
    used_where_installed = {"hri_msgs", "people_msgs"}
    assert packages - {"gckpl_ros"} - used_where_installed <= dependencies()


def test_package_xml_names_the_programs_that_are_launched() -> None:
    text = "".join(path.read_text() for path in SOURCES).replace('", "', " ")
    assert {name for program, name in LAUNCHED.items() if program in text} == set(LAUNCHED.values()) <= dependencies()


def required() -> dict[str, Requirement]:
    """What setup.py asks for, by name."""
    calls = [node for node in ast.walk(ast.parse((ROOT / "setup.py").read_text())) if isinstance(node, ast.keyword)]
    texts = next(ast.literal_eval(call.value) for call in calls if call.arg == "install_requires")
    return {requirement.name.lower(): requirement for requirement in map(Requirement, texts)}


def listed(file: str, python: str) -> dict[str, Requirement]:
    """What a requirements or constraints file says to a Python such as 3.10, by name."""
    lines = [line for line in (ROOT / file).read_text().splitlines() if line and not line.startswith("#")]
    found = [r for r in map(Requirement, lines) if not r.marker or r.marker.evaluate({"python_version": python})]
    names = [requirement.name.lower() for requirement in found]
    assert len(names) == len(set(names))
    return dict(zip(names, found, strict=True))


def pins(requirement: Requirement) -> list[str]:
    return [specifier.version for specifier in requirement.specifier if specifier.operator == "=="]


def checked_by_cmake() -> list[str]:
    text = re.search(r"set\(pip_libraries(.+?)\)", CMAKE, re.DOTALL)
    assert text is not None
    return re.findall(r'"(\S+)"', text[1])


def test_cmake_checks_libraries_of_setup_py() -> None:
    libraries = checked_by_cmake()
    assert len(libraries) > 5 and set(libraries) <= {str(requirement) for requirement in required().values()}


@pytest.mark.parametrize("python", ["3.10", "3.12"])  # of Humble and of Jazzy
def test_what_ros_gets_from_pip_fits_setup_py(python: str) -> None:
    for_ros = listed(".ci/requirements-ros.txt", python)
    assert required().keys() <= for_ros.keys()
    for name, requirement in required().items():
        least = [specifier.version for specifier in requirement.specifier if specifier.operator == ">="]
        allowed = pins(for_ros[name]) or least
        assert allowed and all(v in requirement.specifier and v in for_ros[name].specifier for v in allowed), name
    # Nothing that CMake asks for comes in whatever version is the newest that day.
    asked = {Requirement(library).name for library in checked_by_cmake()}
    assert {name for name in asked if not pins(for_ros[name])} == {"numpy"}


def test_what_ros_gets_from_pip_leaves_ros_alone() -> None:
    for_ros = listed(".ci/requirements-ros.txt", "3.12")
    bounds = {"numpy": "2.0", "pytest": "8.0", "setuptools": "80", "empy": "4.0"}
    assert all(version not in for_ros[name].specifier for name, version in bounds.items())


def test_ros_and_make_get_the_same_versions_where_ros_can() -> None:
    for_ros, for_make = listed(".ci/requirements-ros.txt", "3.12"), listed("constraints.txt", "3.12")
    pinned = {name: version for name, requirement in for_ros.items() if (version := pins(requirement))}
    assert pinned == {name: pins(for_make[name]) for name in pinned}


def advice(python: str, *asked: str) -> list[str]:
    """What CMake prints for missing libraries, when it runs that Python with no virtual environment active."""
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    script = [python, str(ROOT / ".ci/missing_libraries.py"), *asked]
    return subprocess.run(script, check=True, capture_output=True, text=True, env=environment).stdout.splitlines()


def test_cmake_names_missing_libraries_and_how_to_install_them_into_a_virtual_environment(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    python = str(tmp_path / "venv/bin/python3")
    told = advice(python, "no-such-library>=1.2")
    assert told[0].startswith("no-such-library>=1.2. ")
    assert told[1:] == [
        f"  {python} -m pip install -r {ROOT / '.ci/requirements-ros.txt'}",
        "  colcon build --cmake-clean-cache --packages-select gckpl_ros",
    ]


def test_cmake_has_a_virtual_environment_made_where_there_is_none() -> None:
    told = advice(getattr(sys, "_base_executable", sys.executable), "no-such-library>=1.2", "neither>=9.1")
    assert told[0].startswith("no-such-library>=1.2 neither>=9.1. ")
    assert told[1:4] == [
        "  python3 -m venv --system-site-packages venv",
        "  touch venv/COLCON_IGNORE",
        "  . venv/bin/activate",
    ]
    assert told[4] == f"  python3 -m pip install -r {ROOT / '.ci/requirements-ros.txt'}"


def test_cmake_is_silent_where_nothing_is_missing() -> None:
    assert advice(sys.executable, "pytest>=1.0") == []
    assert advice(sys.executable, "pytest>=9999.1")[0].startswith("pytest>=9999.1. ")


@pytest.mark.skipif(not shutil.which("cmake"), reason="CMake is not installed")
@pytest.mark.parametrize(("folder", "first_line"), [("venv", "{}"), ("a venv", "/usr/bin/env python3")])
def test_executables_run_in_the_environment_that_built_them(tmp_path: Path, folder: str, first_line: str) -> None:
    python = tmp_path / folder / "bin/python3"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", python.parents[1]], check=True)
    part = re.search(r'^set\(first_line "#!.*^endfunction\(\)$', CMAKE, re.DOTALL | re.MULTILINE)
    assert part is not None
    (tmp_path / "CMakeLists.txt").write_text(
        f'cmake_minimum_required(VERSION 3.19)\nproject(tried NONE)\nset(Python3_EXECUTABLE "{python}")\n'
        f"{part[0]}\ninstall_executable(tried os)\n"
    )
    build = ["cmake", "-S", tmp_path, "-B", tmp_path / "build", f"-DCMAKE_INSTALL_PREFIX={tmp_path}"]
    subprocess.run(build, check=True, capture_output=True)
    subprocess.run(["cmake", "--install", tmp_path / "build"], check=True, capture_output=True)
    executable = tmp_path / "lib/tried/tried"
    assert os.access(executable, os.X_OK)
    assert executable.read_text().splitlines()[0] == "#!" + first_line.format(python)


@pytest.fixture(scope="module")
def displays() -> dict[str, dict]:
    """What RViz shows, by class."""
    config = yaml.safe_load((ROOT / "config/gckpl.rviz").read_text())
    return {display["Class"]: display for display in config["Visualization Manager"]["Displays"]}


def test_rviz_shows_cloud_skeletons_boxes_and_tf_by_their_default_names(displays: dict[str, dict]) -> None:
    shown = {kind.split("/")[1]: display["Topic"]["Value"] for kind, display in displays.items() if "Topic" in display}
    assert shown == {
        "PointCloud2": INPUTS["points"].topic,
        "Detection3DArray": INPUTS["detections"].topic,
        "MarkerArray": OUTPUTS["markers"].topic.replace("~", "gckpl"),
    }
    assert "rviz_default_plugins/TF" in displays
    assert all(display["Enabled"] is display["Value"] is True for display in displays.values())
    assert all(kind.split("/")[0] in ("rviz_default_plugins", "vision_msgs_rviz_plugins") for kind in displays)


def test_rviz_can_take_what_is_published(displays: dict[str, dict]) -> None:
    reliability = {kind.split("/")[1]: d["Topic"]["Reliability Policy"] for kind, d in displays.items() if "Topic" in d}
    assert reliability == {"PointCloud2": "Best Effort", "Detection3DArray": "Best Effort", "MarkerArray": "Reliable"}


@pytest.fixture(scope="module")
def foxglove() -> dict:
    """The layout for Foxglove."""
    return json.loads((ROOT / "config/gckpl.foxglove.json").read_text())


def in_full(topic: str) -> str:
    """As a node with its default name, without a namespace, has it."""
    return resolve(topic, "gckpl")


def test_foxglove_shows_what_rviz_does_and_more_by_their_default_names(foxglove: dict) -> None:
    panels = {name.split("!")[0]: config for name, config in foxglove["configById"].items()}
    topics = [INPUTS["points"], INPUTS["detections"], OUTPUTS["markers"]]
    assert set(panels["3D"]["topics"]) == {in_full(endpoint.topic) for endpoint in topics}
    assert all(topic["visible"] for topic in panels["3D"]["topics"].values())
    assert panels["3D"]["scene"]["transforms"]["visible"]
    assert [path["value"] for path in panels["Plot"]["paths"]] == [in_full(OUTPUTS["processing_time"].topic) + ".data"]
    assert panels["DiagnosticSummary"]["topicToRender"] == in_full(OUTPUTS["diagnostics"].topic)
    assert panels["RawMessages"]["topicPath"] == in_full(OUTPUTS["skeletons"].topic)


def test_foxglove_places_every_panel_once(foxglove: dict) -> None:
    def places(node: str | dict) -> list[str]:
        return [node] if isinstance(node, str) else places(node["first"]) + places(node["second"])

    assert sorted(places(foxglove["layout"])) == sorted(foxglove["configById"])


def test_foxglove_looks_from_the_frame_that_rviz_does(foxglove: dict) -> None:
    rviz = yaml.safe_load((ROOT / "config/gckpl.rviz").read_text())
    fixed = rviz["Visualization Manager"]["Global Options"]["Fixed Frame"]
    assert foxglove["configById"]["3D!scene"]["followTf"] == fixed
