"""The wild domain: people on foot as Stage I has not seen them, simulated.

Motions are those of motion capture's val subjects; another sensor than any of training's, which moves; clothes and
carried things, rough ground, what hides people, boxes as a detector gives them (see passers).
"""

from pathlib import Path
from typing import Final

from gckpl_ros.batch import PersonBatch
from gckpl_training.motion.files import read_mocap
from gckpl_training.motion.library import MotionLibrary
from gckpl_training.simulate.people import PasserConfig, PasserSource

SENSOR: Final = "spinner32"
# People on foot among the val subjects' clips. Those to learn from and those to measure on share no clip; subjects 06
# and 11 are in the latter alone.
UNLABELLED: Final = ("07_01", "07_02", "07_04", "07_06", "07_07", "07_09", "07_11", "09_02", "09_06")
TEST: Final = ("06_01", "06_09", "07_03", "07_05", "07_08", "07_10", "07_12", "09_04", "09_07", "11_01")
UNLABELLED_SEED: Final = 8
TEST_SEED: Final = 7
LABELLED_SEED: Final = 9


def unlabelled(mocap: Path, people: int, seed: int = UNLABELLED_SEED) -> PersonBatch:
    """People to learn from; their truth is for the rows that say so. Raises InputError without the motions."""
    return _wild(mocap, UNLABELLED, people, seed)


def test_people(mocap: Path, people: int, seed: int = TEST_SEED) -> PersonBatch:
    """Other people, moving as other clips say, to measure on."""
    return _wild(mocap, TEST, people, seed)


def _wild(mocap: Path, clips: tuple[str, ...], people: int, seed: int) -> PersonBatch:
    chosen = [clip for clip in read_mocap(mocap, "val") if clip.name in clips]
    return PasserSource(PasserConfig(sensors=(SENSOR,)), seed, MotionLibrary(chosen)).draw(people)
