"""The command `gckpl train`."""

from pathlib import Path
from typing import Annotated

import tyro

from gckpl_ros.errors import InputError
from gckpl_training.learn.finetune import FinetuneConfig
from gckpl_training.learn.stage1 import Stage1Config
from gckpl_training.learn.stage2 import Stage2Config
from gckpl_training.learn.temporal import TemporalTrainingConfig

Settings = (
    Annotated[Stage1Config, tyro.conf.subcommand("stage1", description="on simulated people")]
    | Annotated[Stage2Config, tyro.conf.subcommand("stage2", description="on people without labels")]
    | Annotated[TemporalTrainingConfig, tyro.conf.subcommand("temporal", description="the teacher of stage2")]
    | Annotated[FinetuneConfig, tyro.conf.subcommand("finetune", description="on a few labelled people")]
)


def main(config: tyro.conf.OmitSubcommandPrefixes[Annotated[Settings, tyro.conf.arg(name="")]]) -> None:
    """Train the keypoint network; a run resumes where it was stopped, Ctrl-C keeps the last checkpoint."""
    from rich.console import Console

    try:
        result = _run(config)
    except ModuleNotFoundError as error:
        raise InputError(f"training needs {error.name}: pip install 'gckpl_ros[train]'") from error
    if result:
        Console().print(result)


def _run(config: Settings) -> str:
    """Train, and say what came of it; nothing in processes that follow another one."""
    match config:
        case Stage1Config():
            return _stage1(config)
        case Stage2Config():
            return _stage2(config)
        case TemporalTrainingConfig():
            from gckpl_training.learn.temporal import TemporalTraining

            TemporalTraining(config).run()
        case FinetuneConfig():
            from gckpl_training.learn.finetune import Finetune

            Finetune(config).run()
    return _written(config.out)


def _stage1(config: Stage1Config) -> str:
    from gckpl_training.learn.stage1 import Stage1

    result = Stage1(config).run()
    return f"MPJPE {result['mpjpe'] * 100:.1f} cm on held-out people; {_written(config.out)}" if result else ""


def _stage2(config: Stage2Config) -> str:
    from gckpl_training.learn.stage2 import learn

    learn(config)
    return _written(config.out)


def _written(out: Path) -> str:
    return f"weights in {out / 'final.safetensors'}"
