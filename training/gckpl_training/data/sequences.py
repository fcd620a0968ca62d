"""Person sequences on disk: the one format of people to learn from and to measure on. docs/data.md is its reference.

A data set is a folder of shards, a shard one safetensors file that is mapped into memory and never changes: a set grows
by another file. Sequences, their frames, and the frames' points lie one behind the other without padding; frame f of
sequence s is ``frame_start[s] <= f < frame_start[s + 1]``, and so it is with points.
"""

import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from resource import RLIM_INFINITY, RLIMIT_NOFILE, getrlimit, setrlimit
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from jaxtyping import Bool, Int64
from safetensors.numpy import save

from gckpl_ros.errors import InputError
from gckpl_ros.files import write_file

if TYPE_CHECKING:
    import gckpl_ros.batch  # with torch, which converters can do without

FORMAT: Final = "gckpl people"
VERSION: Final = "1"
SUFFIX: Final = ".people"
POINT_M: Final = 0.0005
"""What points and flow count in where they are int16: half millimetres, up to 16 m from the box's centre."""


class Kept(NamedTuple):
    """What an array is of (a sequence, a frame, a point, or the bounds of these), its types on disk, its shape each."""

    per: str
    types: tuple[str, ...]
    shape: tuple[int, ...] = ()


METRES: Final = ("int16", "float16", "float32")
FIELDS: Final[Mapping[str, Kept]] = {
    "frame_start": Kept("bounds", ("int64",)),
    "point_start": Kept("bounds", ("int64",)),
    "points": Kept("point", METRES, (3,)),
    "views": Kept("frame", ("float32",), (3,)),
    "track_ids": Kept("sequence", ("int64",)),
    "places": Kept("sequence", ("float64",), (3,)),
    "origins": Kept("frame", ("float32",), (3,)),
    "stamps_ns": Kept("frame", ("int64",)),
    "counts": Kept("frame", ("int32",)),
    "boxes": Kept("frame", ("float32",), (7,)),
    "T_world_sensor": Kept("frame", ("float64",), (4, 4)),
    "keypoints": Kept("frame", ("float32",), (14, 3)),
    "keypoint_mask": Kept("frame", ("bool",), (14,)),
    "confidence": Kept("frame", ("float16", "float32"), (14,)),
    "keypoints_2d": Kept("frame", ("float32",), (14, 3)),
    "camera": Kept("frame", ("float32",), (3, 4)),
    "parts": Kept("point", ("uint8",)),
    "flow": Kept("point", METRES, (3,)),
    "flow_confidence": Kept("point", ("float16", "float32")),
}
NEEDED: Final = ("frame_start", "point_start", "points", "views")
# Fields of PersonBatch that are kept as they are: once a frame, once a point.
_FRAMES: Final = (
    *("views", "origins", "counts", "boxes", "keypoints", "keypoint_mask", "confidence", "keypoints_2d", "camera"),
)
_POINTS: Final = ("points", "parts", "flow", "flow_confidence")
_READ_AS: Final = {
    **dict.fromkeys(("parts", "counts", "ids"), np.int64),
    **dict.fromkeys(("mask", "keypoint_mask"), np.bool_),
}
# Of frames that only fill up: held are these, all others are zero.
_HELD: Final = ("views", "origins")


@dataclass(frozen=True)
class Sequences:
    """People over time without padding: arrays as FIELDS says, perhaps of a file; ``about``: where they come from."""

    arrays: Mapping[str, np.ndarray]
    about: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.arrays["frame_start"]) - 1

    def __getitem__(self, name: str) -> np.ndarray:
        return self.arrays[name]

    def __contains__(self, name: str) -> bool:
        return name in self.arrays

    @cached_property
    def lengths(self) -> Int64[np.ndarray, " p"]:
        """Frames of each sequence."""
        return np.diff(self["frame_start"])

    @cached_property
    def points_of_frames(self) -> Int64[np.ndarray, " f"]:
        """Points of each frame."""
        return np.diff(self["point_start"])

    def metres(self, name: str, chosen: Any = slice(None)) -> np.ndarray:
        """Points or flow in metres (float32)."""
        values = self[name][chosen]
        in_metres: np.ndarray = values.astype(np.float32)
        return in_metres * np.float32(POINT_M) if values.dtype == np.int16 else in_metres

    def rows(self, index: np.ndarray | Sequence[int]) -> "Sequences":
        """The sequences chosen by an index or a mask."""
        chosen = np.arange(len(self))[np.asarray(index)]
        return self._chosen(chosen, _runs(self["frame_start"][chosen], self.lengths[chosen]), self.lengths[chosen])

    def keep(self, frames: Bool[np.ndarray, " f"]) -> "Sequences":
        """Only some of the frames, and the sequences that have one of these."""
        lengths = np.add.reduceat(frames, self["frame_start"][:-1], dtype=np.int64) if len(self) else self.lengths
        index = np.flatnonzero(lengths)
        return self._chosen(index, np.flatnonzero(frames), lengths[index])

    def _chosen(
        self, sequences: Int64[np.ndarray, " p"], frames: Int64[np.ndarray, " f"], lengths: Int64[np.ndarray, " p"]
    ) -> "Sequences":
        """Some frames of some sequences, so many of each."""
        points = _runs(self["point_start"][frames], self.points_of_frames[frames])
        rows = {"sequence": sequences, "frame": frames, "point": points}
        kept = (name for name in self.arrays if FIELDS[name].per != "bounds")
        arrays = {name: self[name][rows[FIELDS[name].per]] for name in kept}
        arrays["frame_start"], arrays["point_start"] = _bounds(lengths), _bounds(self.points_of_frames[frames])
        if "origins" in arrays:
            first = arrays["origins"][arrays["frame_start"][:-1]]
            arrays["origins"] = arrays["origins"] - np.repeat(first, lengths, axis=0)
            if "places" in arrays:
                arrays["places"] = arrays["places"] + first
        return Sequences(arrays, self.about)

    def batch(self) -> "gckpl_ros.batch.PersonBatch":
        """All as tracklets (b, t); behind shorter ones come frames without points."""
        return self._cut(self["frame_start"][:-1], self.lengths)

    def windows(self, frames: int) -> "gckpl_ros.batch.PersonBatch":
        """Tracklets of so many frames, one after the other in each sequence; what is left at its end is left out."""
        times = self.lengths // frames
        within = np.arange(times.sum()) - np.repeat(times.cumsum() - times, times)
        first = np.repeat(self["frame_start"][:-1], times) + frames * within
        return self._cut(first, np.full(len(first), frames))

    def _cut(self, first: Int64[np.ndarray, " b"], lengths: Int64[np.ndarray, " b"]) -> "gckpl_ros.batch.PersonBatch":
        """Tracklets from these frames on."""
        import torch

        from gckpl_ros.batch import PersonBatch
        from gckpl_ros.people.tracklets import LATE_S

        steps = np.arange(lengths.max(initial=1))
        there = steps < lengths[:, None]
        frames = first[:, None] + np.minimum(steps, lengths[:, None] - 1)
        returns = np.where(there, self.points_of_frames[frames], 0)
        mask = np.arange(max(returns.max(initial=1), 1)) < returns[..., None]
        points = (self["point_start"][:-1][frames][..., None] + np.arange(mask.shape[-1]))[mask]
        arrays: dict[str, np.ndarray] = {"mask": mask}
        for name in _POINTS:
            if name in self:
                values = self.metres(name, points) if self[name].ndim == 2 else self[name][points]
                arrays[name] = np.zeros((*mask.shape, *values.shape[1:]), values.dtype)
                arrays[name][mask] = values
        for name in _FRAMES:
            if name in self:
                values = np.array(self[name][frames])
                arrays[name] = values if name in _HELD else values * _like(there, values).astype(values.dtype)
        if "origins" in arrays:
            arrays["origins"] = arrays["origins"] - arrays["origins"][:, :1]
        if "stamps_ns" in self:
            dt_s = np.diff(self["stamps_ns"][frames], axis=1, prepend=self["stamps_ns"][frames][:, :1]) * 1e-9
            arrays["dt_s"] = np.where(there, dt_s, LATE_S)
        if "track_ids" in self:
            sequence = np.searchsorted(self["frame_start"], first, side="right") - 1
            arrays["ids"] = np.broadcast_to(self["track_ids"][sequence][:, None], there.shape)
        whole: dict[str, np.ndarray] = {
            name: values.astype(_READ_AS.get(name, np.float32)) for name, values in arrays.items()
        }
        return PersonBatch(**{name: torch.from_numpy(np.ascontiguousarray(values)) for name, values in whole.items()})

    @staticmethod
    def together(parts: "Sequence[Sequences]", frames: int = 0) -> "gckpl_ros.batch.PersonBatch":
        """All sequences of several as tracklets of so many frames; 0: none is cut."""
        from gckpl_ros.batch import PersonBatch

        parts = [part for part in parts if len(part)] or parts[:1]
        longest = max(int(part.lengths.max(initial=1)) for part in parts)
        if any((part.lengths > (frames or longest)).any() for part in parts):
            return PersonBatch.join([part.windows(frames) for part in parts])
        return PersonBatch.join([part.batch() for part in parts])

    @staticmethod
    def of(
        people: "gckpl_ros.batch.PersonBatch", points_as: str = "int16", about: Mapping[str, str] | None = None
    ) -> "Sequences":
        """Tracklets (b, t), or crops (b,) as sequences of one frame; raises InputError for points too far away."""
        frames = people.frames
        flat, n = people.flat(), len(people)
        there = flat.mask
        arrays = {name: value.cpu().numpy() for name in _FRAMES if (value := getattr(flat, name)) is not None} | {
            name: value[there].cpu().numpy() for name in _POINTS if (value := getattr(flat, name)) is not None
        }
        arrays["frame_start"] = np.arange(n + 1) * frames
        arrays["point_start"] = _bounds(there.sum(1).cpu().numpy())
        if people.dt_s is not None:
            since = people.dt_s.double().reshape(n, frames).cumsum(1) * 1e9
            arrays["stamps_ns"] = since.round().long().flatten().cpu().numpy()
        if people.ids is not None:
            arrays["track_ids"] = people.ids.reshape(n, frames)[:, 0].cpu().numpy()
        return Sequences(stored(arrays, points_as), dict(about or {}))

    @staticmethod
    def join(parts: "Sequence[Sequences]") -> "Sequences":
        """All sequences of several; what only some of them know is left out."""
        names = [name for name in parts[0].arrays if all(name in part for part in parts)]
        arrays = {name: np.concatenate([part[name] for part in parts]) for name in names if not name.endswith("start")}
        arrays["frame_start"] = _bounds(np.concatenate([part.lengths for part in parts]))
        arrays["point_start"] = _bounds(np.concatenate([part.points_of_frames for part in parts]))
        return Sequences(arrays, parts[0].about)


def stored(arrays: Mapping[str, np.ndarray], points_as: str = "int16") -> dict[str, np.ndarray]:
    """Arrays as they lie on disk, points and flow (m) as asked; raises InputError where int16 cannot hold them."""
    kept = {}
    for name, values in arrays.items():
        types = FIELDS[name].types
        dtype = np.dtype(points_as if types == METRES else types[-1])
        if dtype == np.int16 and values.dtype.kind == "f":
            values = np.rint(values / POINT_M)
            if np.abs(values).max(initial=0) > np.iinfo(np.int16).max:
                raise InputError(f"{name} reach further than {POINT_M * 32767:.0f} m from the box's centre")
        kept[name] = np.ascontiguousarray(values.astype(dtype))
    return kept


def _bounds(lengths: np.ndarray) -> Int64[np.ndarray, " n"]:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def _runs(first: np.ndarray, lengths: np.ndarray) -> Int64[np.ndarray, " n"]:
    """first, first + 1 .. of each, one after the other."""
    return np.repeat(first - (lengths.cumsum() - lengths), lengths) + np.arange(lengths.sum())


def _like(mask: np.ndarray, values: np.ndarray) -> np.ndarray:
    return mask.reshape(mask.shape + (1,) * (values.ndim - mask.ndim))


# Shards: one file each, whole or not there.

_TYPES: Final = {
    **{"BOOL": np.bool_, "U8": np.uint8, "I16": np.int16, "I32": np.int32, "I64": np.int64},
    **{"F16": np.float16, "F32": np.float32, "F64": np.float64},
}


def write_shard(path: Path, people: Sequences) -> Path:
    """Write sequences with checksums, whole or not at all; raises InputError where the disk refuses, or is full."""
    sums = {name: _checksum(array) for name, array in people.arrays.items()}
    described = {**people.about, "format": FORMAT, "version": VERSION, "crc32": json.dumps(sums)}
    return write_file(path, save(dict(people.arrays), metadata=described), mend="name another folder with --out")


def _checksum(array: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(array).data)


def open_shard(path: Path, verify: bool = True) -> Sequences:
    """Map a shard into memory, ``verify``: read all of it once; raises InputError that says what is wrong with it."""
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(size) if 0 < size < path.stat().st_size else b"")
        about = header.pop("__metadata__", {})
        if about.pop("format", None) != FORMAT:
            raise InputError(f"{path} holds no person sequences")
        if (version := about.pop("version", None)) != VERSION:
            raise InputError(f"{path} is of version {version}, this gckpl reads version {VERSION}: make it anew")
        mapped = np.memmap(path, np.uint8, "r", offset=8 + size)
        arrays = {name: _array(mapped, **entry) for name, entry in header.items() if name in FIELDS}
        sums = json.loads(about.pop("crc32"))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is damaged: it is no whole safetensors file") from error
    _check(path, arrays)
    if verify and (other := sorted(name for name in arrays if _checksum(arrays[name]) != sums.get(name))):
        raise InputError(f"{path} is damaged: {', '.join(other)} are not as they were written")
    return Sequences(arrays, about)


def _array(mapped: np.ndarray, dtype: str, shape: list[int], data_offsets: list[int]) -> np.ndarray:
    start, end = data_offsets
    values: np.ndarray = np.asarray(mapped[start:end]).view(_TYPES[dtype]).reshape(shape)
    return values


def _check(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Raises InputError where arrays are missing or do not belong together."""
    if missing := [name for name in NEEDED if name not in arrays]:
        raise InputError(f"{path} lacks {', '.join(missing)}")
    sizes = {"point": len(arrays["points"]), "frame": len(arrays["views"]), "sequence": len(arrays["frame_start"]) - 1}
    bounds = {"frame_start": sizes["frame"], "point_start": sizes["point"]}
    wrong = [
        name
        for name, values in arrays.items()
        if values.dtype.name not in FIELDS[name].types
        or (name not in bounds and values.shape != (sizes[FIELDS[name].per], *FIELDS[name].shape))
    ]
    for name, end in bounds.items():
        steps, least = np.diff(arrays[name], prepend=-1, append=end), name == "frame_start"
        if arrays[name].ndim != 1 or steps[:1] != 1 or steps[-1:] != 0 or (steps[1:-1] < least).any():
            wrong.append(name)
    if wrong or len(arrays["point_start"]) != sizes["frame"] + 1:
        shapes = {name: values.shape for name, values in arrays.items()}
        raise InputError(f"{path}: shapes do not belong together ({', '.join(wrong) or 'point_start'}): {shapes}")


@dataclass(frozen=True)
class Shards:
    """The shards of data sets that can be read, and why others cannot."""

    files: tuple[Path, ...]
    shards: tuple[Sequences, ...]
    skipped: Mapping[Path, str]

    def __len__(self) -> int:
        return sum(map(len, self.shards))

    def __iter__(self) -> Iterator[tuple[Path, Sequences]]:
        return iter(zip(self.files, self.shards, strict=True))


def shard_files(path: Path) -> list[Path]:
    """The shards in a folder, or the lone one; none where there is no such thing."""
    if path.is_dir():
        return sorted(path.glob(f"*{SUFFIX}"))
    return [path] if path.suffix == SUFFIX else []


def _allow_files(more: int) -> None:
    """A mapped file counts as an open one: so many more may be, as far as the system lets a program ask for it."""
    soft, hard = getrlimit(RLIMIT_NOFILE)
    wanted = more + 256
    if soft != RLIM_INFINITY and soft < wanted:
        setrlimit(RLIMIT_NOFILE, (wanted if hard == RLIM_INFINITY else min(wanted, hard), hard))


def open_shards(paths: Iterable[Path], verify: bool = True) -> Shards:
    """Every shard of files and folders; damaged ones are left out and named. Raises InputError when none is left."""
    read: dict[Path, Sequences] = {}
    skipped: dict[Path, str] = {}
    paths = list(paths)
    _allow_files(sum(len(shard_files(path)) for path in paths))
    for path in paths:
        if not path.exists():
            raise InputError(f"no person sequences at {path}: give shards ({SUFFIX}) or folders of them")
        for file in shard_files(path):
            try:
                read[file] = open_shard(file, verify)
            except InputError as error:
                skipped[file] = str(error)
    if not read:
        told = "; ".join(skipped.values()) or f"no {SUFFIX} files there"
        raise InputError(f"no person sequences in {', '.join(map(str, paths))}: {told}")
    return Shards(tuple(read), tuple(read.values()), skipped)
