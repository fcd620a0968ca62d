"""What stands where in a scene: uneven ground, streets and squares, rooms, and what is taken for people everywhere."""

import math

import numpy as np

from gckpl_training.scene import streetside
from gckpl_training.scene import things as t
from gckpl_training.scene.solids import Draw, Solid, blocks, ground_mesh


class Ground:
    """A sloping, uneven height field with kerbs, at times stairs or a ramp, along one direction."""

    REACH_M, LINES = 34.0, 56

    def __init__(self, rng: Draw, level: bool) -> None:
        steps: list[tuple[float, float, float]] = []  # where, over which length, how high
        if not level and rng.random() < 0.55:
            steps += [(side * rng.uniform(2.5, 9), 0.03, side * rng.uniform(0.05, 0.2)) for side in (1, -1)]
        if rng.random() < (0.04 if level else 0.12):
            way, depth, high = rng.choice([-1, 1]), rng.uniform(0.26, 0.4), rng.uniform(0.11, 0.19)
            first = rng.uniform(4, 14)
            steps += [(way * (first + depth * i), 0.02, way * high) for i in range(int(rng.integers(2, 9)))]
        elif not level and rng.random() < 0.12:
            way = rng.choice([-1, 1])
            steps.append((way * rng.uniform(4, 14), rng.uniform(1.5, 5), way * rng.uniform(-1.2, 1.2)))
        lines = np.linspace(-self.REACH_M, self.REACH_M, self.LINES - 2 * len(steps))
        self._xs = np.sort(np.concatenate([lines, *([x, x + long] for x, long, _ in steps)]))
        self._ys = np.linspace(-self.REACH_M, self.REACH_M, self.LINES)
        lift = sum((high * np.clip((self._xs - x) / long, 0, 1) for x, long, high in steps), np.zeros(self.LINES))
        slope = 0.0 if level else math.tan(math.radians(rng.uniform(0, 6) * rng.random() ** 0.5))
        towards = rng.uniform(0, 2 * math.pi)
        x, y = np.meshgrid(self._xs, self._ys, indexing="ij")
        rough = 0.002 if level else rng.uniform(0.002, 0.035)
        waves = 0.0 if level else rng.uniform(0, 0.15)
        long = rng.uniform(6, 20, 2)
        self._heights = (
            slope * (math.cos(towards) * x + math.sin(towards) * y)
            + lift[:, None]
            + waves * np.sin(x / long[0] + rng.uniform(0, 6)) * np.sin(y / long[1] + rng.uniform(0, 6))
            + rough * rng.standard_normal(x.shape)
        )
        self.solid = ground_mesh(self._xs, self._ys, self._heights)

    def height(self, x: float, y: float) -> float:
        """Height (m) of the ground's triangles at a place."""
        i = int(np.clip(np.searchsorted(self._xs, x) - 1, 0, self.LINES - 2))
        j = int(np.clip(np.searchsorted(self._ys, y) - 1, 0, self.LINES - 2))
        u = (x - self._xs[i]) / max(self._xs[i + 1] - self._xs[i], 1e-9)
        v = (y - self._ys[j]) / (self._ys[j + 1] - self._ys[j])
        a, b, c, d = (self._heights[i + di, j + dj] for di, dj in ((0, 0), (1, 0), (1, 1), (0, 1)))
        return float(a + u * (b - a) + v * (c - b) if u >= v else a + v * (d - a) + u * (c - d))


class Plan:
    """What stands where: places are free until something takes them."""

    def __init__(self, rng: Draw, ground_: Ground, held_out: bool) -> None:
        self.rng, self.ground, self.held_out = rng, ground_, held_out
        self.solids: list[Solid] = []
        self._taken: list[tuple[float, float, float]] = []

    def free(self, x: float, y: float, radius: float, gap: float = 0.1) -> bool:
        """Whether a circle meets nothing, and lies on the ground."""
        inside = math.hypot(x, y) + radius < 31
        return inside and all(math.hypot(x - a, y - b) > radius + r + gap for a, b, r in self._taken)

    def in_sight(self, x: float, y: float) -> bool:
        """Whether nothing wide stands between the middle and a place."""
        for a, b, r in self._taken:
            along = (a * x + b * y) / (x * x + y * y)
            if r > 0.5 and 0 < along < 1 and math.hypot(a - along * x, b - along * y) < r and math.hypot(a, b) > 2.5:
                return False
        return True

    def take(self, x: float, y: float, radius: float) -> None:
        """Keep a circle from what comes later."""
        self._taken.append((x, y, radius))

    def make(self, maker: t.Maker) -> Solid:
        """A thing of this split: held-out scenes have other proportions."""
        stretch = self.rng.uniform(0.92, 1.08, 3)
        if self.held_out:
            stretch = np.where(self.rng.random(3) < 0.5, stretch - 0.16, stretch + 0.16)
        return maker(self.rng).scaled(stretch.astype(np.float32))

    def put(self, solid: Solid, x: float, y: float, yaw: float, radius: float | None = None) -> None:
        """Stand a thing on the ground."""
        self.solids.append(solid.placed(x, y, self.ground.height(x, y) - 0.01, yaw))
        self.take(x, y, solid.radius if radius is None else radius)

    def scatter(self, maker: t.Maker, near: float, far: float) -> None:
        """A thing anywhere free between two ranges; left out when there is no room."""
        solid = self.make(maker)
        for _ in range(6):
            distance, bearing = self.rng.uniform(near, far), self.rng.uniform(0, 2 * math.pi)
            x, y = distance * math.cos(bearing), distance * math.sin(bearing)
            if self.free(x, y, solid.radius):
                self.put(solid, x, y, self.rng.uniform(0, 2 * math.pi))
                break


def seat(rng: Draw, height: float) -> Solid:
    """What somebody sits on: a bench, chair, wheelchair, wall or box with its seat at that height."""
    kind = rng.random()
    if kind < 0.25 and height > 0.3:
        return t.wheelchair(height)
    if kind < 0.6:
        wide = rng.uniform(0.42, 0.6)
        legs = [(x * 0.18, y * 0.4 * wide, height / 2, 0.04, 0.04, height) for x in (1, -1) for y in (1, -1)]
        return blocks((0, 0, height - 0.02, 0.42, wide, 0.04), (-0.24, 0, height + 0.25, 0.04, wide, 0.5), *legs)
    long, off = rng.uniform(0.5, 2.4), rng.uniform(-0.4, 0.4)
    back = ((-0.28, off, height + 0.2, 0.05, long, 0.4),) if kind < 0.85 else ()
    return blocks((0, off, height - 0.03, 0.45, long, 0.06), (-0.05, off, height / 2, 0.3, 0.9 * long, height), *back)


def beside(plan: Plan, x: float, y: float, radius: float) -> None:
    """A thing as near as 0.25 m to somebody."""
    rng = plan.rng
    kinds = t.UPRIGHT if rng.random() < 0.6 else (t.wall, t.car, t.bin_, t.bush)
    maker = kinds[int(rng.integers(len(kinds)))]
    solid = plan.make(maker)
    for _ in range(4):
        away, bearing = radius + solid.radius + rng.uniform(0.0, 0.4), rng.uniform(0, 2 * math.pi)
        place = x + away * math.cos(bearing), y + away * math.sin(bearing)
        if plan.free(*place, solid.radius, gap=-0.05):
            plan.put(solid, *place, rng.uniform(0, 2 * math.pi))
            break


def before(plan: Plan, x: float, y: float, radius: float) -> None:
    """Something wide between the middle and somebody, who looks over it or through it."""
    rng = plan.rng
    along = (streetside.open_car, t.car, t.hedge, t.fence)  # their long side lies along x
    kinds = (*along, streetside.railing, streetside.planter, streetside.parked, t.bin_, t.bush)
    maker = kinds[int(rng.integers(len(kinds)))]
    solid = plan.make(maker)
    distance, bearing = math.hypot(x, y), math.atan2(y, x)
    thick = float(np.ptp(solid.vertices[:, 1 if maker in along else 0])) / 2
    near = distance - radius - thick - rng.uniform(0.1, 1.5)
    at = near * math.cos(bearing), near * math.sin(bearing)
    if near > 2.5 and plan.free(*at, thick):
        yaw = bearing + (math.pi / 2 if maker in along else 0.0) + rng.normal(0, 0.3)
        plan.put(solid, *at, yaw, thick + 0.2)


def outdoors(plan: Plan) -> float:
    """A street between house fronts, or an open place with some large things; how far it reaches, m."""
    rng = plan.rng
    if rng.random() < 0.55:
        for side in (1, -1):
            if rng.random() < 0.85:
                away, x = rng.uniform(5, 15), -26.0
                while x < 26:
                    kinds = (t.front, *streetside.FRONTS) if rng.random() < 0.85 else (t.hedge, t.fence)
                    solid = plan.make(kinds[int(rng.integers(len(kinds)))])
                    long = 2 * solid.radius
                    yaw = -side * math.pi / 2 if np.ptp(solid.vertices[:, 1]) > np.ptp(solid.vertices[:, 0]) else 0.0
                    for place in np.arange(x, x + long, 1.0):
                        plan.take(float(place), side * (away + 0.4), 0.8)
                    at = x + long / 2, side * (away + rng.uniform(0, 0.5))
                    plan.solids.append(solid.placed(*at, plan.ground.height(*at) - 0.3, yaw))
                    x += long + rng.choice([0.0, rng.uniform(0, 4)])
            row = rng.uniform(2.6, 4.5)
            for x in np.arange(-24, 24, 5.6):
                if rng.random() < 0.35 and plan.free(float(x), side * row, 2.3):
                    solid = plan.make((t.car, streetside.open_car, streetside.open_car, t.van)[int(rng.integers(4))])
                    plan.put(solid, float(x), side * row, rng.choice([0.0, math.pi]), 2.3)
    for _ in range(int(rng.integers(0, 7))):
        kinds = t.LARGE if rng.random() < 0.5 else streetside.WIDE
        plan.scatter(kinds[int(rng.integers(len(kinds)))], 6.0, 28.0)
    return 26.0


def room(plan: Plan) -> float:
    """Walls all round at 4 to 12 m, with pillars and doors; half of the rooms have a ceiling."""
    rng = plan.rng
    half, high = rng.uniform(4, 12, 2), rng.uniform(2.3, 3.6)
    rows = []
    for axis in (0, 1):
        for side in (1, -1):
            edge = -half[1 - axis]
            while edge < half[1 - axis]:
                wide = min(rng.uniform(0.8, 5), half[1 - axis] - edge)
                off = side * (half[axis] + 0.15 + rng.choice([0.0, 0.0, -0.15, 0.2, 2.0]))
                place = (off, edge + wide / 2) if axis == 0 else (edge + wide / 2, off)
                rows.append((*place, high / 2 - 0.1, *((0.3, wide) if axis == 0 else (wide, 0.3)), high + 0.2))
                edge += wide
    if rng.random() < 0.5:
        rows.append((0, 0, high + 0.05, 2 * half[0] + 4, 2 * half[1] + 4, 0.1))
        rows += [(*rng.uniform(-0.8, 0.8, 2) * half, high - 0.05, 1.2, 0.3, 0.1) for _ in range(4)]
    plan.solids.append(blocks(*rows))
    for axis in (0, 1):
        for side in (1, -1):
            for along in np.arange(-half[1 - axis], half[1 - axis], 0.8):
                away = side * (half[axis] + 0.3)
                x, y = (away, float(along)) if axis == 0 else (float(along), away)
                plan.take(x, y, 0.4)
    return float(half.min())


def clutter(plan: Plan, inside: bool, reach: float) -> None:
    """What is taken for people, all around."""
    rng = plan.rng
    kinds = t.INDOOR if inside else (*t.UPRIGHT, *t.LOW, *streetside.ALONE)
    for _ in range(int(rng.integers(6, 22) if inside else rng.integers(15, 60))):
        plan.scatter(kinds[int(rng.integers(len(kinds)))], 1.2, reach - 0.3)
    if plan.held_out:
        for _ in range(int(rng.integers(0, 5))):
            plan.scatter(t.HELD_OUT[int(rng.integers(len(t.HELD_OUT)))], 1.2, reach - 0.3)


def carrier(ground: Ground, place: tuple[float, float], height: float, rng: Draw) -> Solid:
    """The robot or car under a sensor at that height."""
    size = (
        (rng.uniform(0.4, 0.9), rng.uniform(0.3, 0.6))
        if height < 1.4
        else (rng.uniform(3.6, 4.8), rng.uniform(1.6, 1.9))
    )
    top = height - rng.uniform(0.12, 0.3)
    return blocks((0, 0, top / 2, *size, top)).placed(*place, ground.height(*place))
