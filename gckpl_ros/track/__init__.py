"""Stable identities, motion and smoothing over time."""

from gckpl_ros.track.tracker import NoTracker as NoTracker
from gckpl_ros.track.tracker import Tracker as Tracker
