"""The command `gckpl train`."""

from typing import Annotated

import tyro

from gckpl_ros.errors import InputError
from gckpl_training.learn.far import FarConfig, FarTraining
from gckpl_training.learn.finetune import Finetune, FinetuneConfig
from gckpl_training.learn.look import LookTraining, LookTrainingConfig
from gckpl_training.learn.person import PersonTraining, PersonTrainingConfig
from gckpl_training.learn.prior import PriorConfig, PriorTraining
from gckpl_training.learn.run import Run
from gckpl_training.learn.stage1 import Stage1, Stage1Config
from gckpl_training.learn.stage2 import Stage2Config, from_data
from gckpl_training.learn.temporal import TemporalTraining, TemporalTrainingConfig

Settings = (
    Annotated[Stage1Config, tyro.conf.subcommand("stage1", description="on simulated people")]
    | Annotated[FarConfig, tyro.conf.subcommand("far", description="on stored simulated people, from a teacher")]
    | Annotated[Stage2Config, tyro.conf.subcommand("stage2", description="on people without labels")]
    | Annotated[TemporalTrainingConfig, tyro.conf.subcommand("temporal", description="the teacher of stage2")]
    | Annotated[
        PersonTrainingConfig, tyro.conf.subcommand("person", description="the person detector, on simulated scans")
    ]
    | Annotated[
        LookTrainingConfig,
        tyro.conf.subcommand("look", description="the person detector's second stage, on its mistakes"),
    ]
    | Annotated[PriorConfig, tyro.conf.subcommand("prior", description="a pose prior, on motions alone")]
    | Annotated[FinetuneConfig, tyro.conf.subcommand("finetune", description="on a few labelled people")]
)


def main(config: tyro.conf.OmitSubcommandPrefixes[Annotated[Settings, tyro.conf.arg(name="")]]) -> None:
    """Train the keypoint network; a run resumes where it was stopped, also by Ctrl-C."""
    from rich.console import Console

    try:
        run = _made(config)
        figures = run.run()
    except ModuleNotFoundError as error:
        raise InputError(f"training needs {error.name}: pip install 'gckpl_ros[train]'") from error
    if run.parallel.leads:
        accuracy = f"MPJPE {figures['mpjpe'] * 100:.1f} cm on held-out people; " if "mpjpe" in figures else ""
        Console().print(f"{accuracy}weights in {config.out / 'final.safetensors'}")


def _made(config: Settings) -> Run:
    match config:
        case FarConfig():
            return FarTraining(config)
        case Stage1Config():
            return Stage1(config)
        case Stage2Config():
            return from_data(config)
        case TemporalTrainingConfig():
            return TemporalTraining(config)
        case PersonTrainingConfig():
            return PersonTraining(config)
        case LookTrainingConfig():
            return LookTraining(config)
        case PriorConfig():
            return PriorTraining(config)
        case FinetuneConfig():
            return Finetune(config)
