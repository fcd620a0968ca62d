import pytest

from gckpl_ros.config import Config
from gckpl_ros.errors import InputError
from gckpl_ros.io.live.interface import INPUTS, OUTPUTS, SERVICES, resolve
from gckpl_ros.io.messages.typestore import typestore


@pytest.mark.parametrize(
    "name, node, expected",
    [
        ("~/skeletons", "gckpl", "/gckpl/skeletons"),
        ("~/skeletons", "/robot1/gckpl", "/robot1/gckpl/skeletons"),
        ("points", "gckpl", "/points"),
        ("lidar/points", "/robot1/gckpl", "/robot1/lidar/points"),
        ("/tf", "/robot1/gckpl", "/tf"),
    ],
)
def test_names_are_resolved_as_ros_resolves_them(name, node, expected):
    assert resolve(name, node) == expected


@pytest.mark.parametrize(
    "name", ["", "/", "~", "lidar points", "/lidar/", "//lidar", "lidar/1st", "/lidar~/x", "lidär"]
)
def test_what_is_no_name_is_refused(name):
    with pytest.raises(InputError, match="is no ROS name"):
        resolve(name)


def test_all_messages_but_those_of_hri_are_known_without_ros():
    unknown = {end.type for end in (*INPUTS.values(), *OUTPUTS.values()) if end.type not in typestore().types}
    assert unknown == {"hri_msgs/msg/IdsList"}


def test_names_are_unique_and_those_of_inputs_are_the_parameters_defaults():
    for ends in (INPUTS, OUTPUTS, SERVICES):
        assert len({end.topic for end in ends.values()}) == len(ends)
    defaults = Config().input
    assert (defaults.points, defaults.detections) == ((INPUTS["points"].topic,), INPUTS["detections"].topic)
