"""Dressed people: a posed body in its outfit, as one mesh per person."""

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from gckpl_ros.body.kinematics import JOINT
from gckpl_ros.skeleton import BACKGROUND, INDEX
from gckpl_training.scene.clothing import (
    HAT_POINTS,
    HAT_RINGS,
    LAYERS,
    SKIRT_POINTS,
    SKIRT_RINGS,
    THINGS,
    Outfit,
    clothe,
    fold_basis,
    hat,
    layer_cover,
    normal_ring,
    scalp,
    skirt,
    thigh_radius,
    things,
)
from gckpl_training.scene.meshes import Meshes, box_faces, head_frame, torso_frame, tube_faces

if TYPE_CHECKING:
    from gckpl_ros.body.body import Body, Posed


class Wardrobe:
    """Dresses posed bodies: ``wardrobe(posed, outfit) -> Meshes``; the same outfit in two poses shares all vertices.

    Vertices: first those of the body, then hat, skirt and things. Hats are labelled head_center, skirts hip,
    things BACKGROUND.
    """

    def __init__(self, body: "Body") -> None:
        rest = _rest(body)
        self._ring = normal_ring(rest.vertices[0], body.faces)
        torso = torso_frame(rest.joints)[0]
        local = (rest.vertices[0] - rest.joints[0, JOINT["pelvis"]]) @ torso
        center = rest.keypoints[0, INDEX["head_center"]]
        radius = (rest.keypoints[0, INDEX["nose"]] - center).norm()
        skull = (rest.vertices[0] - center) @ head_frame(rest.joints, rest.keypoints)[0]
        joints = (rest.joints[0] - rest.joints[0, JOINT["pelvis"]]) @ torso
        hair = scalp(skull, radius, body.parts)
        self._cover = layer_cover(body.parts, local, joints[JOINT["left_shoulder"], 1], hair)
        self._folds = fold_basis(local)
        self._trunk = _trunk(local, joints)
        self._thighs = [_thigh(side, body.parts, local, joints) for side in ("left", "right")]
        self.faces, self.labels = _topology(body)
        # The first vertices: body, hat and skirt, not what is carried.
        self.vertices_worn = len(body.parts) + HAT_RINGS * HAT_POINTS + SKIRT_RINGS * SKIRT_POINTS

    def __call__(self, posed: "Posed", outfit: Outfit) -> Meshes:
        """One mesh per posed person in that person's outfit, in the frame of the pose."""
        joints, keypoints = posed.joints, posed.keypoints
        skin = clothe(posed.vertices, self._ring, outfit_layers(outfit) @ self._cover, outfit.folds @ self._folds)
        torso, head = torso_frame(joints), head_frame(joints, keypoints)
        center = keypoints[:, INDEX["head_center"]]
        radius = (keypoints[:, INDEX["nose"]] - center).norm(dim=-1)
        thigh = thigh_radius(skin[:, self._thighs[0]], skin[:, self._thighs[1]], joints)
        trunk = ((skin[:, self._trunk] - joints[:, :1]) * torso[:, None, :, 0]).sum(-1)
        line = 0.65 * ((joints[:, JOINT["neck"]] - joints[:, 0]) * torso[:, :, 0]).sum(-1)
        depth = torch.stack([line - trunk.amin(1), trunk.amax(1)], -1)
        floor = skin[:, :, 2].amin(1)
        parts = [
            skin,
            hat(center, head, radius, outfit.hat),
            skirt(joints, torso, thigh, outfit.skirt),
            things(joints, torso, depth, floor, outfit),
        ]
        return Meshes(torch.cat([part.mT for part in parts], 2).mT, self.faces, self.labels)


def outfit_layers(outfit: Outfit) -> Float[Tensor, "b 5"]:
    """Thickness of the layers; hair is pressed flat under a hat."""
    flat = torch.ones_like(outfit.layers)
    flat[:, LAYERS.index("hair")] = torch.where(outfit.hat[:, 0] > 0, 0.3, 1.0)
    return outfit.layers * flat


def _rest(body: "Body") -> "Posed":
    """The mean body in T-pose."""
    device = body.faces.device
    betas = torch.zeros_like(body.sample_betas(1, torch.Generator(device).manual_seed(0)))
    pose = torch.eye(3, device=device).expand(1, 22, 3, 3)
    return body(betas, pose, torch.zeros(1, 3, device=device))


def _trunk(local: Float[Tensor, "v 3"], joints: Float[Tensor, "22 3"]) -> Tensor:
    """Vertices of the middle of chest and back, whose extremes say how deep a person is."""
    neck, shoulder = joints[JOINT["neck"], 2], joints[JOINT["left_shoulder"], 1]
    inside = (local[:, 2] > 0.3 * neck) & (local[:, 2] < 0.9 * neck) & (local[:, 1].abs() < 0.6 * shoulder)
    return inside.nonzero()[:, 0]


def _thigh(side: str, parts: Tensor, local: Float[Tensor, "v 3"], joints: Float[Tensor, "22 3"]) -> Tensor:
    """Vertices round the thigh, the buttocks left out."""
    hip, knee = joints[JOINT[f"{side}_hip"], 2], joints[JOINT[f"{side}_knee"], 2]
    return ((parts == INDEX[f"{side}_hip"]) & (local[:, 2] < hip + 0.15 * (knee - hip))).nonzero()[:, 0]


def _topology(body: "Body") -> tuple[Tensor, Tensor]:
    """Faces and labels of body, hat, skirt and things together."""
    device, count = body.faces.device, int(body.parts.shape[0])
    hats = tube_faces(HAT_RINGS, HAT_POINTS, device)
    skirts = tube_faces(SKIRT_RINGS, SKIRT_POINTS, device)
    goods = box_faces(len(THINGS), device)
    sizes = (count, HAT_RINGS * HAT_POINTS, SKIRT_RINGS * SKIRT_POINTS)
    starts = torch.tensor(sizes).cumsum(0).tolist()
    faces = torch.cat([body.faces, *(mesh + start for mesh, start in zip((hats, skirts, goods), starts, strict=True))])
    left = skirts[:, 0] % SKIRT_POINTS
    left = (left < SKIRT_POINTS // 4) | (left >= 3 * SKIRT_POINTS // 4)
    labels = [
        body.parts[body.faces].mode(1).values,
        torch.full((len(hats),), INDEX["head_center"], device=device),
        torch.where(left, INDEX["left_hip"], INDEX["right_hip"]),
        torch.full((len(goods),), BACKGROUND, device=device),
    ]
    return faces, torch.cat(labels)
