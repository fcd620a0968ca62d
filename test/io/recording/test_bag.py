import re
import shutil

import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer

from gckpl_ros.errors import InputError
from gckpl_ros.io.messages.skeletons import to_header
from gckpl_ros.io.messages.typestore import typestore
from gckpl_ros.io.recording.bag import BagReader, BagWriter

STORE = typestore()
HEADER = "std_msgs/msg/Header"
STRING = "std_msgs/msg/String"


def text(value):
    return STORE.types[STRING](data=value)


def record(folder, plugin=StoragePlugin.MCAP, messages=(("/a", 10, "one"), ("/b", 20, "two"), ("/a", 30, "three"))):
    """A recording as rosbags itself writes it."""
    with Writer(folder, version=8, storage_plugin=plugin) as writer:
        topics = dict.fromkeys(topic for topic, _, _ in messages)
        connections = {topic: writer.add_connection(topic, STRING, typestore=STORE) for topic in topics}
        for topic, stamp, value in messages:
            writer.write(connections[topic], stamp, STORE.serialize_cdr(text(value), STRING))
    return folder


def read(path, topics=("/a", "/b")):
    with BagReader(path) as bag:
        return [(r.topic, r.received_ns, bag.decode(r).data) for r in bag.records(topics)]


ALL = [("/a", 10, "one"), ("/b", 20, "two"), ("/a", 30, "three")]


@pytest.mark.parametrize("plugin", list(StoragePlugin))
def test_directories_and_lone_files_of_both_storages(tmp_path, plugin):
    folder = record(tmp_path / "bag", plugin)
    (file,) = (path for path in folder.iterdir() if path.suffix in (".mcap", ".db3"))
    assert read(folder) == read(file) == ALL
    (folder / "metadata.yaml").unlink()
    assert read(folder) == ALL
    assert read(folder, ["/b"]) == [("/b", 20, "two")]


def test_files_of_a_split_recording_are_read_in_the_order_of_time(tmp_path):
    late, soon = (
        record(tmp_path / name, messages=messages)
        for name, messages in (("late", [("/a", 50, "late")]), ("soon", [("/a", 5, "soon"), ("/b", 6, "b")]))
    )
    split = tmp_path / "split"
    split.mkdir()
    shutil.copy(late / "late.mcap", split / "split_10.mcap")
    shutil.copy(soon / "soon.mcap", split / "split_9.mcap")
    assert read(split) == [("/a", 5, "soon"), ("/b", 6, "b"), ("/a", 50, "late")]
    with BagReader(split) as bag:
        assert bag.count("/a") == 2


@pytest.mark.parametrize("plugin", list(StoragePlugin))
def test_files_that_overlap_are_merged_by_time(tmp_path, plugin):
    odd, even = ([("/a", t, str(t)) for t in range(first, 40, 2)] for first in (1, 2))
    split = tmp_path / "split"
    split.mkdir()
    for name, messages in (("left", odd), ("right", [*even, ("/b", 41, "last")])):
        record(tmp_path / name, plugin, messages)
        (file,) = (path for path in (tmp_path / name).iterdir() if path.suffix in (".mcap", ".db3"))
        shutil.copy(file, split)
    assert [stamp for _, stamp, _ in read(split)] == [*range(1, 40), 41]
    assert read(split, ["/b"]) == [("/b", 41, "last")]


def test_topics_are_found_by_type_or_by_name(tmp_path):
    with BagReader(record(tmp_path / "bag")) as bag:
        assert bag.topic(STRING, "/b") == "/b"
        with pytest.raises(InputError, match=r"several topics of std_msgs/msg/String: choose by --x /a \| /b"):
            bag.topic(STRING, option="--x")
        with pytest.raises(InputError, match=r"(?s)/c is not in it.*/a  std_msgs/msg/String  \(2 messages\)"):
            bag.topic(STRING, "/c")
        with pytest.raises(InputError, match="/a is a std_msgs/msg/String; wanted is a std_msgs/msg/Header"):
            bag.topic(HEADER, "/a")
        with pytest.raises(InputError, match="no messages of std_msgs/msg/Header"):
            bag.topic(HEADER)
    with BagReader(record(tmp_path / "one", messages=[("/a", 1, "x")])) as bag:
        assert bag.topic(STRING) == "/a"


def test_bytes_that_are_no_such_message_are_an_input_error(tmp_path):
    with Writer(tmp_path / "bag", version=8) as writer:
        connection = writer.add_connection("/a", STRING, typestore=STORE)
        writer.write(connection, 1, b"\x00\x01\x00\x00\xff\xff\xff\x7fabc")
    with pytest.raises(InputError, match="a message on /a is no std_msgs/msg/String"):
        read(tmp_path / "bag")


@pytest.mark.parametrize("keep", [0, 4, 20, 0.3, 0.7, 0.999])
@pytest.mark.parametrize("plugin", list(StoragePlugin))
def test_truncated_recordings_say_how_to_mend_them(tmp_path, plugin, keep):
    messages = [("/a", i, str(np.random.default_rng(i).bytes(400))) for i in range(60)]
    folder = record(tmp_path / "bag", plugin, messages)
    (file,) = (path for path in folder.iterdir() if path.suffix in (".mcap", ".db3"))
    data = file.read_bytes()
    file.write_bytes(data[: int(keep * len(data)) if isinstance(keep, float) else keep])
    for path in (folder, file):
        with pytest.raises(InputError, match=re.escape(str(path)) + " is truncated or damaged .*mcap recover"):
            read(path)


def test_damage_in_the_middle_is_found_while_reading(tmp_path):
    out = tmp_path / "a.mcap"
    with BagWriter(out, {"/a": STRING}) as writer:
        for i in range(100):
            writer.write("/a", i, text(str(i) * 100))
    data = bytearray(out.read_bytes())
    data[data.index(b"\x28\xb5\x2f\xfd")] = 0  # the first byte of the compressed chunk (Zstandard's magic number)
    out.write_bytes(data)
    with pytest.raises(InputError, match="truncated or damaged"):
        read(out)


@pytest.mark.parametrize(
    "name, reason",
    [
        ("absent.mcap", "no recording at"),
        ("notes.txt", "is no recording: give a rosbag2 directory"),
        ("old.bag", "ROS 1 recording: convert it with `rosbags-convert"),
        ("folder", "no metadata.yaml and no .mcap or .db3 file"),
    ],
)
def test_what_is_no_recording(tmp_path, name, reason):
    (tmp_path / "folder").mkdir()
    for file in ("notes.txt", "old.bag"):
        (tmp_path / file).write_text("x")
    with pytest.raises(InputError, match=reason), BagReader(tmp_path / name):
        pass


def write(out, count=3):
    with BagWriter(out, {"/a": STRING, "/tf_static": "tf2_msgs/msg/TFMessage", "/h": HEADER}) as writer:
        for i in range(count):
            writer.write("/a", 10 * i, text(f"{i}" * 100))
            writer.write("/h", 10 * i + 1, to_header(i, "lidar", writer.types))


def test_the_same_messages_make_the_same_bytes_whatever_the_file_is_called(tmp_path):
    write(tmp_path / "a.mcap")
    write(tmp_path / "deeper" / "b.mcap")
    assert (tmp_path / "a.mcap").read_bytes() == (tmp_path / "deeper" / "b.mcap").read_bytes()
    assert read(tmp_path / "a.mcap", ["/a"]) == [("/a", 10 * i, f"{i}" * 100) for i in range(3)]


def test_written_recordings_explain_their_types_to_other_programs(tmp_path):
    skeletons = "gckpl_ros/msg/SkeletonArray"
    with BagWriter(tmp_path / "a.mcap", {"/s": skeletons}) as writer:
        stamp = to_header(5, "lidar", writer.types)
        writer.write("/s", 5, writer.types[skeletons](header=stamp, joint_names=["nose"], skeletons=[]))
    data = (tmp_path / "a.mcap").read_bytes()
    assert data[:8] == data[-8:] == b"\x89MCAP0\r\n"
    assert b"ros2msg" in data and b"MSG: gckpl_ros/Skeleton\n" in data and b"MSG: vision_msgs/BoundingBox3D\n" in data


@pytest.mark.parametrize("fault", [RuntimeError, KeyboardInterrupt])
def test_nothing_stays_behind_when_writing_stops_half_way(tmp_path, fault):
    out = tmp_path / "a.mcap"
    out.write_text("from before")
    with pytest.raises(fault), BagWriter(out, {"/a": STRING}) as writer:
        writer.write("/a", 1, text("x"))
        raise fault
    assert [path.name for path in tmp_path.iterdir()] == ["a.mcap"]
    assert out.read_text() == "from before"


def test_places_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder.mcap").mkdir()
    for out, reason in (
        (tmp_path / "a.bag", "must end in .mcap"),
        (tmp_path / "folder.mcap", "is a directory"),
        (tmp_path / "file" / "a.mcap", "cannot write"),
    ):
        with pytest.raises(InputError, match=reason), BagWriter(out, {"/a": STRING}):
            pass
