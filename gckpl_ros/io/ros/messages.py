"""Generated messages as the types that all conversions take, and clouds by sensor_msgs_py."""

from array import array
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any, Final

import numpy as np
from jaxtyping import Float32
from sensor_msgs_py import point_cloud2

from gckpl_ros.io.messages.pointcloud2 import from_points
from gckpl_ros.io.messages.typestore import MessageTypes

# The array typecode of each element type of a sequence that generated messages keep in an array.array.
_INTEGERS: Final = {"int8": "b", "uint8": "B", "int16": "h", "uint16": "H", "int32": "i", "uint32": "I"}
_TYPECODES: Final = {**_INTEGERS, "int64": "q", "uint64": "Q", "float": "f", "double": "d"}


class GeneratedTypes(Mapping[str, Any]):
    """Makes generated messages from keyword arguments, by ROS type name; packages are imported when first asked for.

    Unlike the classes themselves it takes numpy arrays for sequences, without a step per element, and ints for bytes.
    A type whose package is not installed is not in the mapping.
    """

    def __init__(self) -> None:
        self._makers: dict[str, Callable[..., Any]] = {}

    def __getitem__(self, name: str) -> Callable[..., Any]:
        if name not in self._makers:
            self._makers[name] = _maker(message_class(name))
        return self._makers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)


def message_class(name: str) -> Any:
    """The generated class of a type ("std_msgs/msg/Header"); raises KeyError if it is not installed."""
    package, _, message = name.split("/")
    try:
        return getattr(import_module(f"{package}.msg"), message)
    except (ImportError, AttributeError) as error:
        raise KeyError(name) from error


def create_cloud(
    points: Float32[np.ndarray, "n 3"], header: Any, types: MessageTypes, fields: Mapping[str, np.ndarray]
) -> Any:
    """A PointCloud2 by sensor_msgs_py, with the arguments of pointcloud2.from_points."""
    empty = from_points(points[:0], header, types, {name: values[:0] for name, values in fields.items()})
    if not len(points):  # sensor_msgs_py cannot make a cloud without points
        return empty
    records = np.empty(len(points), point_cloud2.dtype_from_fields(empty.fields))
    for name, values in zip(records.dtype.names or (), (*points.T, *fields.values()), strict=True):
        records[name] = values
    return point_cloud2.create_cloud(header, empty.fields, records)


def _maker(message: Any) -> Callable[..., Any]:
    kinds = message.get_fields_and_field_types()
    conversions = {name: convert for name, kind in kinds.items() if (convert := _conversion(kind))}

    def make(**values: Any) -> Any:
        for name in conversions.keys() & values.keys():
            values[name] = conversions[name](values[name])
        return message(**values)

    return make if conversions else message


def _conversion(kind: str) -> Callable[[Any], Any] | None:
    if kind == "octet":
        return lambda value: bytes([value])
    element = kind.removeprefix("sequence<").split(",")[0].rstrip(">")
    if kind.startswith("sequence<") and element in _TYPECODES:
        return lambda values: _sequence(values, _TYPECODES[element])
    return None


def _sequence(values: Any, typecode: str) -> "array[Any]":
    made = array(typecode)
    made.frombytes(np.ascontiguousarray(values, typecode).tobytes())
    return made
