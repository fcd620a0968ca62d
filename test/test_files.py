"""Files are written whole or not at all, with the umask's mode; a place that cannot be written is the user's error."""

import os
import subprocess
import sys

import numpy as np
import pytest

from gckpl_ros.errors import InputError
from gckpl_ros.files import AtomicFile, atomic_write, load_arrays, save_arrays, write_file

KILLED = """
import os, signal, sys
from gckpl_ros.files import atomic_write
with atomic_write(sys.argv[1]) as beside:
    beside.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_there_only_at_the_end_and_replaces_the_old_one(tmp_path):
    path = tmp_path / "new" / "deep" / "a.txt"
    for content in ("first", "second"):
        before = path.read_text() if path.exists() else None
        with atomic_write(path) as beside:
            beside.write_text(content)
            assert (path.read_text() if path.exists() else None) == before
        assert path.read_text() == content and names(path.parent) == ["a.txt"]


@pytest.mark.parametrize("fault", [RuntimeError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_file_and_nothing_behind(tmp_path, fault):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(fault), atomic_write(tmp_path / "a.txt") as beside:
        beside.write_text("half")
        beside.with_name("what a library leaves.tmp").write_text("x")
        raise fault
    assert names(tmp_path) == ["a.txt"] and (tmp_path / "a.txt").read_text() == "old"


def test_killed_while_writing_the_old_file_is_whole(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    ended = subprocess.run([sys.executable, "-c", KILLED, tmp_path / "a.txt"], check=False)
    assert ended.returncode == -9 and (tmp_path / "a.txt").read_text() == "old"
    write_file(tmp_path / "a.txt", "new")
    assert (tmp_path / "a.txt").read_text() == "new"


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o007, 0o660), (0o077, 0o600)])
def test_the_mode_is_the_umasks_whoever_writes(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        with atomic_write(tmp_path / "a.txt") as beside:
            os.close(os.open(beside, os.O_CREAT | os.O_WRONLY, 0o600))
    finally:
        os.umask(before)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == mode


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "link.txt").symlink_to(tmp_path / "disk" / "a.txt")
    write_file(tmp_path / "link.txt", b"new")
    assert (tmp_path / "link.txt").is_symlink() and (tmp_path / "disk" / "a.txt").read_bytes() == b"new"


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    first, second = AtomicFile(tmp_path / "a.txt"), AtomicFile(tmp_path / "a.txt")
    for file, content in ((first, "first"), (second, "second")):
        file.beside.write_text(content)
    second.keep()
    assert (tmp_path / "a.txt").read_text() == "second"
    first.keep()
    assert (tmp_path / "a.txt").read_text() == "first" and names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize(
    ("place", "reason"),
    [("file/a.txt", "Not a directory|File exists"), ("folder", "it is a directory"), ("x" * 300, "File name too long")],
)
def test_places_that_cannot_be_written_say_what_and_how_to_mend_it(tmp_path, place, reason):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=rf"^cannot write .*{place}: ({reason}); name another with --out$"):
        write_file(tmp_path / place, "x", mend="name another with --out")
    assert names(tmp_path) == ["file", "folder"]


def test_a_pipe_is_written_to_as_it_is(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with subprocess.Popen(["cat", tmp_path / "pipe"], stdout=subprocess.PIPE) as reader:
        write_file(tmp_path / "pipe", "through")
        assert reader.stdout.read() == b"through"
    with pytest.raises(InputError, match="it is no regular file"), atomic_write(tmp_path / "pipe"):
        pass


def test_arrays_come_back_as_they_were(tmp_path):
    values = {"a": np.arange(6.0).reshape(2, 3), "b": np.array([True, False])}
    save_arrays(tmp_path / "some.npz", **values)
    for name, array in load_arrays(tmp_path / "some.npz", *values).items():
        assert array.dtype == values[name].dtype and (array == values[name]).all()
    assert names(tmp_path) == ["some.npz"]
