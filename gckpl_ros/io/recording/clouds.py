"""Single clouds and folders of them, read as a recording: .pcd, .ply, .bin (KITTI, nuScenes), .npy, .feather.

They have one topic of PointCloud2 and nothing else. A name that is a time (Argoverse 2's nanoseconds, microseconds,
milliseconds) is the cloud's stamp; other clouds come in the order of their names, ten a second.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import numpy as np
from jaxtyping import Float32

from gckpl_ros.errors import InputError
from gckpl_ros.io.messages.pointcloud2 import from_points
from gckpl_ros.io.messages.skeletons import to_header
from gckpl_ros.io.messages.typestore import typestore
from gckpl_ros.io.recording.bag import BagReader, Record

TOPIC: Final = "/points"
FRAME: Final = "lidar"
STEP_NS: Final = 100_000_000
_CLOUD: Final = "sensor_msgs/msg/PointCloud2"
# What a name of so many digits counts in, in nanoseconds.
_TIMES: Final = {19: 1, 18: 1, 16: 1_000, 13: 1_000_000}


class CloudFiles(BagReader):
    """A cloud, or a folder of them, as a recording; clouds are read when their turn comes."""

    def __init__(self, path: Path | str) -> None:
        """Raises InputError where there are no clouds."""
        super().__init__(path)
        self._files = cloud_files(self.path)
        if not self._files:
            raise InputError(f"no cloud in {self.path}: give {', '.join(sorted(_READERS))} files")

    def __enter__(self) -> "CloudFiles":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is open."""

    @property
    def topics(self) -> dict[str, str]:
        """The one topic."""
        return {TOPIC: _CLOUD}

    def count(self, topic: str) -> int:
        """How many clouds there are."""
        return len(self._files) if topic == TOPIC else 0

    def records(self, topics: Collection[str]) -> Iterator[Record]:
        """The clouds by time; raises InputError for one that cannot be read."""
        if TOPIC not in topics:
            return
        types = typestore()
        for file, stamp_ns in sorted(_stamped(self._files).items(), key=lambda one: one[1]):
            message = from_points(read_cloud(file), to_header(stamp_ns, FRAME, types.types), types.types)
            yield Record(TOPIC, stamp_ns, bytes(types.serialize_cdr(message, _CLOUD)))

    def decode(self, record: Record) -> Any:
        """The message in a record."""
        return typestore().deserialize_cdr(record.data, _CLOUD)


def open_recording(path: Path | str) -> BagReader:
    """A recording: a rosbag2 one, or clouds; to be used as a context manager. Raises InputError for clouds if none."""
    return CloudFiles(path) if cloud_files(Path(path)) else BagReader(path)


def cloud_files(path: Path) -> list[Path]:
    """The clouds of a folder by name, or the lone one; none where it is a rosbag2 recording."""
    if path.is_dir() and not (path / "metadata.yaml").exists():
        return sorted(file for file in path.iterdir() if file.suffix in _READERS)
    return [path] if path.suffix in _READERS and path.is_file() else []


def read_cloud(file: Path) -> Float32[np.ndarray, "n 3"]:
    """Points of a file (m); raises InputError that says what is wrong with it."""
    if file.suffix not in _READERS:
        raise InputError(f"{file} is no cloud: give {', '.join(sorted(_READERS))} files")
    try:
        points = np.ascontiguousarray(_READERS[file.suffix](file), np.float32)
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror or error}") from error
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise error if isinstance(error, InputError) else InputError(f"{file} is damaged: {error}") from error
    if points.ndim != 2 or points.shape[1] != 3:
        raise InputError(f"{file} holds {points.shape}: three coordinates for each point are wanted")
    return points


def _stamped(files: list[Path]) -> Mapping[Path, int]:
    """When each cloud was measured, ns: as all names say, else in their order."""
    digits = [re.findall(r"\d+", file.name.split(".")[0]) for file in files]
    if all(found and len(found[-1]) in _TIMES for found in digits):
        stamps = [int(found[-1]) * _TIMES[len(found[-1])] for found in digits]
        if len(set(stamps)) == len(stamps):
            return dict(zip(files, stamps, strict=True))
    return {file: place * STEP_NS for place, file in enumerate(files)}


def _bin(file: Path) -> np.ndarray:
    """KITTI's x, y, z, reflectance, or nuScenes' five numbers (NAME.pcd.bin), float32."""
    values = np.fromfile(file, np.float32)
    columns = 5 if file.name.endswith(".pcd.bin") or len(values) % 4 else 4
    if len(values) % columns:
        raise InputError(f"{file} holds {len(values)} numbers: rows of 4 or 5 (float32) are wanted")
    return values.reshape(-1, columns)[:, :3]


def _npy(file: Path) -> np.ndarray:
    """Rows of x, y, z and more, or records with fields of these names."""
    values: np.ndarray = np.load(file, allow_pickle=False)
    if values.dtype.names:
        return np.stack([values[axis].ravel() for axis in "xyz"], 1)
    return values.reshape(-1, values.shape[-1])[:, :3]


def _feather(file: Path) -> np.ndarray:
    """Columns x, y, z, as Argoverse 2 writes."""
    try:
        from pyarrow import ArrowException
        from pyarrow.feather import read_table
    except ImportError as error:
        raise InputError("feather files need pyarrow: pip install 'gckpl_ros[data]'") from error
    try:
        table = read_table(file, columns=["x", "y", "z"])
    except ArrowException as error:
        raise InputError(f"cannot read {file}: {error}") from error
    return np.column_stack([table[axis].to_numpy().astype(np.float32) for axis in "xyz"])


def _pcd(file: Path) -> np.ndarray:
    """PCD 0.7 (https://pointclouds.org/documentation/tutorials/pcd_file_format.html): text, binary; else by open3d."""
    head, _, data = _parted(file.read_bytes(), b"\nDATA ")
    kind, _, data = data.partition(b"\n")
    fields = {
        line.split()[0]: line.split()[1:] for line in head.decode("ascii", "replace").splitlines() if line.split()
    }
    if kind.strip() not in (b"ascii", b"binary"):
        return _by_open3d(file)
    counts = list(map(int, fields.get("COUNT", ["1"] * len(fields["FIELDS"]))))
    sizes = [int(size) * count for size, count in zip(fields["SIZE"], counts, strict=True)]
    places = [fields["FIELDS"].index(axis) for axis in "xyz"]
    points = int(fields["POINTS"][0])
    if kind.strip() == b"ascii":
        columns = [sum(counts[:place]) for place in places]
        return np.array(data.split(), np.float64).reshape(points, sum(counts))[:, columns]
    kinds = {"F": "f", "I": "i", "U": "u"}
    formats = [f"<{kinds[fields['TYPE'][place]]}{fields['SIZE'][place]}" for place in places]
    offsets = [sum(sizes[:place]) for place in places]
    layout = np.dtype({"names": list("xyz"), "formats": formats, "offsets": offsets, "itemsize": sum(sizes)})
    records = np.frombuffer(data, layout, points)
    return np.stack([records[axis] for axis in "xyz"], 1)


def _parted(content: bytes, mark: bytes) -> tuple[bytes, bytes, bytes]:
    parts = content.partition(mark)
    if not parts[1]:
        raise ValueError(f"no {mark.decode().strip()} in its header")
    return parts


def _by_open3d(file: Path) -> np.ndarray:
    """Whatever open3d knows."""
    try:
        import open3d
    except ImportError as error:
        raise InputError(f"{file}: .ply and packed .pcd files need open3d: pip install open3d-cpu") from error
    points: np.ndarray = np.asarray(open3d.io.read_point_cloud(file).points)
    if not len(points):
        raise InputError(f"open3d finds no points in {file}")
    return points


_READERS: Final[Mapping[str, Callable[[Path], np.ndarray]]] = {
    ".bin": _bin,
    ".npy": _npy,
    ".feather": _feather,
    ".pcd": _pcd,
    ".ply": _by_open3d,
}
