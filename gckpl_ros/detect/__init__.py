"""People in a cloud when no detector is given."""

from gckpl_ros.detect.detector import Detector as Detector
from gckpl_ros.detect.detector import NoDetector as NoDetector
