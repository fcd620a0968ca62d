"""Things of streets and rooms, each drawn at random: at the origin, foot on z = 0, front towards x, in metres."""

import itertools
import math
from collections.abc import Callable
from typing import Final

import numpy as np

from gckpl_training.scene.meshes import car as parked_car
from gckpl_training.scene.solids import (
    Draw,
    Row,
    Solid,
    ball,
    blocks,
    joined,
    lathe,
    leaves,
    lumpy,
    rods,
    shell,
    two_sided,
)

Maker = Callable[[Draw], Solid]

# What stands in streets.


def wheel(x: float, radius: float, tyre: float, y: float = 0.0) -> Solid:
    """An upright wheel with spokes in the plane of x and z, standing at (x, y)."""
    angle = np.arange(11) * (2 * np.pi / 10)
    rim = [(x + radius * math.cos(a), y, radius * (1 + math.sin(a))) for a in angle]
    tyres = [(*a, *b, tyre) for a, b in itertools.pairwise(rim)]
    return rods(*tyres, *((x, y, radius, *a, 0.006) for a in rim[:-1:2]), points=4)


def post(rng: Draw) -> Solid:
    """A post or pillar, thin or thick, at times with a foot, a cap or a lamp."""
    radius, height = rng.uniform(0.025, 0.2), rng.uniform(0.9, 4.5)
    profile: list[Row] = [(0.0, radius), (height, radius * rng.uniform(0.6, 1.0))]
    if rng.random() < 0.3:
        profile = [(0.0, 1.8 * radius), (rng.uniform(0.1, 0.4), 1.7 * radius), (0.45, radius), *profile[1:]]
    if rng.random() < 0.3:
        profile += [(height + 0.02, 2 * radius + 0.05), (height + rng.uniform(0.1, 0.5), radius + 0.04)]
    return lathe(*profile, points=int(rng.integers(4, 11)))


def bollard(rng: Draw) -> Solid:
    """Knee to hip high, often with a round head or a neck."""
    radius, height = rng.uniform(0.05, 0.18), rng.uniform(0.45, 1.25)
    neck = radius * rng.uniform(0.6, 1.0)
    return lathe(
        (0, radius * rng.uniform(1, 1.4)), (0.6 * height, radius), (0.8 * height, neck), (0.87 * height, radius),
        (0.96 * height, 0.8 * radius), (height, 0.3 * radius),
    )  # fmt: skip


def sign(rng: Draw) -> Solid:
    """One or two plates on a pole."""
    height, radius = rng.uniform(1.6, 3.2), rng.uniform(0.025, 0.05)
    parts = [rods((0, 0, 0, 0, 0, height, radius))]
    for place in range(int(rng.integers(1, 3))):
        wide, high = rng.uniform(0.25, 0.9), rng.uniform(0.25, 0.8)
        middle = height - high / 2 - 0.75 * place
        if rng.random() < 0.5:
            parts.append(rods((0.03, 0, middle, 0.05, 0, middle, wide / 2), points=int(rng.choice([3, 8, 12]))))
        else:
            parts.append(blocks((0.045, 0, middle, 0.02, wide, high)))
    return joined(*parts)


def hydrant(rng: Draw) -> Solid:
    """A hydrant, or a parking meter on its pole."""
    if rng.random() < 0.4:
        height = rng.uniform(0.9, 1.4)
        return joined(rods((0, 0, 0, 0, 0, height, 0.035)), blocks((0, 0, height + 0.15, 0.18, 0.22, 0.35)))
    radius, height = rng.uniform(0.08, 0.16), rng.uniform(0.55, 0.95)
    body = lathe(
        (0, 1.3 * radius),
        (0.08, radius),
        (0.75 * height, radius),
        (0.78 * height, 1.25 * radius),
        (height, 0.3 * radius),
    )
    return joined(body, rods((0, -1.6 * radius, 0.6 * height, 0, 1.6 * radius, 0.6 * height, 0.45 * radius)))


def bin_(rng: Draw) -> Solid:
    """A round, square or wheeled bin; a letter box; a cabinet."""
    wide, deep, high = rng.uniform(0.35, 0.75), rng.uniform(0.3, 0.8), rng.uniform(0.6, 1.5)
    if rng.random() < 0.4:
        return lathe((0, 0.4 * wide), (0.9 * high, 0.5 * wide), (high, 0.35 * wide))
    if rng.random() < 0.3:
        return joined(rods((0, 0, 0, 0, 0, 0.9, 0.04)), blocks((0, 0, 1.1, 0.35, 0.45, 0.5)))
    return blocks(
        (0, 0, 0.48 * high, 0.85 * deep, 0.9 * wide, 0.96 * high), (0, 0, 0.97 * high, deep, wide, 0.06 * high)
    )


def bush(rng: Draw) -> Solid:
    """Loose leaves, or a lump, or a lump among leaves; at times tall and thin."""
    reach, height = rng.uniform(0.25, 1.3), rng.uniform(0.4, 2.1)
    shape = np.array([reach, reach * rng.uniform(0.6, 1), height / 2])
    parts = []
    if rng.random() < 0.75:
        count, size = int(rng.integers(60, 400)), rng.uniform(0.03, 0.14)
        parts.append(leaves((ball(count, rng) + np.array([0, 0, 1])) * shape, size, rng))
    if not parts or rng.random() < 0.4:
        core = lathe((0, 0.5), (0.35, 0.85), (0.7, 0.95), (1.1, 0.9), (1.5, 0.65), (1.75, 0.2), points=9)
        parts.append(lumpy(core.scaled(shape.astype(np.float32)), rng.uniform(0.05, 0.25), rng))
    return joined(*parts)


def hedge(rng: Draw) -> Solid:
    """A long box of leaves."""
    long, deep, high = rng.uniform(1.5, 7), rng.uniform(0.4, 1.0), rng.uniform(0.6, 2.2)
    within = rng.uniform(-0.5, 0.5, (int(120 * long), 3)) * [long, deep, high] + [0, 0, high / 2]
    core = blocks((0, 0, 0.47 * high, 0.95 * long, 0.7 * deep, 0.94 * high))
    return joined(core, leaves(within, 0.12, rng))


def trunk(rng: Draw) -> Solid:
    """An uneven, leaning trunk; at times forked or with a crown."""
    radius, height, lean = rng.uniform(0.05, 0.35), rng.uniform(1.5, 5.0), rng.uniform(0, 0.15)
    levels = [
        (height * share, radius * (1.5 - 0.5 * min(1, 8 * share)) * (1 - 0.5 * share)) for share in np.linspace(0, 1, 7)
    ]
    stem = lumpy(lathe(*levels, points=8), 0.08, rng)
    bent = stem.vertices + np.outer(stem.vertices[:, 2], [lean, 0, 0]).astype(np.float32)
    parts = [Solid(bent, stem.faces)]
    top = np.array([lean * height, 0, height])
    for _ in range(int(rng.integers(0, 4))):
        way = rng.normal(0, 0.8, 3) + np.array([0, 0, 0.9])
        low = top * rng.uniform(0.4, 1.0)
        parts.append(rods((*low, *(low + way), 0.4 * radius, 0.15 * radius)))
    if rng.random() < 0.6:
        crown = rng.uniform(0.7, 2.4)
        parts.append(leaves(top + [0, 0, 0.4 * crown] + ball(int(rng.integers(150, 500)), rng) * crown, 0.25, rng))
    return joined(*parts)


def bench(rng: Draw) -> Solid:
    """A seat on legs, often with a back."""
    long, deep, high = rng.uniform(0.9, 2.4), rng.uniform(0.35, 0.5), rng.uniform(0.38, 0.52)
    rows: list[Row] = [
        (0, 0, high, deep, long, 0.05),
        *((0, side * 0.42 * long, high / 2, 0.8 * deep, 0.08, high) for side in (1, -1)),
    ]
    if rng.random() < 0.7:
        rows.append((-deep / 2, 0, high + 0.25, 0.05, long, 0.35))
    return blocks(*rows)


def bicycle(rng: Draw) -> Solid:
    """A bicycle that stands, at times with a basket."""
    radius, base = rng.uniform(0.24, 0.36), rng.uniform(0.85, 1.1)
    back, front, saddle, bar = -base / 2, base / 2, (-0.2, 0, 0.9), (base / 2 - 0.15, 0, rng.uniform(0.9, 1.1))
    frame = [
        (back, 0, radius, 0, 0, 0.3, 0.015), (0, 0, 0.3, *saddle, 0.018), (*saddle, back, 0, radius, 0.012),
        (0, 0, 0.3, *bar, 0.02), (-0.15, 0, 0.75, *bar, 0.018), (*bar, front, 0, radius, 0.018),
        (bar[0], -0.28, bar[2] + 0.05, bar[0], 0.28, bar[2] + 0.05, 0.015),
        (-0.32, 0, 0.93, -0.05, 0, 0.93, 0.07, 0.03),
    ]  # fmt: skip
    parts = [wheel(back, radius, 0.02), wheel(front, radius, 0.02), rods(*frame, points=5)]
    if rng.random() < 0.3:
        parts.append(blocks((bar[0] + 0.2, 0, 0.9, 0.3, 0.35, 0.25)))
    return joined(*parts)


def moped(rng: Draw) -> Solid:
    """A scooter or motorcycle."""
    base = rng.uniform(1.1, 1.5)
    body = rods(
        (-0.55 * base, 0, 0.7, 0.1, 0, 0.6, 0.16, 0.14), (0.1, 0, 0.3, 0.45 * base, 0, 0.95, 0.1, 0.06),
        (0.45 * base, -0.33, 1.0, 0.45 * base, 0.33, 1.0, 0.02), (-0.3, 0, 0.35, 0.3, 0, 0.35, 0.15),
        (0.45 * base, 0, 0.9, 0.52 * base, 0, 0.3, 0.05), points=8,
    )  # fmt: skip
    tyres = rods(*((x, -0.06, 0.27, x, 0.06, 0.27, 0.27) for x in (-base / 2, base / 2)), points=10)
    screen = blocks((0.42 * base, 0, 0.75, 0.06, 0.35, 0.6))
    return joined(body, tyres, screen)


def dummy(rng: Draw) -> Solid:
    """A person's size without a person's shape: a sphere on a tube, a cone with a head, an urn, a column in a cloak."""
    height, radius = rng.uniform(1.1, 2.1), rng.uniform(0.12, 0.3)
    head = rng.uniform(0.08, 0.17)
    neck = height - 2 * head
    around = [(neck + head * (1 - math.cos(a)), head * math.sin(a)) for a in (0.4, 1.0, 1.57, 2.2, 2.8)]
    kind = int(rng.integers(4))
    if kind == 0:
        foot = [(0.0, radius), (neck, radius), (neck + 0.02, 0.04)]
    elif kind == 1:
        foot = [(0.0, 1.3 * radius), (neck, 0.35 * radius)]
    elif kind == 2:
        foot = [(0.0, 0.6 * radius), (0.35 * neck, radius), (0.7 * neck, 1.2 * radius), (neck, 0.5 * radius)]
    else:
        foot = [(0.0, 0.9 * radius), (0.8 * neck, radius), (neck, 0.05)]
        around = [] if rng.random() < 0.5 else around
    return lumpy(lathe(*foot, *around, points=9), rng.uniform(0, 0.06), rng)


def car(rng: Draw) -> Solid:
    """A parked car."""
    mesh = parked_car(0.0, 0.0, 0.0, float(rng.uniform(0.85, 1.15)))
    return Solid(mesh.vertices[0].numpy(), mesh.faces.numpy())


def van(rng: Draw) -> Solid:
    """A van, lorry or bus."""
    long, wide, high = rng.uniform(4.2, 9), rng.uniform(1.8, 2.5), rng.uniform(1.7, 3.0)
    bonnet = rng.uniform(0.3, 1.2)
    rows: list[Row] = [
        (-bonnet / 2, 0, 0.3 + high / 2, long - bonnet, wide, high),
        (long / 2 - bonnet, 0, 0.75, 2 * bonnet, wide, 0.9),
    ]
    rows += [(x * long, side * 0.42 * wide, 0.35, 0.7, 0.25, 0.7) for x in (-0.3, 0.32) for side in (1, -1)]
    mirrors = [(long / 2 - bonnet, side * (wide / 2 + 0.12), 1.5, 0.08, 0.2, 0.3) for side in (1, -1)]
    return blocks(*rows, *mirrors)


def fence(rng: Draw) -> Solid:
    """Posts with rails, boards or pickets; a row of bollards; a handrail."""
    long, high = rng.uniform(2, 9), rng.uniform(0.8, 2.0)
    places = np.arange(-long / 2, long / 2, rng.uniform(0.9, 2.2))
    rows: list[Row] = [(x, 0, 0, x, 0, high, rng.uniform(0.025, 0.06)) for x in places]
    levels = np.linspace(0.2, high - 0.05, int(rng.integers(1, 6)))
    rows += [(-long / 2, 0, z, long / 2, 0, z, 0.02) for z in levels]
    parts = [rods(*rows, points=5)]
    kind = rng.random()
    if kind < 0.25:
        parts.append(blocks((0, 0, high / 2, long, 0.03, 0.9 * high)))
    elif kind < 0.5:
        pickets = np.arange(-long / 2, long / 2, 0.14)
        parts.append(blocks(*((x, 0.03, high / 2, 0.07, 0.02, high) for x in pickets)))
    return joined(*parts)


def animal(rng: Draw) -> Solid:
    """A dog, a horse, or what has their shape."""
    high = rng.uniform(0.3, 0.8) if rng.random() < 0.75 else rng.uniform(1.2, 1.7)
    long, body, leg = high * rng.uniform(1.0, 1.5), high * rng.uniform(0.16, 0.26), high * rng.uniform(0.05, 0.09)
    back = 0.85 * high
    legs = [
        (x * long, side * body * 0.6, back, (x + rng.normal(0, 0.08)) * long, side * body * 0.6, 0, leg, 0.7 * leg)
        for x in (-0.42, 0.42)
        for side in (1, -1)
    ]
    neck, head = (0.6 * long, 0, back + 0.4 * high), (0.85 * long, 0, back + rng.uniform(0.2, 0.45) * high)
    return rods(
        (-long / 2, 0, back, long / 2, 0, back, body, 0.9 * body),
        (0.45 * long, 0, back, *neck, 0.7 * body, 0.5 * body), (*neck, *head, 0.5 * body, 0.3 * body),
        (-long / 2, 0, back, -0.75 * long, 0, back * rng.uniform(0.6, 1.3), 0.03), *legs, points=7,
    )  # fmt: skip


def parasol(rng: Draw) -> Solid:
    """Open or closed, on its pole."""
    high = rng.uniform(2.0, 2.8)
    if rng.random() < 0.35:
        return lathe((0, 0.3), (0.08, 0.3), (0.1, 0.03), (0.5 * high, 0.04), (0.55 * high, 0.2), (high, 0.03))
    reach = rng.uniform(0.9, 1.9)
    cover = [(high - 0.35, reach), (high, 0.03)]
    return joined(lathe((0, 0.28), (0.07, 0.28), (0.08, 0.03), (high, 0.03)), two_sided(shell(*cover)))


def suitcase(rng: Draw) -> Solid:
    """Luggage with its handle, one piece or a pile."""
    deep, wide, high = rng.uniform(0.2, 0.35), rng.uniform(0.3, 0.55), rng.uniform(0.45, 0.85)
    rows: list[Row] = [(0, 0, 0.05 + high / 2, deep, wide, high)]
    if rng.random() < 0.4:
        rows.append((rng.normal(0, 0.05), 0, 0.05 + high + 0.15, 0.8 * deep, 0.9 * wide, 0.3))
    grip = high + rng.uniform(0.05, 0.5)
    bars = [(0.1, y, high, 0.1, y, grip, 0.01) for y in (-0.1, 0.1)]
    return joined(blocks(*rows), rods(*bars, (0.1, -0.1, grip, 0.1, 0.1, grip, 0.012), points=4))


def cone(rng: Draw) -> Solid:
    """A traffic cone, or a beacon on a foot."""
    high, radius = rng.uniform(0.4, 1.1), rng.uniform(0.12, 0.22)
    return joined(
        blocks((0, 0, 0.03, 2.4 * radius, 2.4 * radius, 0.06)), lathe((0.05, radius), (high, rng.uniform(0.02, 0.07)))
    )


def heap(rng: Draw) -> Solid:
    """A heap of earth, sacks or snow."""
    reach, high = rng.uniform(0.3, 1.4), rng.uniform(0.2, 1.3)
    solid = lathe((0, reach), (0.3 * high, 0.8 * reach), (0.7 * high, 0.5 * reach), (high, 0.15 * reach), points=11)
    return lumpy(solid, rng.uniform(0.05, 0.2), rng)


def boulder(rng: Draw) -> Solid:
    """Sacks, stones, a box on a box: about as big as somebody crouching."""
    rows: list[Row] = []
    lift = 0.0
    for _ in range(int(rng.integers(1, 4))):
        size = rng.uniform(0.25, 0.7, 3)
        rows.append((*rng.normal(0, 0.08, 2), lift + size[2] / 2, *size, rng.uniform(0, 3)))
        lift += size[2]
    return blocks(*rows)


def front(rng: Draw) -> Solid:
    """A house front with niches, pillars, sills and steps."""
    long, high = rng.uniform(5, 16), rng.uniform(2.5, 7)
    rows: list[Row] = []
    edge = -long / 2
    while edge < long / 2:
        wide = rng.uniform(0.5, 3.0)
        rows.append((-0.5 + rng.choice([0.0, 0.0, -0.6, 0.25]), edge + wide / 2, high / 2, 1.0, wide, high))
        edge += wide
    for _ in range(int(rng.integers(0, 6))):
        kind, y = rng.random(), rng.uniform(-long / 2, long / 2)
        if kind < 0.4:
            rows.append((0.2, y, high / 2, rng.uniform(0.2, 0.6), rng.uniform(0.2, 0.6), high))
        elif kind < 0.7:
            rows.append((0.15, y, rng.uniform(0.7, 1.2), 0.4, rng.uniform(0.6, 1.6), 0.1))
        else:
            rows.append((0.4, y, 0.15, 0.8, rng.uniform(1, 2), 0.3))
    pipes = [(0.06, y, 0, 0.06, y, high, 0.05) for y in rng.uniform(-long / 2, long / 2, int(rng.integers(0, 3)))]
    return joined(blocks(*rows), *([rods(*pipes)] if pipes else []))


def wall(rng: Draw) -> Solid:
    """A free wall, board or shelter's side; its edges are upright lines."""
    long, thick, high = rng.uniform(0.4, 5), rng.uniform(0.04, 0.4), rng.uniform(0.7, 2.8)
    return blocks((0, 0, high / 2, thick, long, high))


# What stands in rooms.


def table(rng: Draw) -> Solid:
    """A table or desk, often with things on it."""
    long, wide, high = rng.uniform(0.6, 2.2), rng.uniform(0.5, 1.0), rng.uniform(0.45, 1.1)
    rows: list[Row] = [(0, 0, high, long, wide, 0.04)]
    rows += [(x * 0.45 * long, y * 0.42 * wide, high / 2, 0.05, 0.05, high) for x in (1, -1) for y in (1, -1)]
    for _ in range(int(rng.integers(0, 4))):
        size = rng.uniform(0.08, 0.5, 3)
        x, y = rng.uniform(-0.35, 0.35, 2)
        rows.append((x * long, y * wide, high + 0.02 + size[2] / 2, size[0], size[1], size[2]))
    return blocks(*rows)


def chair(rng: Draw) -> Solid:
    """A chair or armchair; at times with a jacket over its back."""
    wide, high, back = rng.uniform(0.38, 0.7), rng.uniform(0.38, 0.52), rng.uniform(0.35, 0.75)
    deep = wide * rng.uniform(0.9, 1.1)
    rows: list[Row] = [(0, 0, high, deep, wide, 0.06), (-deep / 2, 0, high + back / 2, 0.06, wide, back)]
    if rng.random() < 0.4:
        rows += [(0, side * wide / 2, high + 0.12, deep, 0.08, 0.24) for side in (1, -1)] + [
            (0, 0, high / 2, deep, wide, high)
        ]
    else:
        rows += [(x * 0.45 * deep, y * 0.45 * wide, high / 2, 0.035, 0.035, high) for x in (1, -1) for y in (1, -1)]
    if rng.random() < 0.25:
        rows.append((-deep / 2, 0, high + 0.7 * back, 0.18, 1.05 * wide, 0.6 * back))
    return blocks(*rows)


def cupboard(rng: Draw) -> Solid:
    """A cupboard, shelf, refrigerator or sofa."""
    deep, wide, high = rng.uniform(0.3, 0.9), rng.uniform(0.5, 2.2), rng.uniform(0.5, 2.2)
    return blocks((0, 0, high / 2, deep, wide, high))


def coat_stand(rng: Draw) -> Solid:
    """A stand with coats, or a lamp with its shade."""
    high = rng.uniform(1.5, 1.9)
    if rng.random() < 0.5:
        shade = rng.uniform(0.15, 0.3)
        return lathe(
            (0, 0.15), (0.03, 0.15), (0.04, 0.02), (high - 0.3, 0.02), (high - 0.29, shade), (high, 0.7 * shade)
        )
    coats = lathe((0.5, 0.2), (0.9, 0.25), (high - 0.35, 0.28), (high - 0.1, 0.1), points=9)
    return joined(rods((0, 0, 0, 0, 0, high, 0.03)), lumpy(coats, 0.15, rng))


def plant(rng: Draw) -> Solid:
    """A plant in its pot."""
    pot, high = rng.uniform(0.1, 0.3), rng.uniform(0.2, 0.5)
    reach = rng.uniform(0.2, 0.6)
    green = ball(int(rng.integers(30, 120)), rng) * [reach, reach, 1.2 * reach] + [0, 0, high + 0.9 * reach]
    return joined(lathe((0, 0.8 * pot), (high, pot)), leaves(green, 0.1, rng))


# What people have with them, and what only held-out scenes show.


def pram(rng: Draw) -> Solid:
    """A pram or pushchair; its handle is at x = 0."""
    high = rng.uniform(0.55, 0.75)
    basket = [(0.62, 0, high, 0.75, 0.42, 0.32), (0.4, 0, high + 0.25, 0.3, 0.42, 0.3)]
    frame = [(0, side * 0.22, 1.0, 0.75, side * 0.22, 0.15, 0.015) for side in (1, -1)]
    frame += [(0, -0.22, 1.0, 0, 0.22, 1.0, 0.02)]
    tyres = [(x, y - 0.03, 0.14, x, y + 0.03, 0.14, 0.14) for x in (0.25, 0.9) for y in (-0.25, 0.25)]
    return joined(blocks(*basket), rods(*frame, points=5), rods(*tyres, points=8))


def trolley(rng: Draw) -> Solid:
    """A shopping cart or hand truck with a load; its handle is at x = 0."""
    if rng.random() < 0.5:
        return suitcase(rng).placed(0.3, 0.0)
    long, high = rng.uniform(0.6, 1.0), rng.uniform(0.85, 1.05)
    bars = [(0.1, y, z, 0.1 + long, y, z, 0.012) for y in (-0.25, 0.25) for z in np.linspace(0.4, 0.95, 5)]
    bars += [(x, -0.25, z, x, 0.25, z, 0.012) for x in (0.1, 0.1 + long) for z in np.linspace(0.4, 0.95, 5)]
    bars += [(0.1, y, 0.05, 0.1, y, high, 0.015) for y in (-0.25, 0.25)] + [(0, -0.27, high, 0, 0.27, high, 0.02)]
    load = blocks(
        (0.1 + long / 2, 0, 0.5, 0.8 * long, 0.4, rng.uniform(0.1, 0.5)), (0.1 + long / 2, 0, 0.12, long, 0.4, 0.05)
    )
    return joined(rods(*bars, points=4), load)


def wheelchair(seat: float) -> Solid:
    """A wheelchair whose seat is ``seat`` m high, its middle at the origin."""
    frame = blocks(
        (0, 0, seat - 0.03, 0.45, 0.45, 0.05),
        (-0.24, 0, seat + 0.22, 0.04, 0.45, 0.45),
        (0.45, 0, 0.12, 0.2, 0.35, 0.03),
    )
    radius = rods(*((-0.1, side * 0.28, 0.3, -0.1, side * 0.31, 0.3, 0.3) for side in (1, -1)), points=12)
    arms = blocks(*((0, side * 0.26, seat + 0.22, 0.4, 0.05, 0.04) for side in (1, -1)))
    return joined(frame, radius, arms, rods(*((0.35, y, 0.08, 0.35, y, seat, 0.03) for y in (-0.2, 0.2))))


def umbrella(rng: Draw) -> Solid:
    """An open umbrella; its grip is at the origin."""
    up, reach = rng.uniform(0.65, 0.9), rng.uniform(0.4, 0.65)
    cover = shell((up - 0.22, reach), (up - 0.06, 0.55 * reach), (up, 0.02))
    return joined(rods((0, 0, -0.05, 0, 0, up, 0.01), points=4), two_sided(cover))


def ladder(rng: Draw) -> Solid:
    """A step ladder or trestle."""
    high, foot = rng.uniform(1.2, 2.4), rng.uniform(0.3, 0.6)
    rows: list[Row] = [(x * foot, y * 0.25, 0, 0, y * 0.18, high, 0.025) for x in (1, -1) for y in (1, -1)]
    rows += [(foot * (1 - z), -0.2, z * high, foot * (1 - z), 0.2, z * high, 0.02) for z in np.linspace(0.15, 1, 6)]
    return rods(*rows, points=5)


def barrel(rng: Draw) -> Solid:
    """Barrels or tyres one on the other; a gas bottle."""
    radius, high = rng.uniform(0.15, 0.35), rng.uniform(0.3, 0.9)
    once = lathe((0, 0.9 * radius), (0.2 * high, radius), (0.8 * high, radius), (high, 0.85 * radius))
    return joined(*(once.placed(0.05 * level, 0.0, level * high) for level in range(int(rng.integers(1, 4)))))


UPRIGHT: Final[tuple[Maker, ...]] = (post, post, bollard, sign, sign, hydrant, bin_, trunk, trunk, dummy, parasol, cone)
LOW: Final[tuple[Maker, ...]] = (bush, bush, bench, bicycle, moped, animal, suitcase, heap, boulder, wall, chair, table)
LARGE: Final[tuple[Maker, ...]] = (car, car, van, hedge, fence, front)
INDOOR: Final[tuple[Maker, ...]] = (
    *(
        table,
        table,
        chair,
        chair,
        chair,
        cupboard,
        cupboard,
        coat_stand,
        plant,
        suitcase,
        bin_,
        post,
        boulder,
        dummy,
        wall,
    ),
)
HELD_OUT: Final[tuple[Maker, ...]] = (ladder, barrel)
"""Kinds that training never sees."""
