"""Which network: the domain of ROS_DOMAIN_ID, and a loopback that always works between programs on one machine."""

import os
from pathlib import Path
from typing import Final

from gckpl_ros.errors import InputError

# Receive buffers for big clouds, for whatever runs on Cyclone DDS.

# As much as the system allows (net.core.rmem_max): a cloud comes as one burst, and what does not fit is lost. Other
# than a `min`, a `max` that the system does not allow never stops the start.
BUFFERS: Final = '<CycloneDDS><Domain><Internal><SocketReceiveBufferSize max="16MB"/></Internal></Domain></CycloneDDS>'
_ENOUGH_BYTES, _ADVISED_BYTES = 4 << 20, 16 << 20


def ask_for_receive_buffers(otherwise: str = "") -> None:
    """Put BUFFERS before what CYCLONEDDS_URI says, or ``otherwise`` where it says nothing; the later part wins."""
    given = os.environ.get("CYCLONEDDS_URI", "").removeprefix(BUFFERS).strip(",")
    os.environ["CYCLONEDDS_URI"] = ",".join(filter(None, (BUFFERS, given or otherwise)))


def buffer_warning(rmem_max: Path = Path("/proc/sys/net/core/rmem_max")) -> str:
    """What to do where the system's limit of receive buffers is too small for clouds; empty where it is not."""
    try:
        most_bytes = int(rmem_max.read_text())
    except (OSError, ValueError):  # not Linux, or not to be seen from a container
        return ""
    if most_bytes >= _ENOUGH_BYTES:
        return ""
    return (
        f"net.core.rmem_max is {most_bytes // 1024} KiB: big clouds will be lost on their way. Mend it with"
        f" `sudo sysctl -w net.core.rmem_max={_ADVISED_BYTES}`"
    )


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
