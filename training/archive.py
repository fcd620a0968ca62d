"""Named arrays in .npz files: read with a clear word on what is missing, written whole or not at all."""

from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from gckpl_ros.errors import InputError


def load_arrays(path: str | Path, *required: str) -> dict[str, np.ndarray]:
    """All arrays of an .npz without pickled objects; raises InputError naming what is wrong or missing."""
    try:
        with np.load(path, allow_pickle=False) as file:
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise InputError(f"{path} holds a single array; an .npz with named arrays is needed")
            missing = sorted(set(required) - set(file.files))
            if missing:
                raise InputError(f"{path} lacks {', '.join(missing)}; it has {', '.join(file.files)}")
            return {key: file[key] for key in required or file.files}
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"cannot read {path} as .npz: {error}") from error


def save_arrays(path: str | Path, **arrays: np.ndarray) -> None:
    """Write an .npz whole or not at all."""
    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        np.savez_compressed(file, **arrays)
    partial.replace(path)
