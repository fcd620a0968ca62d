"""Live on a ROS 2 network without ROS: Cyclone DDS from PyPI carries the messages, rosbags makes and reads them."""

from gckpl_ros.errors import InputError

try:
    import cyclonedds.core  # noqa: F401
except ImportError as error:
    raise InputError(f"Cyclone DDS cannot be loaded ({error}): pip install 'cyclonedds>=11,<12'") from error
