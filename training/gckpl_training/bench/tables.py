"""`make tables`: the tables in README.md and docs/ are written from docs/benchmarks/*.json and from the code itself."""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

from gckpl_ros.config import Config
from gckpl_ros.files import write_file
from gckpl_ros.io.live.interface import INPUTS, OUTPUTS, SERVICES, Endpoint
from gckpl_ros.reasons import KINDS
from gckpl_ros.skeleton import KEYPOINTS, REP155_LINKS

# Rows of the tables of topics, services and parameters, from the code that they describe.

Rows: TypeAlias = list[dict[str, str]]


def parameters() -> Rows:
    """Every parameter: default (as YAML takes it), range as an interval, and whether it can change while running."""
    sections = ((name, type(section).model_json_schema()["properties"]) for name, section in Config())
    return [_parameter(f"{name}.{key}", schema) for name, keys in sections for key, schema in keys.items()]


def _parameter(name: str, schema: Mapping[str, Any]) -> dict[str, str]:
    return {
        "parameter": f"`{name}`",
        "default": f"`{json.dumps(schema['default'])}`",
        "range": _interval(schema),
        "while running": "" if schema.get("fixed") else "yes",
        # Markdown would take <id> for HTML and hide it
        "what": schema["description"].replace("<", "\\<"),
    }


def _interval(schema: Mapping[str, Any]) -> str:
    """Such as (0, 5]: a round bracket shuts its end out."""
    ends = (
        ("exclusiveMinimum", "(", ", "),
        ("minimum", "[", ", "),
        ("exclusiveMaximum", "", ")"),
        ("maximum", "", "]"),
    )
    return "".join(f"{left}{schema[key]:g}{right}" for key, left, right in ends if key in schema)


def _interface(head: str, entries: Iterable[Endpoint]) -> Rows:
    return [{head: f"`{topic}`", "type": kind, "what": what} for topic, kind, what in entries]


def joints() -> Rows:
    """The keypoints in their order, with the link of REP-155 that each belongs to."""
    links = (REP155_LINKS.get(name, "") for name in KEYPOINTS)
    rows = zip(KEYPOINTS, links, strict=True)
    return [
        {"place": str(place), "joint": name, "link of its frame": f"`{link}_<id>`" if link else ""}
        for place, (name, link) in enumerate(rows)
    ]


def reasons() -> Rows:
    """Why clouds have no result, and what was left out or mended."""
    return [
        {"reason": f"`{kind}: {reason}`", "what it means": meaning}
        for kind, meanings in KINDS.items()
        for reason, meaning in meanings.items()
    ]


REFERENCE: Final[Mapping[str, Callable[[], Rows]]] = {
    "joints": joints,
    "topics_in": lambda: _interface("topic in", INPUTS.values()),
    "topics_out": lambda: _interface("topic out", OUTPUTS.values()),
    "services": lambda: _interface("service", SERVICES.values()),
    "parameters": parameters,
    "reasons": reasons,
}


ROOT = Path(__file__).parents[3]
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
            write_file(document, new)


if __name__ == "__main__":
    main()
