"""The files of the ROS package agree with the sources; no ROS is needed for that."""

import ast
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from gckpl_ros.io.live.interface import INPUTS, OUTPUTS

ROOT = Path(__file__).parents[1]
SOURCES = [*(ROOT / "gckpl_ros/io/ros").glob("*.py"), *(ROOT / "launch").glob("*.py")]
# Whose package has another name than what is imported.
PACKAGES = {"ament_index_python": "launch_ros", "pydantic": "", "numpy": "python3-numpy", "torch": "", "jaxtyping": ""}
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
    assert packages - {"gckpl_ros", "hri_msgs"} <= dependencies()  # hri_msgs is used where it is installed


def test_package_xml_names_the_programs_that_are_launched() -> None:
    text = "".join(path.read_text() for path in SOURCES).replace('", "', " ")
    assert {name for program, name in LAUNCHED.items() if program in text} == set(LAUNCHED.values()) <= dependencies()


def test_cmake_checks_libraries_of_setup_py() -> None:
    listed = re.search(r"set\(pip_libraries(.+?)\)", (ROOT / "CMakeLists.txt").read_text(), re.DOTALL)
    assert listed is not None
    libraries = re.findall(r'"(\S+)"', listed[1])
    calls = [node for node in ast.walk(ast.parse((ROOT / "setup.py").read_text())) if isinstance(node, ast.keyword)]
    required = next(ast.literal_eval(call.value) for call in calls if call.arg == "install_requires")
    assert len(libraries) > 5 and set(libraries) <= set(required)


def test_what_cmake_asks_for_missing_libraries() -> None:
    asked = ("pytest>=1.0", "pytest>=9999.1", "no-such-library>=1.2")
    script = [sys.executable, str(ROOT / ".ci/missing_libraries.py"), *asked]
    told = subprocess.run(script, check=True, capture_output=True, text=True).stdout
    assert told == "'pytest>=9999.1' 'no-such-library>=1.2'"


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
