"""A participant of a ROS 2 network: publishes messages, and hands those that come to whoever wants them."""

from collections.abc import Callable
from functools import cache, partial
from threading import Event, Thread
from types import TracebackType
from typing import Any, Final, NamedTuple, TypeAlias

from cyclonedds.builtin import BuiltinDataReader, BuiltinTopicDcpsPublication
from cyclonedds.core import (
    DDSException,
    GuardCondition,
    InstanceState,
    Policy,
    Qos,
    ReadCondition,
    SampleState,
    ViewState,
    WaitSet,
)
from cyclonedds.domain import DomainParticipant
from cyclonedds.idl import IdlStruct
from cyclonedds.pub import DataWriter
from cyclonedds.sub import DataReader
from cyclonedds.topic import Topic
from cyclonedds.util import duration

from gckpl_ros.errors import InputError
from gckpl_ros.io.live.network import configure, domain_id
from gckpl_ros.io.messages.typestore import typestore

# How ROS 2 names things on DDS: topics, types, and the hash of a type, by which both ends know that they agree.


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


# Messages for cyclonedds as the bytes that they are: 2 MB of cloud cost a copy or two, not a loop over the numbers.


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


# Quality of service as ROS 2 sets it on Cyclone DDS.

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


Read: TypeAlias = Callable[[bytes], Any]
Receive: TypeAlias = Callable[[Any], None]
Refuse: TypeAlias = Callable[[Exception], None]

_ANY: Final = SampleState.Any | ViewState.Any | InstanceState.Any
_AT_ONCE: Final = 32
_MOST_ENDPOINTS: Final = 1000


def _ignore(error: Exception) -> None:
    """Malformed messages are nothing to nobody."""


class Publisher:
    """Sends messages of one type on one topic, from any thread."""

    def __init__(self, writer: DataWriter[Any], msgtype: str) -> None:
        self._writer = writer
        self._msgtype = msgtype
        self._payload = payload_type(msgtype)

    @property
    def subscribers(self) -> int:
        """How many subscriptions of others take this topic."""
        return len(self._writer.get_matched_subscriptions())

    def publish(self, message: Any) -> bool:
        """Send a message; False if a reliable reader does not keep up, and it was left out."""
        return self.write(bytes(typestore().serialize_cdr(message, self._msgtype, little_endian=True)))

    def write(self, data: bytes) -> bool:
        """Send what is already CDR; False as above."""
        try:
            self._writer.write(self._payload(data))
        except DDSException as error:
            if error.code != DDSException.DDS_RETCODE_TIMEOUT:
                raise
            return False
        return True


class Subscription:
    """Messages of one topic, handed over one by one; what cannot be read or handed over is refused and counted."""

    def __init__(self, reader: DataReader[Any], read: Read, receive: Receive, refuse: Refuse) -> None:
        self._reader = reader
        self._read = read
        self._receive = receive
        self._refuse = refuse
        self.refused = 0

    @property
    def publishers(self) -> int:
        """How many publishers of others send on this topic."""
        return len(self._reader.get_matched_publications())

    @property
    def lost(self) -> int:
        """How many messages the network has lost since the start: they were sent but did not come whole."""
        status = self._reader.get_sample_lost_status()  # type: ignore[no-untyped-call]
        return int(status.total_count)

    def take(self) -> None:
        """Hand over all messages that have come."""
        while samples := self._reader.take(_AT_ONCE):
            for sample in samples:
                if isinstance(sample, Payload):  # others only say that a publisher has gone
                    self._hand_over(sample.data)

    def _hand_over(self, data: bytes) -> None:
        try:
            self._receive(self._read(data))
        except Exception as error:  # whatever bytes come, the next message is read
            self.refused += 1
            self._refuse(error)


class Participant:
    """Publishers, subscriptions and the one thread that waits for messages; to be used as a context manager."""

    def __init__(self, local: bool = False) -> None:
        """Join the domain of ROS_DOMAIN_ID; raises InputError where that fails. ``local``: see network.configure."""
        domain = domain_id()
        configure(local)
        try:
            self._participant = DomainParticipant(domain)
        except DDSException as error:
            raise InputError(
                f"cannot join DDS domain {domain}; what Cyclone DDS says stands above. Is CYCLONEDDS_URI right, and is"
                " there a network? Without one, give --local to all programs"
            ) from error
        self._subscriptions: list[Subscription] = []
        self._ending = Event()
        self._wake = GuardCondition(self._participant)
        self._waitset = WaitSet(self._participant)
        self._waitset.attach(self._wake)
        self._thread = Thread(target=self._wait, name="dds reader", daemon=True)
        self._thread.start()

    def __enter__(self) -> "Participant":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave: no message is handed over any more, and nothing can be published."""
        self._ending.set()
        self._wake.set(True)
        self._thread.join()
        # the only way of cyclonedds to delete, with all publishers and subscriptions, what somebody may still refer to
        self._participant.__del__()

    def publisher(self, topic: str, msgtype: str, profile: Profile = RELIABLE) -> Publisher:
        """Announce a topic, by its full ROS name."""
        writer = DataWriter(self._participant, self._topic(topic, msgtype), to_qos(profile, msgtype))
        return Publisher(writer, msgtype)

    def subscribe(
        self,
        topic: str,
        msgtype: str,
        receive: Receive,
        profile: Profile = SENSOR,
        refuse: Refuse = _ignore,
        read: Read | None = None,
    ) -> Subscription:
        """Have the reader's thread call ``receive`` with every message; ``refuse`` gets what one cannot be read for.

        ``read``: what makes a message of its CDR; None: as the type says.
        """
        reader = DataReader(self._participant, self._topic(topic, msgtype), to_qos(profile, msgtype))
        read = read or partial(typestore().deserialize_cdr, typename=msgtype)
        subscription = Subscription(reader, read, receive, refuse)
        self._subscriptions.append(subscription)
        self._waitset.attach(ReadCondition(reader, _ANY))
        return subscription

    def published(self, msgtype: str) -> list[str]:
        """ROS topics of this type that others publish, as far as is known yet."""
        endpoints = BuiltinDataReader(self._participant, BuiltinTopicDcpsPublication).read(_MOST_ENDPOINTS)
        topics = {
            ros_topic(each.topic_name)
            for each in endpoints
            if each.type_name == dds_type(msgtype)
            and each.participant_key != self._participant.guid
            and each.sample_info.instance_state == InstanceState.Alive
        }
        return sorted(topic for topic in topics if topic)

    def _topic(self, name: str, msgtype: str) -> "Topic[Any]":
        return Topic(self._participant, dds_topic(name, msgtype), payload_type(msgtype))

    def _wait(self) -> None:
        while not self._ending.is_set():
            self._waitset.wait(duration(infinite=True))
            for subscription in list(self._subscriptions):
                subscription.take()
