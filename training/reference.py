"""Rows of the tables of topics, services and parameters, from the code that they describe."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeAlias

from gckpl_ros.config import Config
from gckpl_ros.io.interface import INPUTS, OUTPUTS, SERVICES, Endpoint

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


REFERENCE: Final[Mapping[str, Callable[[], Rows]]] = {
    "topics_in": lambda: _interface("topic in", INPUTS.values()),
    "topics_out": lambda: _interface("topic out", OUTPUTS.values()),
    "services": lambda: _interface("service", SERVICES.values()),
    "parameters": parameters,
}
