"""`make tables`: the tables in README.md and docs/ are written from docs/benchmarks/*.json and from the code itself."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gckpl_training.reference import REFERENCE

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def render(measurement: dict[str, Any]) -> str:
    """A measurement as a Markdown table, and under what circumstances it was made."""
    machine = measurement["machine"]
    device = machine["gpu"] or f"{machine['cpu']}, {machine['cores']} cores"
    threads = f"{machine['threads']} threads, torch {machine['torch']}, Python {machine['python']}"
    made = f"Measured {measurement['date']} at {measurement['commit']}: {device}, {threads}."
    return f"{table(measurement['rows'])}\n{made}\n"


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as a Markdown table; its columns are all keys, in the order of their first appearance."""
    heads = list(dict.fromkeys(key for row in rows for key in row))
    lines = [_line([head.replace("_", " ") for head in heads]), _line(["---"] * len(heads))]
    lines += [_line([_cell(row.get(head)) for head in heads]) for row in rows]
    return "\n".join([*lines, ""])


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(value: Any) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.3g}" if isinstance(value, float) and abs(value) < 100 else "" if value is None else str(value)


def filled(text: str, folder: Path) -> str:
    """A document with each of its tables written anew; a table without its JSON file says that it is not measured.

    ``name_part`` is the part of name.json whose rows say so in ``table``.
    """
    return BLOCK.sub(lambda block: f"{block[1]}{_content(block[2], folder)}{block[3]}", text)


def _content(name: str, folder: Path) -> str:
    if name in REFERENCE:
        return table(REFERENCE[name]())
    measurement, _, part = name.partition("_")
    file = folder / f"{measurement}.json"
    return render(_part(json.loads(file.read_text()), part)) if file.exists() else "Not measured yet.\n"


def _part(measurement: dict[str, Any], part: str) -> dict[str, Any]:
    """The rows of one of several tables that a measurement holds; all of them without a name."""
    if not part:
        return measurement
    rows = [{k: v for k, v in row.items() if k != "table"} for row in measurement["rows"] if row["table"] == part]
    return {**measurement, "rows": rows}


def documents(root: Path = ROOT) -> list[Path]:
    """The documents that may hold tables."""
    return [root / "README.md", root / "gckpl_ros/weights/README.md", *sorted((root / "docs").rglob("*.md"))]


def main() -> None:
    """Write the tables of all documents."""
    for document in documents():
        text = document.read_text()
        if (new := filled(text, ROOT / "docs/benchmarks")) != text:
            document.write_text(new)


if __name__ == "__main__":
    main()
