"""What the site and the images take for granted, without Sphinx and Docker: .github/workflows builds them."""

import re
from pathlib import Path

import numpy as np
import pytest

from gckpl_training.commands.sim import main as simulate

ROOT = Path(__file__).parents[1]
PAGES = {path.stem for path in (ROOT / "docs").glob("*.md")} - {"index"}
INDEX = (ROOT / "docs/index.md").read_text()
CMAKE = (ROOT / "CMakeLists.txt").read_text()


def blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.+?)```", (ROOT / page).read_text(), re.DOTALL)


def test_the_examples_in_python_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    simulate(Path("street.mcap"), seconds=2.0, detections=True)
    names: dict[str, object] = {}
    for block in blocks("docs/python.md"):
        exec(compile(block, "docs/python.md", "exec"), names)
    assert {"street.mcap", "skeletons.mcap"} <= {path.name for path in tmp_path.iterdir()}
    points = np.random.default_rng(0).normal((5, 0, 0), 0.4, (500, 3)).astype(np.float32)
    for block in blocks("README.md"):
        exec(compile(block, "README.md", "exec"), {"points": points, "stamp_ns": 0})


def test_every_page_has_one_place_in_the_menu() -> None:
    menus = re.findall(r"```\{toctree\}\n(.+?)```", INDEX, re.DOTALL)
    listed = [line for menu in menus for line in menu.splitlines() if line and not line.startswith(":")]
    assert len(menus) > 1 and len(listed) == len(set(listed))
    assert set(listed) >= PAGES, "add new pages to docs/index.md"


def test_the_front_page_is_the_readme() -> None:
    assert INDEX.startswith("```{include} ../README.md\n")


def test_both_images_are_made_in_the_same_way() -> None:
    """But for Ubuntu's version, its Python, and its user."""
    humble, jazzy = ((ROOT / f".ci/docker/{distro}.Dockerfile").read_text() for distro in ("humble", "jazzy"))
    jazzy = re.sub(r"# Ubuntu 24.04's image .+", "# Ubuntu 22.04 has no user besides root.\nRUN useradd ros", jazzy)
    changes = {"jazzy": "humble", "Jazzy": "Humble", "24.04": "22.04", "3.12": "3.10", "ubuntu": "ros"}
    for old, new in changes.items():
        jazzy = jazzy.replace(old, new)
    assert jazzy == humble.replace("useradd --create-home --shell /bin/bash ros", "useradd ros")


def test_an_image_gets_all_that_cmake_installs() -> None:
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    installed = re.search(r"install\(DIRECTORY ([\w /]+) DESTINATION share", CMAKE)
    assert installed is not None
    folders = {name.split("/")[0] for name in re.findall(r"install\(DIRECTORY (\w+)/", CMAKE)}
    assert {*folders, *installed[1].split(), ".ci", "CMakeLists.txt", "package.xml"} <= sent


def test_rosdoc2_takes_the_pages() -> None:
    assert "<rosdoc2>rosdoc2.yaml</rosdoc2>" in (ROOT / "package.xml").read_text()
    assert "user_doc_dir: 'docs'" in (ROOT / "rosdoc2.yaml").read_text()
