"""LiDAR simulation: sensor models, the exact scanner, noise, ego-motion, exact scene flow."""

from gckpl_training.lidar.returns import (
    Returns,
    drop_out,
    exact_flow,
    labels,
    mixed_pixels,
    organised,
    range_noise,
    sensor_noise,
)
from gckpl_training.lidar.scanner import scan
from gckpl_training.lidar.sensors import SENSORS, Sensor, sensor

__all__ = [
    "SENSORS",
    "Returns",
    "Sensor",
    "drop_out",
    "exact_flow",
    "labels",
    "mixed_pixels",
    "organised",
    "range_noise",
    "scan",
    "sensor",
    "sensor_noise",
]
