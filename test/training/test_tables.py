"""Tables in the documents: rendered from JSON and from the code, and never edited by hand."""

import json
from pathlib import Path

import pytest

from gckpl_ros.io.live.network import LOOPBACK
from gckpl_training.bench.tables import REFERENCE, ROOT, documents, filled, render

MEASUREMENT = {
    "date": "2030-01-02",
    "commit": "abc1234",
    "machine": {"cpu": "Abacus", "cores": 2, "gpu": None, "python": "3.11.7", "torch": "2.13.0", "threads": 1},
    "rows": [
        {"sensor": "spinner16", "crops_per_s": 12345, "median_ms": 1.2345},
        {"sensor": "os1_128", "median_ms": 234.5},
    ],
}
TABLE = """| sensor | crops per s | median ms |
| --- | --- | --- |
| spinner16 | 12,345 | 1.23 |
| os1_128 |  | 234.5 |

Measured 2030-01-02 at abc1234: Abacus, 2 cores, 1 threads, torch 2.13.0, Python 3.11.7.
"""


def test_a_measurement_becomes_a_table() -> None:
    assert render(MEASUREMENT) == TABLE


def test_a_gpu_goes_before_the_processor() -> None:
    machine = MEASUREMENT["machine"] | {"gpu": "Loom"}
    assert "abc1234: Loom, 1 threads" in render(MEASUREMENT | {"machine": machine})


def test_only_marked_places_are_written_anew(tmp_path: Path) -> None:
    (tmp_path / "scan.json").write_text(json.dumps(MEASUREMENT))
    text = "a\n<!-- table: scan -->\nold\n<!-- end -->\nb\n<!-- table: other -->\n<!-- end -->\nc\n"
    new = filled(text, tmp_path)
    assert new == (
        f"a\n<!-- table: scan -->\n{TABLE}<!-- end -->\nb\n<!-- table: other -->\nNot measured yet.\n<!-- end -->\nc\n"
    )
    assert filled(new, tmp_path) == new


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("parameters", "| parameter | default | range | while running | what |"),
        ("parameters", "| `crop.margin_m` | `0.15` | [0, 1] | yes | Enlarge every box by this much on each side. |"),
        (
            "parameters",
            '| `estimate.weights` | `""` |  |  | small, base (more accurate, 2.7 times the work), '
            "or a file (.safetensors); empty: base on a GPU, small on a CPU. |",
        ),
        ("parameters", "| `output.body_frames` | `true` |  | yes | TF frame body_\\<id> of each person (REP-155). |"),
        ("services", "| `~/reset_tracks` | std_srvs/srv/Trigger | forget everybody; ids are not used again |"),
    ],
)
def test_the_code_fills_the_tables_of_reference(tmp_path: Path, name: str, line: str) -> None:
    assert f"\n{line}\n" in filled(f"<!-- table: {name} -->\n<!-- end -->", tmp_path)


@pytest.mark.parametrize(
    ("parameter", "interval"),
    [("`detect.max_range_m`", "(1, 200]"), ("`track.smoothing`", "[0, 1)"), ("`crop.max_points`", "[16, 1024]")],
)
def test_a_round_bracket_shuts_its_end_out(parameter: str, interval: str) -> None:
    assert {row["parameter"]: row["range"] for row in REFERENCE["parameters"]()}[parameter] == interval


@pytest.mark.parametrize("document", documents(), ids=lambda path: path.name)
def test_documents_hold_what_was_measured(document: Path) -> None:
    text = document.read_text()
    assert filled(text, ROOT / "docs/benchmarks") == text, "run `make tables`"


def test_ros_nodes_are_told_the_loopback_that_our_own_programs_use() -> None:
    assert f"export CYCLONEDDS_URI='{LOOPBACK}'\n" in (ROOT / "docs/live.md").read_text()
