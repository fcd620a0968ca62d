"""The command `gckpl export`."""

from pathlib import Path
from typing import Annotated, Literal

from rich.console import Console
from tyro.conf import Positional, arg

from gckpl_ros.estimate.checkpoint import load_network
from gckpl_ros.estimate.onnx import export_onnx


def main(
    what: Positional[Literal["onnx"]],
    out: Annotated[Path, arg(help="file to write")] = Path("gckpl.onnx"),
    weights: Annotated[str, arg(help="small, base or a file (.safetensors); empty: small")] = "",
) -> None:
    """Write a keypoint network for other runtimes: any number of people and points."""
    export_onnx(load_network(weights), out)
    Console().print(f"{what}: {out}", soft_wrap=True)
