"""What lines real streets: fronts with openings and glass, railings, planters, staked trees, cars with windows.

Each is drawn at random like ``things``: at the origin, foot on z = 0, front towards x, in metres. They were chosen by
looking at what a detector took for people on recorded streets: pieces of walls between openings, what stands behind
shop windows, seats in cars, shrubs in boxes.
"""

import itertools
import math
from typing import Final

import numpy as np

from gckpl_training.scene import things as t
from gckpl_training.scene.solids import Draw, Row, Solid, ball, blocks, joined, lathe, leaves, lumpy, rods, two_sided


def pane(rng: Draw, x: float, low: tuple[float, float], high: tuple[float, float], share: float) -> Solid:
    """Spots of an upright pane of glass at x that send light back, between corners (y, z); ``share`` of its area."""
    count = max(1, int(share * 200 * (high[0] - low[0]) * (high[1] - low[1])))
    spots = rng.uniform(low, high, (count, 1, 2)) + rng.uniform(-0.12, 0.12, (count, 3, 2))
    spots[..., 1] = spots[..., 1].clip(low[1], high[1])
    corners = np.concatenate([np.full((count, 3, 1), x), spots], -1).reshape(-1, 3).astype(np.float32)
    return two_sided(Solid(corners, np.arange(3 * count).reshape(-1, 3)))


def interior(rng: Draw, long: float, depth: float) -> Solid:
    """What stands behind a shop window or in an open hall: shelves, tables, chairs, plants, dummies, a rear wall."""
    kinds = (t.table, t.chair, t.chair, t.cupboard, t.dummy, t.coat_stand, t.plant, t.post, t.suitcase, t.boulder)
    things = []
    for _ in range(int(rng.integers(1, 2 + int(long)))):
        solid = kinds[int(rng.integers(len(kinds)))](rng)
        y = rng.uniform(-long / 2, long / 2)
        things.append(solid.placed(-rng.uniform(0.6, depth), y, 0.0, rng.uniform(0, 2 * math.pi)))
    wall = blocks((-depth - 0.6, 0, 1.5, 0.2, long, 3.0))
    return joined(wall, *things) if rng.random() < 0.8 else joined(*things)


def glazed(rng: Draw) -> Solid:
    """A front of piers, sills and lintels; its openings are recesses, windows or doors, or glass before a room."""
    long, high = rng.uniform(4, 14), rng.uniform(2.6, 6)
    rows: list[Row] = []
    parts: list[Solid] = []
    edge, deep = -long / 2, rng.uniform(0.15, 0.6)
    while edge < long / 2:
        pier, gap = rng.uniform(0.12, 0.9), rng.uniform(0.6, 3.2)
        rows.append((-deep / 2 + rng.choice([0.0, 0.0, 0.12]), edge + pier / 2, high / 2, deep, pier, high))
        middle, sill = edge + pier + gap / 2, rng.choice([0.0, rng.uniform(0.1, 1.1)])
        lintel = min(high - 0.1, sill + rng.uniform(1.1, 2.4))
        if sill > 0:
            rows.append((-deep / 2, middle, sill / 2, deep, gap, sill))
        rows.append((-deep / 2, middle, (high + lintel) / 2, deep, gap, high - lintel))
        kind = rng.random()
        if kind < 0.4:  # a window or door, at times with bars across
            back = -rng.uniform(0.08, deep)
            rows.append((back, middle, (sill + lintel) / 2, 0.04, gap, lintel - sill))
            rows += [(back + 0.05, middle, z, 0.05, gap, 0.05) for z in rng.uniform(sill, lintel, int(rng.integers(3)))]
        elif kind < 0.85:
            parts.append(pane(rng, -0.05, (middle - gap / 2, sill), (middle + gap / 2, lintel), rng.uniform(0, 0.25)))
        edge += pier + gap
    return joined(blocks(*rows), interior(rng, long, rng.uniform(1.0, 4.5)), *parts)


def railing(rng: Draw) -> Solid:
    """A low wall or railing in pieces: piers, panels between some of them, a rail on top."""
    long, high = rng.uniform(3, 12), rng.uniform(0.7, 1.7)
    wide, gap = rng.uniform(0.15, 0.7), rng.uniform(0.3, 2.5)
    rows: list[Row] = []
    foot = rng.choice([0.0, 0.0, rng.uniform(0.2, 0.7)])
    if foot:
        rows.append((0, 0, foot / 2, 0.3, long, foot))
    for y in np.arange(-long / 2, long / 2, wide + gap):
        lift = 0.0 if foot else rng.choice([0.0, 0.0, rng.uniform(0.1, 0.6)])
        rows.append((rng.normal(0, 0.03), y, (lift + high) / 2, rng.uniform(0.05, 0.4), wide, high - lift))
        if rng.random() < 0.3:
            rows.append((0, y + wide / 2 + gap / 2, 0.4 * high, 0.05, gap, rng.uniform(0.2, 0.7) * high))
    if rng.random() < 0.5:
        rows.append((0, 0, high, 0.12, long, 0.08))
    return blocks(*rows)


def planter(rng: Draw) -> Solid:
    """A box or tub with a shrub, a small tree or tall grass."""
    wide, long, high = rng.uniform(0.35, 1.0), rng.uniform(0.4, 2.6), rng.uniform(0.25, 0.8)
    tub = blocks((0, 0, high / 2, wide, long, high))
    if rng.random() < 0.35:
        tub, long = lathe((0, 0.35 * wide), (high, 0.55 * wide)), wide
    parts = [tub]
    for y in rng.uniform(-0.35, 0.35, int(rng.integers(1, 1 + max(1, round(2 * long))) + 0)) * long:
        reach, tall = rng.uniform(0.2, 0.55), rng.uniform(0.25, 0.75)
        size = np.array([reach, reach, tall])
        if rng.random() < 0.3:  # a ball on a stem
            stem = rng.uniform(0.3, 0.9)
            parts.append(rods((0, y, high, 0, y, high + stem, 0.025)))
            middle = np.array([0, y, high + stem + 0.8 * reach])
            parts.append(leaves(middle + reach * ball(int(rng.integers(80, 250)), rng), 0.07, rng))
        elif rng.random() < 0.6:
            green = (ball(int(rng.integers(80, 300)), rng) + np.array([0, 0, 0.9])) * size + [0, y, high]
            parts.append(leaves(green, rng.uniform(0.04, 0.12), rng))
        else:
            lump = lathe((0, 0.7), (0.5, 1.0), (1.1, 0.9), (1.6, 0.5), (1.9, 0.1), points=8).scaled(
                size.astype(np.float32)
            )
            parts.append(lumpy(lump, rng.uniform(0.05, 0.2), rng).placed(0.0, y, high))
    return joined(*parts)


def staked(rng: Draw) -> Solid:
    """A tree or mast held by poles or ropes all round, or in a cage."""
    radius, height = rng.uniform(0.05, 0.25), rng.uniform(2.2, 5)
    reach, at, count = rng.uniform(0.35, 1.8), rng.uniform(1.2, 2.3), int(rng.integers(2, 5))
    turn = rng.uniform(0, 2 * math.pi) + np.arange(count) * 2 * math.pi / count
    thick = rng.uniform(0.015, 0.06)
    lean = rng.choice([0.0, 1.0])  # upright stakes joined by a ring, or slanting ones
    top = reach * (1 - lean)
    rows: list[Row] = [
        (reach * math.cos(a), reach * math.sin(a), 0, top * math.cos(a), top * math.sin(a), at, thick) for a in turn
    ]
    ends = [(top * math.cos(a), top * math.sin(a), 0.95 * at) for a in (*turn, turn[0])]
    rows += [(*a, *b, thick) for a, b in itertools.pairwise(ends) if not lean]
    stem = lumpy(
        lathe((0, 1.2 * radius), (0.3, radius), (0.6 * height, 0.9 * radius), (height, 0.7 * radius)), 0.08, rng
    )
    crown = ball(int(rng.integers(80, 350)), rng) * rng.uniform(0.5, 1.8) + [0, 0, height]
    return joined(stem, rods(*rows, points=5), leaves(crown, rng.uniform(0.1, 0.3), rng))


def open_car(rng: Draw) -> Solid:
    """A car whose windows let light through: lower body with arches, pillars, roof, seats, wheel, mirrors, lamps."""
    long, wide, waist = rng.uniform(3.6, 5.0), rng.uniform(1.6, 1.95), rng.uniform(0.75, 1.05)
    roof, clear = waist + rng.uniform(0.45, 0.8), rng.uniform(0.15, 0.3)
    nose, tail = rng.uniform(0.2, 0.32) * long, rng.uniform(0.02, 0.25) * long
    front, rear, half = long / 2, -long / 2, wide / 2
    side_low, arch = (clear + waist) / 2, 0.34
    rows: list[Row] = [(0, 0, clear + 0.1, long - 0.1, 0.9 * wide, 0.2)]
    bounds = (rear, rear + 0.5, rear + 0.5 + 2 * arch, front - 0.55 - 2 * arch, front - 0.55, front)
    for a, b, low in zip(bounds, bounds[1:], (clear, 2 * arch, clear, 2 * arch, clear), strict=False):
        rows += [((a + b) / 2, s * (half - 0.04), (low + waist) / 2, b - a, 0.08, waist - low) for s in (1, -1)]
    rows += [(x, 0, side_low, 0.08, 0.92 * wide, waist - clear) for x in (rear + 0.04, front - 0.04)]
    rows.append((front - nose / 2, 0, waist - 0.03, nose, 0.95 * wide, 0.06))
    if tail > 0.4:
        rows.append((rear + tail / 2, 0, waist - 0.03, tail, 0.95 * wide, 0.06))
    cabin = (rear + tail, front - nose)
    over = (cabin[0] + rng.uniform(0.1, 0.5), cabin[1] - rng.uniform(0.4, 0.9))
    rows.append((sum(over) / 2, 0, roof, over[1] - over[0], 0.78 * wide, 0.06))
    pillars = [(sum(over) / 2 + rng.normal(0, 0.1), sum(over) / 2), *zip(cabin, over, strict=True)]
    bars = [(a, s * 0.95 * half, waist, b, s * 0.78 * half, roof, 0.04) for a, b in pillars for s in (1, -1)]
    seats = (cabin[1] - rng.uniform(0.8, 1.1), cabin[0] + rng.uniform(0.3, 0.7))
    for x in seats:
        for s in (1, -1):
            rows.append((x, 0.45 * s * half, waist - 0.1, 0.12, 0.5, 0.7))
            rows.append((x - 0.03, 0.45 * s * half, waist + 0.35, 0.08, 0.26, 0.18))
    rows += [(cabin[1] - 0.2, s * (half + 0.08), waist + 0.05, 0.1, 0.2, 0.14) for s in (1, -1)]
    tyres = [
        (x, s * (half - 0.2), 0.31, x, s * half, 0.31, 0.31)
        for x in (bounds[1] + arch, bounds[4] - arch)
        for s in (1, -1)
    ]
    parts = [blocks(*rows), rods(*bars, points=4), rods(*tyres, points=10)]
    if rng.random() < 0.4:
        parts.append(
            pane(rng, 0.0, (-0.8, waist), (0.8, roof), rng.uniform(0.05, 0.3)).placed(0.0, half * 0.9, 0.0, math.pi / 2)
        )
    return joined(*parts)


def shelter(rng: Draw) -> Solid:
    """A bus shelter or kiosk: posts, roof, a bench, glass or a poster at one side."""
    long, deep, high = rng.uniform(2, 5), rng.uniform(1.0, 1.9), rng.uniform(2.2, 2.7)
    rows: list[Row] = [(0, 0, high, deep, long, 0.1)]
    rows += [
        (-deep / 2, y, high / 2, 0.08, 0.08, high) for y in np.linspace(-long / 2, long / 2, int(rng.integers(2, 5)))
    ]
    if rng.random() < 0.7:
        rows.append((-deep / 2 + 0.3, 0, 0.45, 0.35, 0.6 * long, 0.05))
    if rng.random() < 0.6:
        rows.append((0, long / 2, 1.0, 0.9 * deep, 0.15, 1.6))
    glass = pane(rng, -deep / 2, (-long / 2, 0.2), (long / 2, high - 0.2), rng.uniform(0.05, 0.4))
    return joined(blocks(*rows), glass)


def barrier(rng: Draw) -> Solid:
    """Road works: boards on feet, with lamps, one or several."""
    rows: list[Row] = []
    for number in range(int(rng.integers(1, 5))):
        y, wide, high = 1.3 * number, rng.uniform(0.25, 1.2), rng.uniform(0.8, 1.2)
        x = rng.normal(0, 0.2)
        rows += [(x, y, 0.06, 0.8, 0.3, 0.12), (x, y, high / 2, 0.05, 0.05, high)]
        rows += [(x, y, z, 0.03, wide, rng.uniform(0.12, 0.5)) for z in (high, 0.55 * high)[: int(rng.integers(1, 3))]]
        if rng.random() < 0.4:
            rows.append((x, y, high + 0.2, 0.1, 0.2, 0.25))
    return blocks(*rows)


def parked(rng: Draw) -> Solid:
    """A row of bicycles, mopeds, bollards or bins."""
    maker = (t.bicycle, t.bicycle, t.moped, t.moped, t.bollard, t.bin_)[int(rng.integers(6))]
    gap, slant = rng.uniform(0.45, 1.6), rng.uniform(-0.5, 0.5)
    first = maker(rng)
    row = []
    for number in range(int(rng.integers(2, 7))):
        solid = first if maker is t.bollard else maker(rng)
        row.append(solid.placed(rng.normal(0, 0.08), gap * number, 0.0, slant + rng.normal(0, 0.08)))
    return joined(*row)


def terrace(rng: Draw) -> Solid:
    """Tables with chairs round them, at times under a parasol."""
    parts = []
    for number in range(int(rng.integers(1, 4))):
        y = 2.1 * number
        parts.append(t.table(rng).placed(0.0, y))
        for angle in rng.uniform(0, 2 * math.pi, int(rng.integers(1, 5))):
            away = rng.uniform(0.6, 0.95)
            parts.append(t.chair(rng).placed(away * math.cos(angle), y + away * math.sin(angle), 0.0, angle + math.pi))
        if rng.random() < 0.4:
            parts.append(t.parasol(rng).placed(rng.normal(0, 0.2), y))
    return joined(*parts)


FRONTS: Final[tuple[t.Maker, ...]] = (glazed, glazed, railing)
ALONE: Final[tuple[t.Maker, ...]] = (planter, planter, staked, barrier, parked, railing, terrace)
WIDE: Final[tuple[t.Maker, ...]] = (open_car, open_car, open_car, shelter, glazed, parked, terrace, railing)
