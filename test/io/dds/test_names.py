"""Names as `ros2 topic info -v` and the DDS tools show them on a real ROS 2 network."""

import pytest

from gckpl_ros.io.dds.participant import dds_topic, dds_type, ros_topic, type_hash, user_data


def test_topics_and_types_have_the_names_of_ros_2_on_dds():
    assert dds_topic("/gckpl/skeletons", "gckpl_ros/msg/SkeletonArray") == "rt/gckpl/skeletons"
    assert ros_topic("rt/gckpl/skeletons") == "/gckpl/skeletons"
    assert ros_topic("ros_discovery_info") is None
    assert dds_type("sensor_msgs/msg/PointCloud2") == "sensor_msgs::msg::dds_::PointCloud2_"


def test_a_service_is_two_topics():
    assert dds_topic("/gckpl/enable", "std_srvs/srv/SetBool_Request") == "rq/gckpl/enableRequest"
    assert dds_topic("/gckpl/enable", "std_srvs/srv/SetBool_Response") == "rr/gckpl/enableReply"
    assert dds_type("std_srvs/srv/SetBool_Request") == "std_srvs::srv::dds_::SetBool_Request_"


@pytest.mark.parametrize(
    ("msgtype", "digits"),
    [  # as the definitions that ship with ROS 2 Jazzy give them
        ("std_msgs/msg/String", "df668c740482bbd48fb39d76a70dfd4bd59db1288021743503259e948f6b1a18"),
        ("sensor_msgs/msg/PointCloud2", "9198cabf7da3796ae6fe19c4cb3bdd3525492988c70522628af5daa124bae2b5"),
        ("tf2_msgs/msg/TFMessage", "e369d0f05a23ae52508854b66f6aa0437f3449d652e8cbf22d5abe85d020f087"),
        ("std_srvs/srv/SetBool_Request", "c62fbb99d94e1b25e8ef9e109f9581956bb1b3361a45a4e5810c36a90d29932e"),
        ("std_srvs/srv/SetBool_Response", "d0814e7f7b4880ab77e9c57426c7aa1562ab69f11eef8e2e968812f9cbd0b059"),
        ("std_srvs/srv/Trigger_Request", "d010825374ce8918e72bfd826c82603e60f45419e932ea976f807b74a863a199"),
        ("std_srvs/srv/Trigger_Response", "2d946c21e2fc3f1e9ca6986a8191d85fcc70097a8bb7771a053564bc47009cdf"),
    ],
)
def test_the_hash_is_that_of_ros_2(msgtype, digits):
    assert type_hash(msgtype) == f"RIHS01_{digits}"
    assert user_data(msgtype) == f"typehash=RIHS01_{digits};".encode()
    assert user_data(msgtype, "clientid=1;") == f"clientid=1;typehash=RIHS01_{digits};".encode()
