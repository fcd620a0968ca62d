"""Messages that know nothing of who reads them: every field of a type filled at random, by its definition alone."""

import numpy as np
from rosbags.interfaces import Nodetype

from gckpl_ros.io.messages.typestore import typestore

EXTREMES = [0.0, -0.0, 1.0, -1.0, 5e-324, 1e30, -1e200, 1.7e308, float("nan"), float("inf"), float("-inf")]
MOST = 12


def anything(rng, msgtype):
    """A message of a type (a class of the library rosbags) with any values that the type can hold."""
    fields = typestore().fielddefs[msgtype][1]
    return typestore().types[msgtype](**{name: _value(rng, kind) for name, kind in fields})


def garbled(rng, data, changes=4):
    """At most so many bytes changed, and some cut off."""
    data = np.frombuffer(data, np.uint8).copy()
    places = rng.integers(4, len(data), rng.integers(0, changes, endpoint=True))
    data[places] = rng.integers(0, 256, len(places))
    return data[: rng.integers(4, len(data) + 1)].tobytes() if rng.random() < 0.2 else data.tobytes()


def _value(rng, kind):
    node, detail = kind
    if node == Nodetype.BASE:
        return _scalar(rng, detail[0])
    if node == Nodetype.NAME:
        return anything(rng, detail)
    (inner, length) = detail
    length = length if node == Nodetype.ARRAY else int(rng.integers(0, MOST))
    values = [_value(rng, inner) for _ in range(length)]
    name = inner[1][0] if inner[0] == Nodetype.BASE else "string"
    return values if name == "string" else np.array(values, np.dtype(_numpy(name)))


def _scalar(rng, name):
    if name == "string":
        letters = int(rng.choice([0, 1, 5, 40, 3000], p=[0.3, 0.3, 0.3, 0.09, 0.01]))
        return "".join(chr(c) for c in rng.integers(32, 1000, letters))
    if name == "bool":
        return bool(rng.integers(2))
    if name.startswith("float"):
        value = rng.choice(EXTREMES) if rng.random() < 0.3 else rng.normal(0, 10.0 ** rng.integers(-3, 6))
        return float(np.clip(value, -3e38, 3e38) if name == "float32" else value)
    info = np.iinfo(_numpy(name))
    high = min(int(info.max), 2**62) if rng.random() < 0.5 else min(int(info.max), 20)
    return int(rng.integers(max(int(info.min), -high), high, endpoint=True))


def _numpy(name):
    return {"byte": "uint8", "char": "uint8", "octet": "uint8"}.get(name, name)
