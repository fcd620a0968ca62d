"""Human motion: clips read from motion capture, a library to draw from, and poses made without any data."""

from gckpl_training.motion.clip import Clip
from gckpl_training.motion.files import read_motion
from gckpl_training.motion.library import MotionLibrary

__all__ = ["Clip", "MotionLibrary", "read_motion"]
