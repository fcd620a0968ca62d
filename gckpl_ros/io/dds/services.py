"""Services of ROS 2 without ROS: a topic for requests and one for replies, as Cyclone's RMW carries them.

Each message begins with a header: who asks, and the number of the request, which the reply repeats.
"""

import struct
from collections.abc import Callable
from functools import partial
from queue import Empty, SimpleQueue
from secrets import randbits
from threading import Lock
from time import monotonic, sleep
from typing import Any, Final, NamedTuple

from gckpl_ros.errors import InputError
from gckpl_ros.io.dds.participant import RELIABLE, Participant, Refuse
from gckpl_ros.io.messages.typestore import typestore

NOBODY: Final = (
    "Does a node or `gckpl live` of this name run, with the same ROS_DOMAIN_ID, and --local on all sides or none?"
)
_CDR_BYTES: Final = 4  # what any CDR begins with; its second byte tells the order of bytes
_HEADER: Final = "Qq"
_HEADER_BYTES: Final = struct.calcsize(f"<{_HEADER}")
_POLL_S: Final = 0.005
_REPLY_PATIENCE_S: Final = 0.1  # as Cyclone's RMW


class Half(NamedTuple):
    """A request or the reply to it: who asks, the number of the request, and what is asked or answered."""

    client: int
    number: int
    message: Any


def pack(half: Half, msgtype: str) -> bytes:
    """CDR of a request or reply, whose type ends with _Request or _Response."""
    data = bytes(typestore().serialize_cdr(half.message, msgtype, little_endian=True))
    return data[:_CDR_BYTES] + struct.pack(f"<{_HEADER}", half.client, half.number) + data[_CDR_BYTES:]


def unpack(data: bytes, msgtype: str) -> Half:
    """The request or reply in CDR of either order of bytes; raises some exception for bytes that are none."""
    order = "<" if data[1] & 1 else ">"
    client, number = struct.unpack_from(f"{order}{_HEADER}", data, _CDR_BYTES)
    rest = data[:_CDR_BYTES] + data[_CDR_BYTES + _HEADER_BYTES :]
    return Half(client, number, typestore().deserialize_cdr(rest, msgtype))


class Service:
    """Answers the requests of others, one by one, in the reader's thread."""

    def __init__(
        self, network: Participant, name: str, kind: str, answer: Callable[[Any], Any], refuse: Refuse
    ) -> None:
        """``name`` in full; ``kind``: its type; ``answer``: from a request to a NamedTuple of the response's fields."""
        request, self._response = f"{kind}_Request", f"{kind}_Response"
        self._answer = answer
        self._replies = network.publisher(name, self._response)
        self._lock = Lock()  # a request may come before the subscription has its name
        with self._lock:
            read = partial(unpack, msgtype=request)
            self._requests = network.subscribe(name, request, self._receive, RELIABLE, refuse, read)

    def _receive(self, asked: Half) -> None:
        response = typestore().types[self._response](**self._answer(asked.message)._asdict())
        with self._lock:
            # who asks may be known before its subscription to the replies is
            _until(lambda: self._replies.subscribers >= self._requests.publishers, _REPLY_PATIENCE_S)
        self._replies.write(pack(asked._replace(message=response), self._response))


def call(network: Participant, name: str, kind: str, timeout_s: float, **request: Any) -> Any:
    """The response of a service, its name given in full; raises InputError where none comes in time."""
    asked = Half(randbits(64), 1, typestore().types[f"{kind}_Request"](**request))
    answers: SimpleQueue[Any] = SimpleQueue()

    def receive(answer: Half) -> None:
        if answer[:2] == asked[:2]:
            answers.put(answer.message)

    response, until_s = f"{kind}_Response", monotonic() + timeout_s
    profile = RELIABLE._replace(mark=f"clientid={asked.client:016x};")
    replies = network.subscribe(name, response, receive, profile, read=partial(unpack, msgtype=response))
    requests = network.publisher(name, f"{kind}_Request", profile)
    if _until(lambda: replies.publishers and requests.subscribers, timeout_s):
        requests.write(pack(asked, f"{kind}_Request"))
    try:
        return answers.get(timeout=max(0.0, until_s - monotonic()))
    except Empty:
        raise InputError(f"nobody answers {name}. {NOBODY}") from None


def _until(holds: Callable[[], Any], timeout_s: float) -> bool:
    """Whether something came to hold in time."""
    until_s = monotonic() + timeout_s
    while not holds():
        if monotonic() > until_s:
            return False
        sleep(_POLL_S)
    return True
