"""What surrounds one person in front of a sensor: rough ground, wall, pole, bin, occluder, a second person."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn.functional import normalize

from gckpl_ros.body.body import Posed, move
from gckpl_ros.body.kinematics import JOINT
from gckpl_ros.geometry import rotation_z
from gckpl_ros.skeleton import INDEX
from gckpl_training.scene.meshes import Meshes, background, box_faces, boxes, circle, join, torso_frame, tube_faces

# The ground near a person: a tilted, rough patch.

CELLS = 6
HALF_SIZE_M = 0.9  # farther ground is outside every box: scanning it would cost more than the person


def ground_patch(
    feet: Float[Tensor, "b 3"],
    range_m: Float[Tensor, " b"],
    tilt_deg: float,
    roughness_m: float,
    generator: torch.Generator,
) -> Meshes:
    """Square patches through ``feet``, smaller near the sensor, so that they never reach it.

    Slopes along x and y are N(0, tilt); roughness is the largest standard deviation of the heights.
    """
    n, device = len(feet), generator.device
    grid = (
        grid_points(CELLS, device) * torch.minimum(0.5 * range_m, torch.full_like(range_m, HALF_SIZE_M))[:, None, None]
    )
    slopes = torch.randn(n, 2, 1, generator=generator, device=device) * torch.tensor(tilt_deg).deg2rad().to(device)
    rough = roughness_m * torch.rand(n, 1, 1, generator=generator, device=device)
    bumps = torch.randn(n, grid.shape[1], 1, generator=generator, device=device) * rough
    return background(feet[:, None] + torch.cat([grid, grid @ slopes.tan() + bumps], -1), grid_faces(CELLS, device))


def grid_points(cells: int, device: torch.device | None = None) -> Float[Tensor, "v 2"]:
    """Corners of cells x cells squares over [-1, 1]^2."""
    line = torch.linspace(-1, 1, cells + 1, device=device)
    return torch.cartesian_prod(line, line)


def grid_faces(cells: int, device: torch.device | None = None) -> Int64[Tensor, "f 3"]:
    """Two triangles per square of ``grid_points``, seen from above."""
    here = torch.arange(cells, device=device)
    a = (here[:, None] * (cells + 1) + here).flatten()
    b, c, d = a + cells + 1, a + cells + 2, a + 1
    return torch.cat([torch.stack([a, b, c], -1), torch.stack([a, c, d], -1)])


# A crude body of tubes round the bones: the second person near by, at a sixth of a body's faces.

POINTS = 6
# Bone ends and radius as a share of the trunk (pelvis to neck, 0.55 m on a grown-up).
_LIMBS = [
    (f"{side}_{start}", f"{side}_{end}", radius)
    for side in ("left", "right")
    for start, end, radius in (
        ("hip", "knee", 0.16),
        ("knee", "ankle", 0.11),
        ("ankle", "foot", 0.08),
        ("shoulder", "elbow", 0.10),
        ("elbow", "wrist", 0.08),
    )
]
_STARTS = [JOINT[start] for start, _, _ in _LIMBS] + [JOINT["pelvis"]]
_ENDS = [JOINT[end] for _, end, _ in _LIMBS] + [JOINT["neck"]]
_RADII = [radius for _, _, radius in _LIMBS] + [0.24, 0.19]
# Each tube closes towards its ends: position along the bone, share of the radius.
_ALONG, _SHARE = (-0.12, 0.0, 0.95, 1.12), (0.4, 1.0, 1.0, 0.4)
VERTICES = len(_RADII) * len(_ALONG) * POINTS


def mannequin(joints: Float[Tensor, "b 22 3"], keypoints: Float[Tensor, "b 14 3"]) -> Float[Tensor, "b v 3"]:
    """Tubes round limbs, trunk and head, in the frame of the joints; faces from ``mannequin_faces``."""
    neck, center = joints[:, JOINT["neck"]], keypoints[:, INDEX["head_center"]]
    start = torch.cat([joints[:, _STARTS], neck[:, None]], 1)
    end = torch.cat([joints[:, _ENDS], (1.7 * center - 0.7 * neck)[:, None]], 1)
    trunk = (neck - joints[:, JOINT["pelvis"]]).norm(dim=-1)
    radius = trunk[:, None] * torch.tensor(_RADII, device=joints.device)
    bone = end - start
    torso = torso_frame(joints)[:, None]
    axis = normalize(bone, dim=-1)
    front = normalize(torch.linalg.cross(torso[..., 1].expand_as(axis), axis), dim=-1)
    wide = torch.ones(len(_RADII), device=joints.device)
    wide[-2] = 1.4  # the trunk is wider than deep
    across = torch.linalg.cross(axis, front) * wide[:, None]
    ring = circle(POINTS, joints.device)
    spokes = radius[..., None, None] * (ring[:, :1] * front[:, :, None] + ring[:, 1:] * across[:, :, None])
    along, share = torch.tensor([_ALONG, _SHARE], device=joints.device)[:, :, None, None]
    return (
        (start[:, :, None] + bone[:, :, None] * along[:, :, 0])[:, :, :, None] + share * spokes[:, :, None]
    ).flatten(1, 3)


def mannequin_faces(device: torch.device | None = None) -> Int64[Tensor, "f 3"]:
    """Triangles of ``mannequin``."""
    tube = tube_faces(len(_ALONG), POINTS, device)
    starts = torch.arange(len(_RADII), device=device) * len(_ALONG) * POINTS
    return (tube + starts[:, None, None]).flatten(0, 1)


@dataclass(frozen=True)
class Scene:
    """People before the sensor (origin, z up, metres): ``meshes`` are person, then ``around``; rows are scenes."""

    meshes: Meshes
    posed: Posed
    around: Meshes
    shift: Float[Tensor, "b 3"]

    def again(self, meshes: Meshes, posed: Posed) -> "Scene":
        """The same surroundings with each person in another pose: the next frame of a pair."""
        meshes, posed = meshes.moved(self.shift), move(posed, self.shift)
        return replace(self, meshes=join(meshes, self.around), posed=posed)


@dataclass(frozen=True)
class Surroundings:
    """How often what surrounds a person; chances in 0..1, angles in degrees, lengths in metres."""

    wall: float = 0.25
    pole: float = 0.2
    bin: float = 0.2
    occluder: float = 0.3
    second_person: float = 0.2
    tilt_deg: float = 5.0
    roughness_m: float = 0.02

    def scaled(self, factor: float) -> "Surroundings":
        """The same, everything that stands around ``factor`` times as often."""
        kinds = ("wall", "pole", "bin", "occluder", "second_person")
        return replace(self, **{kind: getattr(self, kind) * factor for kind in kinds})

    def __call__(
        self,
        meshes: Meshes,
        posed: Posed,
        range_m: Float[Tensor, " b"],
        mount_height_m: float,
        generator: torch.Generator,
    ) -> Scene:
        """Put each person at its range, at a random bearing, with the lowest vertex on the ground at -mount height."""
        bearing = 2 * torch.pi * _rand(generator, len(meshes))
        shift = placement(posed, range_m, bearing, mount_height_m)
        feet = torch.cat([posed.joints[:, 0, :2], posed.vertices[:, :, 2].amin(1)[:, None]], 1) + shift
        around = join(
            ground_patch(feet, range_m, self.tilt_deg, self.roughness_m, generator),
            self._things(feet, range_m, bearing, generator),
            self._neighbour(move(posed, shift), feet, bearing, generator),
        )
        meshes, posed = meshes.moved(shift), move(posed, shift)
        return Scene(join(meshes, around), posed, around, shift)

    def _things(self, feet: Tensor, range_m: Tensor, bearing: Tensor, g: torch.Generator) -> Meshes:
        """Wall, pole and bin beside or behind the person, and what stands before it."""
        makers = ((_wall, self.wall), (_pole, self.pole), (_bin, self.bin), (_occluder, self.occluder))
        kinds = [maker(feet, range_m, bearing, g) for maker, _ in makers]
        centers, yaws, sizes = (torch.stack(values, 1) for values in zip(*kinds, strict=True))
        chance = torch.tensor([chance for _, chance in makers], device=g.device)
        here = (_rand(g, *yaws.shape) < chance)[..., None]
        corners = boxes(torch.where(here, centers, feet[:, None]), rotation_z(yaws), sizes * here)
        return background(corners, box_faces(len(makers), g.device))

    def _neighbour(self, posed: Posed, feet: Tensor, bearing: Tensor, g: torch.Generator) -> Meshes:
        """The next row's person, 0.4 to 1.2 m away; never on the sensor's side of the person."""
        figure = mannequin(posed.joints, posed.keypoints).roll(1, 0)
        away = bearing + _between(g, -2.0, 2.0, len(feet))
        place = feet + _between(g, 0.4, 1.2, len(feet))[:, None] * _level(away)
        here = (_rand(g, len(feet), 1, 1) < self.second_person) & (len(feet) > 1)
        figure = torch.where(here, figure + (place - feet.roll(1, 0))[:, None], feet[:, None])
        return background(figure, mannequin_faces(g.device))


def placement(
    posed: Posed, range_m: Float[Tensor, " b"], bearing_rad: Float[Tensor, " b"], mount_height_m: float
) -> Float[Tensor, "b 3"]:
    """Shift that puts the pelvis at range and bearing from the sensor and the lowest vertex on z = -mount height."""
    target = range_m[:, None] * _level(bearing_rad)[:, :2]
    lowest = posed.vertices[:, :, 2].amin(1)
    return torch.cat([target - posed.joints[:, 0, :2], (-mount_height_m - lowest)[:, None]], 1)


def _wall(feet: Tensor, range_m: Tensor, bearing: Tensor, g: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    n = len(feet)
    toward = bearing + _between(g, -1.7, 1.7, n)
    size = torch.stack([torch.full_like(bearing, 0.2), _between(g, 0.8, 2.2, n), _between(g, 0.8, 2.4, n)], -1)
    center = feet + (_between(g, 0.3, 1.5, n) + 0.1)[:, None] * _level(toward)
    return _standing(center, size), toward + _between(g, -0.15, 0.15, n), size


def _pole(feet: Tensor, range_m: Tensor, bearing: Tensor, g: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    n = len(feet)
    width = _between(g, 0.05, 0.35, n)
    size = torch.stack([width, width, _between(g, 1.2, 2.6, n)], -1)
    center = feet + (_between(g, 0.3, 1.2, n) + width / 2)[:, None] * _level(bearing + _between(g, -2.2, 2.2, n))
    return _standing(center, size), _between(g, 0.0, 1.6, n), size


def _bin(feet: Tensor, range_m: Tensor, bearing: Tensor, g: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    n = len(feet)
    size = torch.stack([_between(g, *bounds, n) for bounds in ((0.2, 0.8), (0.2, 0.8), (0.1, 1.2))], -1)
    center = feet + _between(g, 0.5, 1.2, n)[:, None] * _level(bearing + _between(g, -3.1, 3.1, n))
    return _standing(center, size), _between(g, 0.0, 1.6, n), size


# Width, height and lower edge (above the ground) of what is hidden: by a car or hedge, a post, a board or branch.
_HIDDEN = torch.tensor(
    [
        [[0.5, 1.6], [0.3, 1.1], [0.0, 0.0]],
        [[0.06, 0.35], [2.2, 2.2], [0.0, 0.0]],
        [[0.4, 1.4], [0.3, 1.0], [0.7, 1.5]],
    ]
)


def _occluder(feet: Tensor, range_m: Tensor, bearing: Tensor, g: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """A plate whose shadow on the person is the hidden window: the window, drawn towards the sensor.

    Only its shadow and the rare plate within the person's box matter, so nothing larger is scanned.
    """
    n = len(feet)
    low, high = _HIDDEN.to(g.device)[torch.randint(len(_HIDDEN), (n,), generator=g, device=g.device)].unbind(-1)
    width, height, lift = (low + (high - low) * _rand(g, n, 3)).unbind(-1)
    beside = (_rand(g, n) - 0.5) * (0.5 + width)
    window = feet + beside[:, None] * _level(bearing + torch.pi / 2)
    window = window + torch.nn.functional.pad((lift + height / 2)[:, None], (2, 0))
    nearest = 0.3 + 0.2 * _rand(g, n)
    share = (1 - (nearest + _rand(g, n) * 0.6 * range_m) / range_m).clamp(min=0.25)
    size = torch.stack([torch.full_like(width, 0.08), width, height], -1) * share[:, None]
    return window * share[:, None], bearing + _between(g, -0.2, 0.2, n), size


def _standing(center: Float[Tensor, "b 3"], size: Float[Tensor, "b 3"]) -> Float[Tensor, "b 3"]:
    return center + torch.nn.functional.pad(size[:, 2:] / 2, (2, 0))


def _level(angle: Float[Tensor, " b"]) -> Float[Tensor, "b 3"]:
    return torch.stack([angle.cos(), angle.sin(), torch.zeros_like(angle)], -1)


def _rand(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.rand(*shape, generator=generator, device=generator.device)


def _between(generator: torch.Generator, low: float, high: float, n: int) -> Float[Tensor, " n"]:
    return low + (high - low) * _rand(generator, n)
