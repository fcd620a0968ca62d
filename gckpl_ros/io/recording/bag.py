"""Recordings (rosbag2) in: directories and lone files, MCAP and SQLite, by the library rosbags; no ROS needed."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack
from heapq import merge
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple

from rosbags.interfaces import Connection, Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2 import CompressionFormat, CompressionMode, Reader, StoragePlugin, Writer
from rosbags.typesys.store import Typestore

from gckpl_ros.errors import InputError
from gckpl_ros.files import AtomicFile
from gckpl_ros.io.messages.typestore import MessageTypes, recorded_typestore, typestore

_SUFFIXES = (".mcap", ".db3")


class Record(NamedTuple):
    """A message as it was recorded: CDR bytes, and when it was received (ns)."""

    topic: str
    received_ns: int
    data: bytes


class BagReader:
    """A recording, open for reading; every fault in it becomes an InputError that says how to mend it."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._stack = ExitStack()
        self._readers: list[Reader] = []
        self._stores: dict[str, Typestore] = {}

    def __enter__(self) -> "BagReader":
        files = _files(self.path)
        try:
            _check_databases(self.path)
            self._readers = [self._stack.enter_context(Reader(file)) for file in files]
        except Exception as error:  # damaged files raise whatever the parser stumbles over
            self._stack.close()
            raise self._damaged(error) from error
        self._readers.sort(key=lambda reader: reader.start_time)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def topics(self) -> dict[str, str]:
        """The type of each topic."""
        return {connection.topic: connection.msgtype for connection in self._connections()}

    def count(self, topic: str) -> int:
        """How many messages a topic has."""
        return sum(connection.msgcount for connection in self._connections() if connection.topic == topic)

    def of_type(self, msgtype: str) -> list[str]:
        """The topics of a type that have messages."""
        return sorted(topic for topic, kind in self.topics.items() if kind == msgtype and self.count(topic))

    def topic(self, msgtype: str, name: str = "", option: str = "--topic") -> str:
        """The named topic, or the only one of this type; raises InputError that lists what there is to choose from."""
        if name:
            if self.topics.get(name) == msgtype:
                return name
            fault = f"is a {self.topics[name]}" if name in self.topics else "is not in it"
            raise InputError(f"{self.path}: topic {name} {fault}; wanted is a {msgtype}.\n{self._listing()}")
        found = self.of_type(msgtype)
        if len(found) == 1:
            return found[0]
        if found:
            raise InputError(f"{self.path} has several topics of {msgtype}: choose by {option} {' | '.join(found)}")
        raise InputError(f"{self.path} has no messages of {msgtype}.\n{self._listing()}")

    def records(self, topics: Collection[str]) -> Iterator[Record]:
        """Messages of some topics as they were received, of all files by time; raises InputError for damaged ones."""
        files = []
        for reader in self._readers:
            if connections := [connection for connection in reader.connections if connection.topic in topics]:
                files.append(reader.messages(connections))
        merged = merge(*files, key=lambda message: message[1])
        while (message := self._next(merged)) is not None:
            connection, received_ns, data = message
            yield Record(connection.topic, received_ns, data)

    def decode(self, record: Record) -> Any:
        """The message in a record; raises InputError if its bytes are no such message."""
        msgtype = self.topics[record.topic]
        try:
            if record.topic not in self._stores:
                definition = next(c.msgdef for c in self._connections() if c.topic == record.topic)
                self._stores[record.topic] = recorded_typestore(definition, msgtype)
            return self._stores[record.topic].deserialize_cdr(record.data, msgtype)
        except Exception as error:  # as above
            raise InputError(f"a message on {record.topic} is no {msgtype}: {error}") from error

    def _connections(self) -> list[Connection]:
        return [connection for reader in self._readers for connection in reader.connections]

    def _next(self, messages: Iterator[tuple[Connection, int, bytes]]) -> tuple[Connection, int, bytes] | None:
        try:
            return next(messages, None)
        except Exception as error:  # as above
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> InputError:
        if isinstance(error, OSError):
            return InputError(f"cannot read {self.path}: {error.strerror or error}")
        mend = (
            "mend it with `mcap recover BROKEN.mcap -o MENDED.mcap` (MCAP)"
            " or `sqlite3 BROKEN.db3 .recover | sqlite3 MENDED.db3` (SQLite), or record again and let the recorder end"
        )
        return InputError(f"recording {self.path} is truncated or damaged ({error or type(error).__name__}): {mend}")

    def _listing(self) -> str:
        rows = [f"  {topic}  {kind}  ({self.count(topic)} messages)" for topic, kind in sorted(self.topics.items())]
        return "Its topics:\n" + "\n".join(rows) if rows else "It has no topics."


def _files(path: Path) -> list[Path]:
    """What to open: a directory with metadata as it is, without it each of its files, or the lone file."""
    if not path.exists():
        raise InputError(f"no recording at {path}: give a rosbag2 directory, an .mcap file or a .db3 file")
    if path.is_file():
        if path.suffix == ".bag":
            raise InputError(f"{path} is a ROS 1 recording: convert it with `rosbags-convert --src {path} --dst OUT`")
        if path.suffix not in _SUFFIXES:
            raise InputError(f"{path} is no recording: give a rosbag2 directory, an .mcap file or a .db3 file")
        return [path]
    if (path / "metadata.yaml").exists():
        return [path]
    files = sorted(file for file in path.iterdir() if file.suffix in _SUFFIXES)
    if not files:
        raise InputError(f"{path} is no recording: the directory has no metadata.yaml and no .mcap or .db3 file")
    return files


def _check_databases(path: Path) -> None:
    """Raises EOFError if a database is shorter than its header says: SQLite would read the missing end as zeros."""
    for file in path.glob("*.db3") if path.is_dir() else [path] if path.suffix == ".db3" else []:
        with file.open("rb") as stream:
            header = stream.read(32)
        page_bytes, pages = (int.from_bytes(header[start:end], "big") for start, end in ((16, 18), (28, 32)))
        whole = pages * (page_bytes if page_bytes > 1 else 1 << 16)
        if file.stat().st_size < whole:
            raise EOFError(f"{file.name} has {file.stat().st_size} of {whole} bytes")


# Recordings out: one MCAP file that RViz, Foxglove and ros2 bag play; it appears once it is whole.

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

    @property
    def types(self) -> MessageTypes:
        """The message types that can be written."""
        return typestore().types

    def __enter__(self) -> "BagWriter":
        self._file = AtomicFile(self.out)
        self._bag = self._file.beside.with_name(_NAME)
        self._writer = Writer(self._bag, version=_VERSION, storage_plugin=StoragePlugin.MCAP)
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
        with self._file.faults():
            self._writer.write(self._connections[topic], received_ns, data)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            with self._file.faults():
                if kind is not None:
                    self._writer.abort()
                    return
                self._writer.close()
                (self._bag / f"{_NAME}.mcap").replace(self._file.beside)
            self._file.keep()
        finally:
            self._file.drop()


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
