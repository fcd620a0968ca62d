"""`make tables`: the tables in README.md and docs/ are written from docs/benchmarks/*.json, never by hand."""

import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def render(measurement: dict[str, Any]) -> str:
    """A measurement as a Markdown table, and under what circumstances it was made."""
    heads = list(dict.fromkeys(key for row in measurement["rows"] for key in row))
    lines = [_line([head.replace("_", " ") for head in heads]), _line(["---"] * len(heads))]
    lines += [_line([_cell(row.get(head)) for head in heads]) for row in measurement["rows"]]
    machine = measurement["machine"]
    device = machine["gpu"] or f"{machine['cpu']}, {machine['cores']} cores"
    threads = f"{machine['threads']} threads, torch {machine['torch']}, Python {machine['python']}"
    made = f"Measured {measurement['date']} at {measurement['commit']}: {device}, {threads}."
    return "\n".join([*lines, "", made, ""])


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(value: Any) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.3g}" if isinstance(value, float) and abs(value) < 100 else "" if value is None else str(value)


def filled(text: str, folder: Path) -> str:
    """A document with each of its tables written anew; a table without its JSON file says that it is not measured."""

    def table(block: re.Match[str]) -> str:
        file = folder / f"{block[2]}.json"
        content = render(json.loads(file.read_text())) if file.exists() else "Not measured yet.\n"
        return f"{block[1]}{content}{block[3]}"

    return BLOCK.sub(table, text)


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
