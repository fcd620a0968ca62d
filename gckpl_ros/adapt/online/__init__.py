"""Learning on the robot: the adapter beside the pipeline, what it collects, its guard and what it keeps on disk."""

from gckpl_ros.adapt.online.adapter import Adapter
from gckpl_ros.adapt.online.no_adapter import NoAdapter
from gckpl_ros.adapt.online.state import Activity, AdaptationState

__all__ = ["Activity", "AdaptationState", "Adapter", "NoAdapter"]
