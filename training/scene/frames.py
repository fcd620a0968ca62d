"""Frames that ride with a body: columns are forward, left, up."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from gckpl_ros.skeleton import INDEX
from gckpl_training.kinematics import JOINT


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
