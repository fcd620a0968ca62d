"""Files written whole or not at all; named arrays in .npz files, read with a clear word on what is missing."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from zipfile import BadZipFile

import numpy as np

from gckpl_ros.errors import InputError

MEND: Final = "name a place that can be written"


class AtomicFile:
    """A file that is written beside its place and then kept, whole, or dropped: killed at any moment, the old is there.

    Its folder is made where there is none; its mode is the umask's, whoever writes it.
    """

    def __init__(self, path: str | Path, mend: str = MEND) -> None:
        """Raises InputError, with how to ``mend`` it, where no file can lie there."""
        self.path, self._mend = Path(path), mend
        with self.faults():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._place = self.path.resolve()  # a link stays one
            if self._place.exists() and not self._place.is_file():
                raise OSError(None, f"it is {'a directory' if self._place.is_dir() else 'no regular file'}")
            # A folder of its own: two writers never meet, and what a library leaves beside its file goes too.
            self._folder = TemporaryDirectory(
                prefix=f".{self.path.name}.", suffix=".tmp", dir=self._place.parent, ignore_cleanup_errors=True
            )
            self.beside = Path(self._folder.name) / self.path.name
            self.beside.touch()
            self._mode = self.beside.stat().st_mode
            self.beside.unlink()

    def keep(self) -> None:
        """Flush what was written to ``beside`` to the disk, then rename it; raises InputError where that fails."""
        with self.faults():
            self.beside.chmod(self._mode)
            _flush(self.beside)
            self.beside.replace(self._place)
            self.drop()
            with suppress(OSError):  # not every file system can flush a folder; the file is in its place
                _flush(self._place.parent)

    def drop(self) -> None:
        """Leave nothing behind, unless it was kept."""
        self._folder.cleanup()

    def faults(self) -> AbstractContextManager[None]:
        """What the system refuses while writing, as InputError."""
        return _faults(self.path, self._mend)


@contextmanager
def atomic_write(path: str | Path, mend: str = MEND) -> Iterator[Path]:
    """Where to write an ``AtomicFile``: kept at the end, dropped after an error; only for code that writes."""
    file = AtomicFile(path, mend)
    try:
        with file.faults():
            yield file.beside
        file.keep()
    finally:
        file.drop()


def write_file(path: str | Path, content: bytes | str, mend: str = MEND) -> Path:
    """Write bytes or UTF-8 text whole or not at all; returns the path. Raises InputError where it cannot."""
    path, data = Path(path), content.encode() if isinstance(content, str) else content
    with _faults(path, mend):
        if path.is_char_device() or path.is_fifo():  # such as /dev/stdout
            path.write_bytes(data)
            return path
    with atomic_write(path, mend) as beside:
        beside.write_bytes(data)
    return path


def array_names(path: str | Path) -> tuple[str, ...]:
    """Names of the arrays of an .npz; raises InputError when it is none."""
    with _opened(path) as file:
        return tuple(file.files)


def load_arrays(path: str | Path, *required: str) -> dict[str, np.ndarray]:
    """The required arrays of an .npz, no pickled objects; raises InputError naming what is wrong or missing."""
    with _opened(path) as file:
        missing = sorted(set(required) - set(file.files))
        if missing:
            raise InputError(f"{path} lacks {', '.join(missing)}; it has {', '.join(file.files)}")
        return {key: file[key] for key in required}


def save_arrays(path: str | Path, **arrays: np.ndarray) -> None:
    """Write an .npz whole or not at all; raises InputError where it cannot."""
    with atomic_write(path) as beside, beside.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


@contextmanager
def _faults(path: Path, mend: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}; {mend}") from error


def _flush(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


@contextmanager
def _opened(path: str | Path) -> Iterator[np.lib.npyio.NpzFile]:
    try:
        file = np.load(path, allow_pickle=False)
        if not isinstance(file, np.lib.npyio.NpzFile):
            raise InputError(f"{path} holds a single array; an .npz with named arrays is needed")
        with file:
            yield file
    except InputError:
        raise
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise InputError(f"cannot read {path} as .npz: {error}") from error
