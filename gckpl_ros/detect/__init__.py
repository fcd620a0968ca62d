"""People in a cloud when no detector is given."""

from gckpl_ros.detect.detector import Detector as Detector
from gckpl_ros.detect.detector import NoDetector as NoDetector
from gckpl_ros.detect.detector import detector as detector
from gckpl_ros.detect.shape import ShapeDetector as ShapeDetector
