"""Learning on the robot: the adapter beside the pipeline, what it collects, its guard and what it keeps on disk."""

from gckpl_ros.adapt.adapter import Adapter, NoAdapter, load_adapter
from gckpl_ros.adapt.process import AdapterProcess, start_adapter
from gckpl_ros.adapt.storage import Activity, AdaptationState

__all__ = ["Activity", "AdaptationState", "Adapter", "AdapterProcess", "NoAdapter", "load_adapter", "start_adapter"]
