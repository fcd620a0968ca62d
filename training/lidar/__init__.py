"""LiDAR simulation: sensor models, the exact scanner, noise, ego-motion, exact scene flow."""

from gckpl_training.lidar.returns import Returns, organised
from gckpl_training.lidar.scanner import scan
from gckpl_training.lidar.sensors import SENSORS, Sensor, sensor

__all__ = ["SENSORS", "Returns", "Sensor", "organised", "scan", "sensor"]
