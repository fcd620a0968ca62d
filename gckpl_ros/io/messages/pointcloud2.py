"""sensor_msgs/PointCloud2, any layout, to and from numpy; duck-typed, so that no ROS is needed."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from jaxtyping import Bool, Float32, Int64

from gckpl_ros.errors import InputError
from gckpl_ros.io.messages.skeletons import FAR_M
from gckpl_ros.io.messages.typestore import MessageTypes

# PointField's constants INT8 = 1 ... FLOAT64 = 8.
_FORMATS: Final = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 8: "f8"}
_DATATYPES: Final = {name: number for number, name in _FORMATS.items()}


def to_points(message: Any, drop_zeros: bool = True) -> tuple[Float32[np.ndarray, "n 3"], Int64[np.ndarray, " n"]]:
    """Finite points (m, in the message's frame) and their places in the message's points, row by row.

    Coordinates from 1e8 m on count as not finite. Points at exactly (0, 0, 0) are placeholders for beams without return
    and go too, unless told otherwise. Integer coordinates count as metres. Raises InputError if the message
    contradicts itself.
    """
    grid = _grid(message, tuple("xyz"))
    xyz = np.empty((3, *grid.shape), np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        for axis, name in zip(xyz, "xyz", strict=True):
            axis[...] = grid[name] if grid[name].ndim == 2 else grid[name][..., 0]
    xyz = xyz.reshape(3, -1)
    index = np.flatnonzero(_kept(xyz, drop_zeros))
    return np.ascontiguousarray(xyz.T if len(index) == xyz.shape[1] else xyz[:, index].T), index


_TIMES: Final = ("t", "time", "timestamp", "time_stamp", "offset_time", "time_offset", "point_time_offset")
_UNITS_S: Final = (1.0, 1e-3, 1e-6, 1e-9)
_SHORTEST_S, _LONGEST_S = 5e-3, 1.0


def to_times(message: Any, index: Int64[np.ndarray, " n"], stamp_ns: int) -> Float32[np.ndarray, " n"] | None:
    """When the points at these places were measured, in seconds after a stamp; None where no field tells.

    Drivers write seconds, milli-, micro- or nanoseconds, of the clock or since the sweep began: only one of the units
    makes a sweep of 5 ms to 1 s. Times of another clock count from the first point on.
    """
    name = next((field.name for field in message.fields if field.name in _TIMES), None)
    if name is None or not len(index):
        return None
    values = _grid(message, (name,))[name]
    raw = (values if values.ndim == 2 else values[..., 0]).reshape(-1)[index].astype(np.float64)
    first = raw.min()
    span = float(raw.max() - first)
    unit = next((unit for unit in _UNITS_S if _SHORTEST_S <= span * unit <= _LONGEST_S), None)
    if unit is None:
        return None
    begun_s = first * unit
    if begun_s > _LONGEST_S:
        begun_s -= stamp_ns * 1e-9
    times: np.ndarray = (raw - first) * unit + (begun_s if abs(begun_s) <= _LONGEST_S else 0)
    return times.astype(np.float32)


def from_points(
    points: Float32[np.ndarray, "n 3"],
    header: Any,
    types: MessageTypes,
    fields: Mapping[str, np.ndarray] | None = None,
) -> Any:
    """A PointCloud2 of one row: float32 x, y, z, then ``fields`` (one value per point each), packed, little-endian."""
    columns = {name: points[:, i] for i, name in enumerate("xyz")} | dict(fields or {})
    layout = np.dtype([(name, values.dtype.newbyteorder("<")) for name, values in columns.items()])
    records = np.empty(len(points), layout)
    for name, values in columns.items():
        records[name] = values
    return types["sensor_msgs/msg/PointCloud2"](
        header=header,
        height=1,
        width=len(points),
        fields=[_field(types, name, *layout.fields[name][:2]) for name in columns],  # type: ignore[index]
        is_bigendian=False,
        point_step=layout.itemsize,
        row_step=layout.itemsize * len(points),
        data=records.view(np.uint8),
        is_dense=bool(np.isfinite(points).all()),
    )


def _field(types: MessageTypes, name: str, dtype: np.dtype, offset: int) -> Any:
    datatype = _DATATYPES[dtype.str[1:]]
    return types["sensor_msgs/msg/PointField"](name=name, offset=offset, datatype=datatype, count=1)


def _grid(message: Any, names: Sequence[str]) -> np.ndarray:
    """The message's points as a (height, width) view of records with these fields; nothing is copied."""
    formats = _formats(message, names)
    data = np.frombuffer(message.data, np.uint8)
    width_bytes = message.width * message.point_step
    # Drivers of unorganised clouds often leave row_step at 0 or at nonsense; it means nothing for a single row.
    row_step = message.row_step if message.height > 1 else width_bytes
    if row_step < width_bytes:
        raise InputError(f"cloud: row_step {row_step} is less than width x point_step = {width_bytes} bytes")
    if len(data) < message.height * row_step:
        need = f"{message.height} rows x {row_step} = {message.height * row_step} bytes"
        raise InputError(f"cloud: data has {len(data)} bytes, but height x row_step is {need}")
    shape = (message.height, message.width)
    if 0 in shape:
        return np.empty((0, 0), list(formats.items()))
    offsets = {field.name: field.offset for field in reversed(message.fields)}
    layout = np.dtype(
        {
            "names": list(formats),
            "formats": list(formats.values()),
            "offsets": [offsets[name] for name in formats],
            "itemsize": message.point_step,
        }
    )
    grid: np.ndarray = np.ndarray(shape, layout, data, strides=(row_step, message.point_step))
    return grid


def _formats(message: Any, names: Sequence[str]) -> dict[str, np.dtype]:
    """The numpy types of fields."""
    fields = {field.name: field for field in reversed(message.fields)}
    if missing := [name for name in names if name not in fields]:
        have = ", ".join(field.name for field in message.fields) or "none"
        raise InputError(f"cloud: no field {' and no field '.join(missing)} (its fields: {have})")
    order = ">" if message.is_bigendian else "<"
    return {name: _format(fields[name], order, message.point_step) for name in names}


def _format(field: Any, order: str, point_step: int) -> np.dtype:
    if field.datatype not in _FORMATS:
        raise InputError(f"cloud: field {field.name} has the unknown datatype {field.datatype} (known: 1 to 8)")
    scalar = np.dtype(order + _FORMATS[field.datatype])
    count = max(1, field.count)
    end = field.offset + count * scalar.itemsize
    if end > point_step:
        raise InputError(f"cloud: field {field.name} ends at byte {end}, past the point_step of {point_step}")
    return scalar if count == 1 else np.dtype((scalar, (count,)))


def _kept(xyz: Float32[np.ndarray, "3 n"], drop_zeros: bool) -> Bool[np.ndarray, " n"]:
    x, y, z = xyz
    kept: np.ndarray = (abs(x) < FAR_M) & (abs(y) < FAR_M) & (abs(z) < FAR_M)  # not for NaN either
    if drop_zeros:
        kept &= (x != 0) | (y != 0) | (z != 0)
    return kept
