"""How the adapter learns, in one place: losses and their weights, and who teaches."""

from typing import Final

from gckpl_ros.adapt.learner import LearnerConfig
from gckpl_ros.adapt.targets import SmoothingTeacher, Teacher
from gckpl_ros.adapt.temporal import TemporalTeacher, load_temporal
from gckpl_ros.adapt.total import LossWeights
from gckpl_ros.config import AdaptConfig, Config
from gckpl_ros.errors import InputError

LOSSES: Final = LossWeights(
    flow=0.0, points_to_limb=0.0, symmetry=0.0, joint_to_part=0.0, segmentation=0.5, teacher=7.0
)
REPLAY: Final = 1.0
"""Weight of simulated crops, beside 1 for those losses."""


def learner_config(config: AdaptConfig) -> LearnerConfig:
    """What the learner needs to know."""
    return LearnerConfig(weights=LOSSES, replay=REPLAY, learning_rate=config.learning_rate)


def default_teacher(config: Config) -> Teacher:
    """Who says what unlabelled people look like: a temporal network reads the tokens of one keypoint network only.

    Raises InputError where the file cannot be read, or looks at fewer frames than tracklets have.
    """
    if config.estimate.weights and not config.adapt.teacher:
        return SmoothingTeacher()
    temporal = load_temporal(config.adapt.teacher)
    if config.adapt.frames > temporal.config.frames:
        most = temporal.config.frames
        raise InputError(f"adapt.frames is {config.adapt.frames}, but the temporal network looks at {most} at most")
    return TemporalTeacher(temporal)
