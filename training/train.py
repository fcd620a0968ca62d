"""The command `gckpl train`."""

from typing import Annotated, Literal

import tyro

from gckpl_ros.errors import InputError
from gckpl_training.stage1_config import Stage1Config


def main(
    stage: tyro.conf.Positional[Literal["stage1"]], config: Annotated[Stage1Config, tyro.conf.arg(name="")]
) -> None:
    """Train the keypoint network; a run resumes where it was stopped, Ctrl-C keeps the last checkpoint."""
    from rich.console import Console

    try:
        from gckpl_training.stage1 import Stage1
    except ModuleNotFoundError as error:
        raise InputError(f"training needs {error.name}: pip install 'gckpl_ros[train]'") from error
    result = Stage1(config).run()
    if result:
        Console().print(f"MPJPE {result['mpjpe'] * 100:.1f} cm on held-out people; weights in {config.out}")
