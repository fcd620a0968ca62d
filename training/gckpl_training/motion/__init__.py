"""Human motion: clips read from motion capture, a library to draw from, and poses made without any data."""

from gckpl_training.motion.files import read_motion
from gckpl_training.motion.library import Clip, MotionLibrary

__all__ = ["Clip", "MotionLibrary", "read_motion"]
