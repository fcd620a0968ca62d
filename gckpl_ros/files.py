"""Named arrays in .npz files: read with a clear word on what is missing, written whole or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from gckpl_ros.errors import InputError


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
    """Write an .npz whole or not at all."""
    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
    partial.replace(path)


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
