"""Where everything stands in the demo street, and who does what; the robot drives along x from the origin at 1 m/s."""

import torch

from gckpl_training.scene.meshes import Meshes, box, car, join
from gckpl_training.street.people import Cue, Script
from gckpl_training.street.terrain import tree, tube

# Row of houses on each side: (x, length, setback) in m.
_NORTH = ((-14.0, 12.0, 0.0), (0.0, 14.0, 0.6), (14.0, 12.0, 0.0), (27.0, 12.0, 0.4), (40.0, 12.0, 0.0))


_SOUTH = ((-12.0, 14.0, 0.3), (3.0, 14.0, 0.0), (17.0, 12.0, 0.7), (30.0, 13.0, 0.0), (44.0, 12.0, 0.0))


# A three-wheeled van, parked nose to the kerb: the jogger disappears behind it.
VAN = (9.0, 6.0)


_LAMP = [(0.0, 0.09), (1.0, 0.07), (5.5, 0.05)]


_BIN = [(0.0, 0.26), (0.95, 0.3), (1.0, 0.05)]


def build(generator: torch.Generator) -> Meshes:
    """Houses on both sides, parked cars and a van, trees, lamps, bins, chests and a bench; one mesh."""
    return join(*_houses(), *_vehicles(), *_furniture(generator))


def _houses() -> list[Meshes]:
    rows = [(x, 9.5 + setback, length) for x, length, setback in _NORTH]
    rows += [(x, -9.5 - setback, length) for x, length, setback in _SOUTH]
    porches = [(2.0, 8.7), (16.5, 8.7), (8.0, -8.8), (25.0, -8.8)]
    walls = [box(x, y, (length - 0.3, 1.0, 7.0)) for x, y, length in rows]
    return walls + [box(x, y, (1.6, 0.8, 2.6)) for x, y in porches]


def _vehicles() -> list[Meshes]:
    cars = [car(-6.0, 4.3), car(1.0, 4.3, 180.0), car(26.0, 4.4), car(33.0, 4.3, 180.0)]
    wheels = [box(VAN[0] + dx, VAN[1] + dy, (0.2, 0.5, 0.5)) for dx, dy in ((-0.4, -0.3), (0.4, -0.3), (0.0, 0.3))]
    van = box(*VAN, (1.05, 1.2, 1.55), lift=0.3)
    return [*cars, car(-4.0, -4.4), car(21.0, -4.4, 180.0, 1.05), van, *wheels]


def _furniture(generator: torch.Generator) -> list[Meshes]:
    trees = ((1.5, -5.8), (15.5, -5.9), (29.0, -5.8), (18.5, 5.9), (-9.0, 5.8))
    lamps = ((4.0, 5.6), (22.5, 5.7), (8.0, -5.7), (26.0, -5.7))
    bins = ((9.3, 7.6), (20.0, 7.9), (12.0, -7.9))
    chests = [box(10.4, 8.2, (0.7, 0.7, 1.05)), box(27.0, 7.6, (0.7, 0.7, 1.05)), box(5.0, -7.8, (1.6, 0.5, 0.45))]
    return [
        *(tree(x, y, generator) for x, y in trees),
        *(tube(x, y, _LAMP) for x, y in lamps),
        *(tube(x, y, _BIN) for x, y in bins),
        *chests,
    ]


def _walk(stride: float = 1.0) -> tuple[Cue, ...]:
    return (Cue(0.0, "standing", stride),)


_WAVES_AND_LEAVES = (Cue(0.0, "standing"), Cue(3.0, "waving"), Cue(9.0, "standing"), Cue(10.0, "standing", 0.9, 20.0))


_TIES_A_SHOE = (
    Cue(0.0, "standing", 0.8),
    Cue(1.6, "standing"),
    Cue(2.8, "crouching"),
    Cue(8.0, "standing"),
    Cue(9.2, "standing", 0.9),
)


# Stature in metres, and what the person does: bodies are chosen by stature (see people.py).
PEOPLE: tuple[tuple[float, Script], ...] = (
    # A man comes towards the robot on the roadway.
    (1.78, Script((17.0, -2.2), 180.0, _walk(), 0.92, 0.4)),
    # A woman on the southern pavement, telephoning; a child beside her.
    (1.68, Script((-1.0, -6.9), 2.0, (Cue(0.0, "telephoning", 0.9),), 0.9, 0.0, 1.0)),
    (1.18, Script((-0.2, -7.7), 1.0, _walk(1.05), 1.15, 0.0, 2.0)),
    # A jogger on the northern pavement, hidden by the van for about half a second.
    (1.72, Script((28.2, 7.2), 180.0, _walk(1.15), 1.2)),
    # A tall man waits, waves at the robot, then leaves.
    (1.83, Script((11.5, -5.0), 170.0, _WAVES_AND_LEAVES)),
    # A small woman walks to the kerb, ties a shoe, and crosses the street behind the robot.
    (1.60, Script((5.5, 7.6), -85.0, _TIES_A_SHOE)),
    # Somebody stands at the wall, telephones, and strolls off.
    (1.90, Script((15.0, 7.9), -110.0, (Cue(0.0, "telephoning"), Cue(9.0, "telephoning", 0.7, -5.0)), phase=3.0)),
)
