"""Messages for cyclonedds as the bytes that they are: 2 MB of cloud cost a copy or two, not a loop over the numbers."""

from functools import cache
from typing import Any

from cyclonedds.idl import IdlStruct

from gckpl_ros.io.dds.names import dds_type


class Payload(IdlStruct):
    """CDR with its header. To cyclonedds it is a struct without fields, which it carries without looking into it."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def serialize(self, buffer: Any = None, endianness: Any = None, use_version_2: bool | None = None) -> bytes:
        """The bytes as they are."""
        return self.data

    @classmethod
    def deserialize(cls, data: bytes, has_header: bool = True, use_version_2: bool | None = None) -> Any:
        """The bytes as they are."""
        return cls(data)

    @classmethod
    def deserialize_key(cls, data: bytes, has_header: bool = True, use_version_2: bool | None = None) -> Any:
        """Topics of ROS have no keys."""
        return cls(b"")


@cache
def payload_type(msgtype: str) -> type[Any]:
    """The payload under the DDS name of a message type."""

    class Named(Payload, typename=dds_type(msgtype).replace("::", ".")):
        pass

    return Named
