"""Quality of service as ROS 2 sets it on Cyclone DDS."""

from typing import Final, NamedTuple

from cyclonedds.core import Policy, Qos
from cyclonedds.util import duration

from gckpl_ros.io.dds.names import user_data

# ROS 2 lets a publisher wait for ever for a reader that does not keep up; here it would hold up the next cloud.
_MOST_BLOCKING: Final = duration(milliseconds=100)


class Profile(NamedTuple):
    """How a topic is sent or taken: the newest ``depth`` messages are kept; ``latched``: late comers get them too.

    ``mark``: see names.user_data.
    """

    depth: int = 10
    reliable: bool = True
    latched: bool = False
    mark: str = ""


RELIABLE: Final = Profile()
SENSOR: Final = Profile(depth=5, reliable=False)
TRANSFORMS: Final = Profile(depth=100)
LATCHED: Final = Profile(depth=100, latched=True)


def to_qos(profile: Profile, msgtype: str) -> Qos:
    """The QoS of a publisher or subscription, with the type's hash as user data. What this process sends is ignored."""
    history = Policy.History.KeepLast(profile.depth)
    policies = [
        history,
        Policy.Reliability.Reliable(_MOST_BLOCKING) if profile.reliable else Policy.Reliability.BestEffort,
        Policy.Durability.TransientLocal if profile.latched else Policy.Durability.Volatile,
        Policy.WriterDataLifecycle(autodispose=False),
        Policy.DataRepresentation(use_cdrv0_representation=True),
        Policy.IgnoreLocal.Participant,
        Policy.Userdata(user_data(msgtype, profile.mark)),
    ]
    if profile.latched:
        policies.append(Policy.DurabilityService(0, history, -1, -1, -1))
    return Qos(*policies)
