"""Makes the labelled crops that ship for the adapter: `python -m gckpl_training.simulate.anchors OUT.npz`.

They keep what Stage I knows: some are shown again while the adapter learns, on the others its guard measures.
"""

from pathlib import Path
from typing import Annotated, Final

import torch
import tyro

from gckpl_ros.adapt.guard import save_anchors
from gckpl_training.simulate.maker import CropConfig
from gckpl_training.simulate.people import CropSource

SEED: Final = 20_234


def main(
    out: Annotated[Path, tyro.conf.Positional],
    mocap: Annotated[Path | None, tyro.conf.arg(help="motion capture beside the procedural poses")] = None,
    crops: int = 1500,
) -> None:
    """Draw crops as Stage I's training does and pack them."""
    source = CropSource(CropConfig(mocap=mocap, views=1), SEED, torch.device("cpu"), "train")
    save_anchors(out, source.draw(crops))


if __name__ == "__main__":
    tyro.cli(main)
