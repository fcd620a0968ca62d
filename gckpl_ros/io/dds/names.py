"""How ROS 2 names things on DDS: topics, types, and the hash of a type, by which both ends know that they agree."""

from gckpl_ros.io.messages.typestore import typestore


def dds_topic(name: str, msgtype: str) -> str:
    """The DDS topic of a ROS topic or of one half of a service, as the type says; the name is given in full."""
    if msgtype.endswith("_Request"):
        return f"rq{name}Request"
    return f"rr{name}Reply" if msgtype.endswith("_Response") else f"rt{name}"


def ros_topic(topic: str) -> str | None:
    """The ROS topic of a DDS topic; None where it is something else."""
    return topic[2:] if topic.startswith("rt/") else None


def dds_type(msgtype: str) -> str:
    """The DDS type of a message type: pkg/msg/Name is pkg::msg::dds_::Name_, and srv in its place for services."""
    package, kind, name = msgtype.split("/")
    return f"{package}::{kind}::dds_::{name}_"


def type_hash(msgtype: str) -> str:
    """The hash of the message's definition (REP-2016), RIHS01_ and 64 hexadecimal digits."""
    return typestore().hash_rihs01(msgtype)


def user_data(msgtype: str, mark: str = "") -> bytes:
    """What ROS 2 tells of a publisher or subscription beside its topic and type; ROS warns where it is missing.

    ``mark``: what says that two of them belong to one service or client, such as "clientid=1;".
    """
    return f"{mark}typehash={type_hash(msgtype)};".encode()
