"""Artefacts of a run: files that are made once, and known by a hash of all that made them."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from gckpl_ros.files import atomic_write


def artefact(path: Path, made_of: Any, make: Callable[[Path], object]) -> Path:
    """The file that was made of exactly this, named ``path`` with the key in it; made where there is none yet.

    ``make`` writes to the path that it is given. Raises InputError where the file cannot be written.
    """
    keyed = path.with_name(f"{path.stem}.{key(made_of)}{path.suffix}")
    if not keyed.exists():
        with atomic_write(keyed) as beside:
            make(beside)
    return keyed


def key(made_of: Any) -> str:
    """Twelve hexadecimal digits that differ where anything does."""
    return _digest([json.dumps(plain(made_of), sort_keys=True).encode()])[:12]


def plain(value: Any) -> Any:
    """As JSON: data classes by fields, files and folders by their content, tensors and networks by their values."""
    if isinstance(value, Path):
        return _content(value) if value.exists() else str(value)
    if isinstance(value, nn.Module):
        return {"network": plain(dict(value.state_dict()))}
    if isinstance(value, Tensor):
        held = value.detach().cpu().contiguous().numpy()
        return f"{held.dtype} {held.shape} {_digest([held.tobytes()])}"
    if is_dataclass(value) and not isinstance(value, type):
        return settings(value)
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"no key for a {type(value).__name__}")


def settings(config: Any, *without: str) -> dict[str, Any]:
    """Fields of a data class, some left out, as JSON."""
    return {one.name: plain(getattr(config, one.name)) for one in fields(config) if one.name not in without}


def _content(path: Path) -> Any:
    if path.is_dir():
        return {str(file.relative_to(path)): _content(file) for file in sorted(path.rglob("*")) if file.is_file()}
    with path.open("rb") as file:
        return _digest(iter(lambda: file.read(1 << 20), b""))


def _digest(parts: Iterable[bytes]) -> str:
    found = hashlib.sha256()
    for part in parts:
        found.update(part)
    return found.hexdigest()
