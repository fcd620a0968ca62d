import re
from base64 import b64decode
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

from PIL import Image

from gckpl_ros.view.report import Figure, Summary, bars, dropped, stages, write_report
from gckpl_ros.view.scene import Scene

SUMMARY = Summary(
    "A <street>", "lead & more", [Figure("MPJPE", "5.0 cm")], {"By joint": {"nose": 4.0}}, [("go", "a > b")]
)


class Page(HTMLParser):
    """Collects what a page shows and refers to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.sources: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.words.append(data.strip())


def test_report_needs_nothing_from_outside_and_says_what_it_was_told_and_counted(
    street: list[Scene], tmp_path: Path
) -> None:
    path = write_report(tmp_path / "new", street, SUMMARY, instants=2)
    assert {file.name for file in path.parent.iterdir()} == {"report.html", "animation.webp"}
    page = Page(path.read_text())
    assert len(page.sources) == 1 + 2 * 3 + 2
    for source in page.sources:
        assert source.startswith("data:image/webp;base64,")
        Image.open(BytesIO(b64decode(source.split(",")[1]))).verify()
    text = " ".join(page.words)
    for words in ("A <street>", "lead & more", "5.0 cm", "nose", "a > b", "truth"):
        assert words in text
    assert re.search(r"all stages\s+40\.0\s+40\.0", text)
    assert re.search(r"too few points\s+5\b", text)


def test_stages_are_median_and_95th_percentile() -> None:
    text = stages([{"crop": float(ms)} for ms in range(101)])
    assert re.findall(r'number">([\d.]+)<', text) == ["50.0", "95.0"] * 2
    assert "No timings" in stages([{}])


def test_nothing_dropped_and_values_that_are_not_numbers() -> None:
    assert "Nothing was dropped" in dropped([{}, {"too_many": 0}])
    assert "knee" not in bars("errors", {"knee": float("nan"), "hip": 2.0})
