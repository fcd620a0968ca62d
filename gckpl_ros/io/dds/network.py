"""Which network: the domain of ROS_DOMAIN_ID, and a loopback that always works between programs on one machine."""

import os
from typing import Final

from gckpl_ros.errors import InputError
from gckpl_ros.io.receive_buffers import ask_for_receive_buffers

_MOST: Final = 232
LOOPBACK: Final = (
    "<CycloneDDS><Domain><General><AllowMulticast>false</AllowMulticast>"
    '<Interfaces><NetworkInterface name="lo" multicast="false"/></Interfaces></General>'
    "<Discovery><ParticipantIndex>auto</ParticipantIndex><MaxAutoParticipantIndex>32</MaxAutoParticipantIndex>"
    '<Peers><Peer address="localhost"/></Peers></Discovery></Domain></CycloneDDS>'
)


def domain_id() -> int:
    """The DDS domain; raises InputError for a ROS_DOMAIN_ID that is none."""
    text = os.environ.get("ROS_DOMAIN_ID") or "0"
    if not (text.isdecimal() and int(text) <= _MOST):
        raise InputError(f"ROS_DOMAIN_ID={text}: give a whole number from 0 to {_MOST}")
    return int(text)


def configure(local: bool) -> None:
    """Set what CYCLONEDDS_URI leaves open: large receive buffers and, ``local``, this machine's loopback only.

    ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST says the same as ``local``. CYCLONEDDS_URI counts against both.
    """
    local = local or os.environ.get("ROS_AUTOMATIC_DISCOVERY_RANGE") == "LOCALHOST"
    ask_for_receive_buffers(LOOPBACK if local else "")
