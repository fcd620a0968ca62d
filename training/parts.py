"""Which body part each vertex belongs to: the ground truth of GC-KPL's segmentation W."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from gckpl_ros.skeleton import INDEX

FACE_RADIUS_M = 0.08
# The part that moves with a joint; joints that are not named here belong to the trunk.
_PART_OF_JOINT = {
    **{f"{side}_{joint}": f"{side}_{joint}" for side in ("left", "right") for joint in ("shoulder", "elbow", "wrist")},
    **{f"{side}_{joint}": f"{side}_{joint}" for side in ("left", "right") for joint in ("hip", "knee", "ankle")},
    **{f"{side}_hand": f"{side}_wrist" for side in ("left", "right")},
    **{f"{side}_foot": f"{side}_ankle" for side in ("left", "right")},
    "neck": "head_center",
    "head": "head_center",
}


def label_vertices(
    weights: Float[Tensor, "v j"],
    joints: Sequence[str],
    vertices: Float[Tensor, "v 3"],
    keypoints: Float[Tensor, "14 3"],
) -> Int64[Tensor, " v"]:
    """Label each vertex 0..13 by the joint that moves it most; rest pose, body axes (x left, y up).

    The trunk is cut in four, at its middle and halfway between shoulders and hips; the head's vertices
    near the nose are the nose's.
    """
    of_joint = torch.tensor([INDEX.get(_PART_OF_JOINT.get(name, ""), -1) for name in joints], device=weights.device)
    labels = of_joint[weights.argmax(1)]
    middle = (keypoints[INDEX["left_shoulder"], 1] + keypoints[INDEX["left_hip"], 1]) / 2
    left, above = vertices[:, 0] > 0, vertices[:, 1] > middle
    upper = torch.where(left, INDEX["left_shoulder"], INDEX["right_shoulder"])
    lower = torch.where(left, INDEX["left_hip"], INDEX["right_hip"])
    labels = torch.where(labels < 0, torch.where(above, upper, lower), labels)
    face = (vertices - keypoints[INDEX["nose"]]).norm(dim=1) < FACE_RADIUS_M
    return torch.where(face & (labels == INDEX["head_center"]), INDEX["nose"], labels)
