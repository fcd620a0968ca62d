"""3D human skeletons from LiDAR point clouds: ROS 2 node, offline replay, and learning without labels (GC-KPL)."""

from pkgutil import extend_path

# The messages that colcon generates install next to this package: tests that run from the source tree find them too.
__path__ = extend_path(__path__, __name__)
__version__ = "0.1.0"
