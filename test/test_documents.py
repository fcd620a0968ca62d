"""What the documents' site takes for granted, without Sphinx: .github/workflows/test.yml builds it."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = {path.stem for path in (ROOT / "docs").glob("*.md")} - {"index"}
INDEX = (ROOT / "docs/index.md").read_text()


def test_every_page_has_one_place_in_the_menu() -> None:
    menus = re.findall(r"```\{toctree\}\n(.+?)```", INDEX, re.DOTALL)
    listed = [line for menu in menus for line in menu.splitlines() if line and not line.startswith(":")]
    assert len(menus) > 1 and len(listed) == len(set(listed))
    assert set(listed) >= PAGES, "add new pages to docs/index.md"


def test_the_front_page_is_the_readme() -> None:
    assert INDEX.startswith("```{include} ../README.md\n")


def test_rosdoc2_takes_the_pages() -> None:
    assert "<rosdoc2>rosdoc2.yaml</rosdoc2>" in (ROOT / "package.xml").read_text()
    assert "user_doc_dir: 'docs'" in (ROOT / "rosdoc2.yaml").read_text()
