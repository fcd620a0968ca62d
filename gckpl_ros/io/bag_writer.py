"""Recordings out: one MCAP file that RViz, Foxglove and ros2 bag play; it appears once it is whole."""

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from rosbags.interfaces import Connection, Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from gckpl_ros.errors import InputError
from gckpl_ros.io.typestore import MessageTypes, typestore

# Version 8's QoS is numbers, which every distribution with MCAP reads.
_VERSION: Final = 8
# The writer puts this name into the file: a fixed one, so that the same messages make the same bytes.
_NAME = "recording"
_FOREVER = QosTime(9223372036, 854775807)


class BagWriter:
    """Writes OUT.mcap; the file is renamed to its place at the end, and nothing stays behind if there is an error."""

    def __init__(self, out: Path | str, topics: Mapping[str, str]) -> None:
        """The type of every topic is told first; raises InputError if the file cannot lie there."""
        self.out = Path(out)
        self._topics = dict(topics)
        self._connections: dict[str, Connection] = {}
        if self.out.suffix != ".mcap":
            raise InputError(f"cannot write {self.out}: the name must end in .mcap")
        if self.out.is_dir():
            raise InputError(f"cannot write {self.out}: it is a directory")

    @property
    def types(self) -> MessageTypes:
        """The message types that can be written."""
        return typestore().types

    def __enter__(self) -> "BagWriter":
        try:
            self.out.parent.mkdir(parents=True, exist_ok=True)
            self._folder = Path(tempfile.mkdtemp(prefix=f".{self.out.name}.", suffix=".tmp", dir=self.out.parent))
        except OSError as error:
            raise InputError(f"cannot write {self.out}: {error.strerror}") from error
        self._writer = Writer(self._folder / _NAME, version=_VERSION, storage_plugin=StoragePlugin.MCAP)
        self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        self._writer.open()
        for topic, msgtype in self._topics.items():
            qos = [_qos(latched=topic.endswith("tf_static"))]
            self._connections[topic] = self._writer.add_connection(
                topic, msgtype, typestore=typestore(), offered_qos_profiles=qos
            )
        return self

    def write(self, topic: str, received_ns: int, message: Any) -> None:
        """Append a message."""
        self.write_raw(topic, received_ns, typestore().serialize_cdr(message, self._topics[topic], little_endian=True))

    def write_raw(self, topic: str, received_ns: int, data: bytes | memoryview) -> None:
        """Append a message that is already CDR."""
        try:
            self._writer.write(self._connections[topic], received_ns, data)
        except OSError as error:
            raise InputError(f"cannot write {self.out}: {error.strerror}") from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is not None:
                self._writer.abort()
                return
            self._writer.close()
            (self._folder / _NAME / f"{_NAME}.mcap").replace(self.out)
        except OSError as fault:
            raise InputError(f"cannot write {self.out}: {fault.strerror}") from fault
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)


def _qos(latched: bool) -> Qos:
    """Reliable; static transforms also reach whoever starts to listen later."""
    return Qos(
        history=QosHistory.KEEP_LAST,
        depth=10,
        reliability=QosReliability.RELIABLE,
        durability=QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE,
        deadline=_FOREVER,
        lifespan=_FOREVER,
        liveliness=QosLiveliness.AUTOMATIC,
        liveliness_lease_duration=_FOREVER,
        avoid_ros_namespace_conventions=False,
    )
