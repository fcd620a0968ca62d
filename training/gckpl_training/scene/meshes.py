"""Batches of meshes that share one topology; what is absent is collapsed to a point and can never return a beam."""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn.functional import normalize

from gckpl_ros.body.kinematics import JOINT
from gckpl_ros.geometry import rotation_z
from gckpl_ros.skeleton import BACKGROUND, INDEX

# Frames that ride with a body: columns are forward, left, up.


def torso_frame(joints: Float[Tensor, "b 22 3"]) -> Float[Tensor, "b 3 3"]:
    """Frame of the trunk: up from pelvis to neck, left from right to left shoulder and hip."""
    up = normalize(joints[:, JOINT["neck"]] - joints[:, JOINT["pelvis"]], dim=-1)
    left = joints[:, JOINT["left_shoulder"]] - joints[:, JOINT["right_shoulder"]]
    return _columns(up, left + joints[:, JOINT["left_hip"]] - joints[:, JOINT["right_hip"]])


def heading_frame(frame: Float[Tensor, "b 3 3"]) -> Float[Tensor, "b 3 3"]:
    """The level frame (z up) that looks where ``frame`` looks."""
    up = torch.tensor([0.0, 0.0, 1.0], device=frame.device).expand(len(frame), 3)
    return _columns(up, frame[:, :, 1])


def head_frame(joints: Float[Tensor, "b 22 3"], keypoints: Float[Tensor, "b 14 3"]) -> Float[Tensor, "b 3 3"]:
    """Frame of the skull, rigid with the head: up from the head joint to the head's centre, the nose in front."""
    center = keypoints[:, INDEX["head_center"]]
    up = normalize(center - joints[:, JOINT["head"]], dim=-1)
    return _columns(up, torch.linalg.cross(up, keypoints[:, INDEX["nose"]] - center))


def _columns(up: Float[Tensor, "b 3"], left: Float[Tensor, "b 3"]) -> Float[Tensor, "b 3 3"]:
    left = normalize(left - (left * up).sum(-1, keepdim=True) * up, dim=-1)
    return torch.stack([torch.linalg.cross(left, up), left, up], -1)


@dataclass(frozen=True)
class Meshes:
    """b meshes in metres: ``labels`` is the part (gckpl_ros.skeleton.PARTS) of each face, BACKGROUND for things."""

    vertices: Float[Tensor, "b v 3"]
    faces: Int64[Tensor, "f 3"]
    labels: Int64[Tensor, " f"]

    def __len__(self) -> int:
        return len(self.vertices)

    def moved(self, shift: Float[Tensor, "b 3"]) -> "Meshes":
        """All vertices of mesh i shifted by ``shift[i]``."""
        return replace(self, vertices=self.vertices + shift[:, None])


def join(*meshes: Meshes) -> Meshes:
    """One mesh per row out of several; faces and labels follow in the given order."""
    faces, start = [], 0
    for mesh in meshes:
        faces.append(mesh.faces + start)
        start += mesh.vertices.shape[1]
    return Meshes(
        torch.cat([mesh.vertices for mesh in meshes], 1),
        torch.cat(faces),
        torch.cat([mesh.labels for mesh in meshes]),
    )


def background(vertices: Float[Tensor, "b v 3"], faces: Int64[Tensor, "f 3"]) -> Meshes:
    """Meshes of things that are no person."""
    return Meshes(vertices, faces, torch.full((len(faces),), BACKGROUND, device=faces.device))


def boxes(
    centers: Float[Tensor, "b m 3"], axes: Float[Tensor, "b m 3 3"], sizes: Float[Tensor, "b m 3"]
) -> Float[Tensor, "b v 3"]:
    """Corners of m boxes per row; the columns of ``axes`` are the directions of length, width, height."""
    signs = torch.tensor([-0.5, 0.5], device=centers.device)
    corners = torch.cartesian_prod(signs, signs, signs)
    local = corners * sizes[:, :, None]
    return (centers[:, :, None] + local @ axes.transpose(-1, -2)).flatten(1, 2)


def box_faces(count: int, device: torch.device | None = None) -> Int64[Tensor, "f 3"]:
    """Twelve triangles for each of ``count`` boxes whose corners ``boxes`` made."""
    quads = torch.tensor([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]])
    one = torch.cat([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]).to(device)
    return (one + 8 * torch.arange(count, device=device)[:, None, None]).flatten(0, 1)


def tube_faces(rings: int, points: int, device: torch.device | None = None) -> Int64[Tensor, "f 3"]:
    """Triangles between ``rings`` closed rings of ``points`` vertices each, ring after ring."""
    ring = torch.arange(rings - 1, device=device)[:, None] * points
    here = torch.arange(points, device=device)
    after = (here + 1) % points
    a, b = ring + here, ring + after
    lower = torch.stack([a, b, b + points], -1)
    upper = torch.stack([a, b + points, a + points], -1)
    return torch.cat([lower, upper]).reshape(-1, 3)


def circle(points: int, device: torch.device | None = None) -> Float[Tensor, "n 2"]:
    """Unit vectors evenly round a circle."""
    angle = torch.arange(points, device=device) * (2 * torch.pi / points)
    return torch.stack([angle.cos(), angle.sin()], -1)


def box(x: float, y: float, size: tuple[float, float, float], yaw_deg: float = 0.0, lift: float = 0.0) -> Meshes:
    """An upright box (length, width, height in m) whose foot lies at (x, y, lift)."""
    center = torch.tensor([[[x, y, lift + size[2] / 2]]])
    frame = rotation_z(torch.tensor([[math.radians(yaw_deg)]]))
    return background(boxes(center, frame, torch.tensor([[size]])), box_faces(1))


def car(x: float, y: float, yaw_deg: float = 0.0, scale: float = 1.0) -> Meshes:
    """A parked car: the side's outline with bonnet, windscreen, roof and boot, on four wheels."""
    outline = torch.tensor(
        [(2.1, 0.25), (2.15, 0.65), (1.1, 0.9), (0.45, 1.42), (-1.1, 1.45), (-1.75, 0.98), (-2.1, 0.92), (-2.15, 0.25)]
    )
    narrow = torch.tensor([0.85, 0.9, 0.85, 0.66, 0.66, 0.8, 0.85, 0.88])
    sides = [torch.stack([outline[:, 0], side * narrow, outline[:, 1]], -1) for side in (1.0, -1.0)]
    vertices = torch.cat(sides) * scale
    hull = tube_faces(2, len(outline))
    cap = torch.tensor([[0, i, i + 1] for i in range(1, len(outline) - 1)])
    faces = torch.cat([hull, cap.flip(1), cap + len(outline)])
    wheels = [
        box(dx * scale, dy * scale, (0.62 * scale, 0.2 * scale, 0.5 * scale))
        for dx in (1.35, -1.35)
        for dy in (0.76, -0.76)
    ]
    whole = join(background(vertices[None], faces), *wheels)
    frame = rotation_z(torch.tensor(math.radians(yaw_deg)))
    turned = whole.vertices @ frame.T + torch.tensor([x, y, 0.0])
    return background(turned, whole.faces)
