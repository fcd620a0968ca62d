"""The joint angles of the procedural poses, and the ranges (deg) that each activity draws them from.

Zero everywhere is a person standing straight with hanging arms. Side angles exist twice, "left_..." and "right_...".
"""

from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

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
