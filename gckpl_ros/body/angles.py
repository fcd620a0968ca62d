"""Joint angles in anatomical terms: their limits, the ranges (deg) of activities, and the rotations that they make.

A pose is a row of joint angles in degrees, one column per anatomical movement (ANGLES); an activity is a table of the
ranges its angles are drawn from. Zero everywhere is a person standing straight with hanging arms. Side angles exist
twice, "left_..." and "right_..."; all rotations are made for the left side and mirrored to the right.
"""

from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from gckpl_ros.body.kinematics import JOINT, NUM_JOINTS, mirror_pose, upright
from gckpl_ros.geometry import rotation_z

# The ranges of motion of the joints, after the clinical norms of the American Academy of Orthopaedic Surgeons.
_TRUNK_LIMITS: Final = {
    "pitch": (-10, 80),  # trunk forward over the hips: the legs stay where they are
    "lean": (-8, 8),  # whole body to its right
    "spine_bend": (-20, 60),
    "spine_lean": (-25, 25),
    "spine_twist": (-40, 40),
    "head_nod": (-40, 45),
    "head_tilt": (-30, 30),
    "head_turn": (-65, 65),
}
_SIDE_LIMITS: Final = {
    "hip_flex": (-20, 115),  # thigh forward from the vertical
    "hip_abduct": (-10, 45),
    "hip_twist": (-30, 40),
    "knee": (0, 140),
    "ankle": (-40, 25),  # toes up
    "arm_swing": (-40, 90),  # upper arm forward about the body's left-right axis
    "arm_raise": (0, 165),  # upper arm up from hanging, in the vertical plane `arm_plane`
    "arm_plane": (-20, 125),  # 0 sideways, 90 forward, more: across the chest
    "arm_twist": (-90, 60),  # about the upper arm; negative turns the forearm up when the arm is out sideways
    "elbow": (0, 145),
    "forearm_twist": (-70, 70),
}
_STANDING: Final = {
    "pitch": (-2, 4),
    "lean": (-2, 2),
    "spine_bend": (-3, 8),
    "spine_lean": (-3, 3),
    "spine_twist": (-5, 5),
    "head_nod": (-10, 20),
    "head_tilt": (-5, 5),
    "head_turn": (-45, 45),
    "hip_flex": (-3, 6),
    "hip_abduct": (0, 8),
    "hip_twist": (-5, 15),
    "knee": (0, 8),
    "ankle": (-3, 5),
    "arm_swing": (-8, 12),
    "arm_raise": (4, 16),
    "arm_plane": (0, 20),
    "arm_twist": (-10, 25),
    "elbow": (3, 30),
    "forearm_twist": (-20, 30),
}
# What differs from standing. A name without a side means both sides, each drawn on its own.
_ACTIVITIES: Final[dict[str, dict[str, tuple[int, int]]]] = {
    "standing": {},
    "walking": {"hip_flex": (-2, 2), "knee": (0, 4), "arm_swing": (-4, 4), "elbow": (2, 20), "hip_abduct": (-1, 4)},
    "free": {**_TRUNK_LIMITS, **_SIDE_LIMITS, "pitch": (-5, 40), "arm_swing": (-30, 20)},
    "sitting": {
        "pitch": (-8, 20),
        "spine_bend": (0, 30),
        "hip_flex": (78, 98),
        "hip_abduct": (2, 18),
        "knee": (65, 100),
        "ankle": (-10, 12),
        "arm_swing": (5, 40),
        "elbow": (35, 90),
    },
    "telephoning": {
        "head_tilt": (0, 12),
        "head_turn": (-12, 8),
        "right_arm_swing": (0, 0),
        "right_arm_raise": (91, 101),
        "right_arm_plane": (78, 95),
        "right_arm_twist": (6, 20),
        "right_elbow": (132, 143),
        "right_forearm_twist": (-40, 0),
    },
    "carrying": {
        "pitch": (-6, 3),
        "arm_swing": (5, 30),
        "arm_raise": (3, 14),
        "arm_twist": (0, 20),
        "elbow": (65, 100),
    },
    "pushing": {
        "pitch": (4, 20),
        "arm_swing": (60, 88),
        "arm_raise": (2, 10),
        "elbow": (10, 60),
        "left_hip_flex": (0, 30),
        "right_hip_flex": (-18, 5),
        "knee": (5, 25),
    },
    "crouching": {
        "pitch": (15, 45),
        "spine_bend": (10, 35),
        "hip_flex": (75, 100),
        "hip_abduct": (5, 25),
        "knee": (105, 138),
        "ankle": (10, 25),
        "arm_swing": (30, 80),
        "elbow": (10, 80),
    },
    "kneeling": {
        "pitch": (0, 35),
        "left_hip_flex": (96, 110),
        "left_knee": (95, 110),
        "right_hip_flex": (-10, 4),
        "right_knee": (104, 118),
        "right_ankle": (-38, 10),
        "arm_swing": (10, 60),
        "elbow": (10, 80),
    },
    "bending": {
        "pitch": (25, 75),
        "spine_bend": (10, 40),
        "hip_flex": (-10, 15),
        "knee": (5, 40),
        "arm_swing": (50, 90),
        "elbow": (0, 40),
    },
    "waving": {
        "right_arm_raise": (85, 125),
        "right_arm_plane": (-5, 30),
        "right_arm_twist": (-90, -75),
        "right_elbow": (40, 110),
    },
    "pointing": {
        "right_arm_raise": (65, 100),
        "right_arm_plane": (10, 110),
        "right_arm_twist": (-30, 20),
        "right_elbow": (0, 20),
    },
}
WEIGHTS: Final = {
    "standing": 0.10,
    "walking": 0.20,
    "free": 0.28,
    "sitting": 0.09,
    "telephoning": 0.07,
    "carrying": 0.06,
    "pushing": 0.05,
    "crouching": 0.04,
    "kneeling": 0.02,
    "bending": 0.04,
    "waving": 0.03,
    "pointing": 0.02,
}

ANGLES: Final = (*_TRUNK_LIMITS, *(f"{side}_{name}" for side in ("left", "right") for name in _SIDE_LIMITS))
COLUMN: Final = {name: index for index, name in enumerate(ANGLES)}


def _table(ranges: dict[str, tuple[int, int]]) -> Float[Tensor, "a 2"]:
    merged = {**_STANDING, **ranges}
    rows = [merged.get(name, merged.get(name.split("_", 1)[-1])) for name in ANGLES]
    return torch.tensor(rows, dtype=torch.float32)


LIMITS: Final = _table({**_TRUNK_LIMITS, **_SIDE_LIMITS})
ACTIVITIES: Final = {name: _table(ranges) for name, ranges in _ACTIVITIES.items()}
_MIRRORED = [COLUMN[name.replace("left", "#").replace("right", "left").replace("#", "right")] for name in ANGLES]
_SIGNS = [-1.0 if name in ("lean", "spine_lean", "spine_twist", "head_tilt", "head_turn") else 1.0 for name in ANGLES]


def mirror_angles(angles: Float[Tensor, "n a"]) -> Float[Tensor, "n a"]:
    """The same pose with left and right exchanged."""
    return angles[:, _MIRRORED] * torch.tensor(_SIGNS, device=angles.device)


def turn(pose: Float[Tensor, "n 22 3 3"], heading: Float[Tensor, " n"]) -> Float[Tensor, "n 22 3 3"]:
    """Turn whole bodies by `heading` (rad) about the world's z."""
    return torch.cat([_rotation("z", heading.rad2deg())[:, None] @ pose[:, :1], pose[:, 1:]], 1)


def pose_from_angles(angles: Float[Tensor, "n a"]) -> Float[Tensor, "n 22 3 3"]:
    """Local rotations of a person facing x (body axes: x left, y up, z forward), from joint angles in degrees."""
    pose = torch.eye(3, device=angles.device).expand(len(angles), NUM_JOINTS, 3, 3).clone()
    column = {name: angles[:, index] for name, index in COLUMN.items()}
    _left_limbs(pose, column, "right")
    pose = mirror_pose(pose)  # the right limbs were made as left ones
    _trunk(pose, column)
    _left_limbs(pose, column, "left")
    return pose


def _trunk(pose: Float[Tensor, "n 22 3 3"], column: dict[str, Tensor]) -> None:
    pose[:, JOINT["pelvis"]] = upright(pose) @ _rotation("z", column["lean"]) @ _rotation("x", column["pitch"])
    third = [column[name] / 3 for name in ("spine_twist", "spine_lean", "spine_bend")]
    half = [column[name] / 2 for name in ("head_turn", "head_tilt", "head_nod")]
    for joint in ("spine1", "spine2", "spine3"):
        pose[:, JOINT[joint]] = _rotation("y", third[0]) @ _rotation("z", third[1]) @ _rotation("x", third[2])
    for joint in ("neck", "head"):
        pose[:, JOINT[joint]] = _rotation("y", half[0]) @ _rotation("z", half[1]) @ _rotation("x", half[2])


def _left_limbs(pose: Float[Tensor, "n 22 3 3"], column: dict[str, Tensor], side: str) -> None:
    angle = {name.removeprefix(f"{side}_"): value for name, value in column.items() if name.startswith(side)}
    hip = _rotation("x", -column["pitch"] - angle["hip_flex"]) @ _rotation("z", angle["hip_abduct"])
    plane = _rotation("y", -angle["arm_plane"])
    raised = _rotation("x", -angle["arm_swing"]) @ plane @ _rotation("z", angle["arm_raise"]) @ plane.mT
    shoulder = raised @ _rotation("z", torch.full_like(angle["elbow"], -90))  # the T-pose's arm hangs down
    pose[:, JOINT["left_hip"]] = hip @ _rotation("y", angle["hip_twist"])
    pose[:, JOINT["left_knee"]] = _rotation("x", angle["knee"])
    pose[:, JOINT["left_ankle"]] = _rotation("x", -angle["ankle"])
    pose[:, JOINT["left_shoulder"]] = shoulder @ _rotation("x", angle["arm_twist"])
    pose[:, JOINT["left_elbow"]] = _rotation("y", -angle["elbow"]) @ _rotation("x", angle["forearm_twist"])


def _rotation(axis: str, degrees: Float[Tensor, " n"]) -> Float[Tensor, "n 3 3"]:
    shift = "zxy".index(axis)
    return rotation_z(degrees.deg2rad()).roll((shift, shift), (1, 2))
