"""The vocabulary: keypoints, limbs, left/right pairs, body parts, and their names in ROS (REP-155).

The 14 keypoints are the Waymo Open Dataset's laser keypoints. Left and right are the person's own. All but the
nose lie inside the body where bones meet. Body parts are named by keypoint: part ``j`` is the rigid piece of the
body that hangs on keypoint ``j`` (GC-KPL, CVPR 2023, section 3: W in R^{N x (J+1)}), the last label is background.
"""

from typing import Final

KEYPOINTS: Final = (
    "nose",
    "left_shoulder",
    "left_elbow",
    "left_wrist",
    "left_hip",
    "left_knee",
    "left_ankle",
    "right_shoulder",
    "right_elbow",
    "right_wrist",
    "right_hip",
    "right_knee",
    "right_ankle",
    "head_center",
)
NUM_KEYPOINTS: Final = len(KEYPOINTS)
INDEX: Final = {name: index for index, name in enumerate(KEYPOINTS)}


def _pairs(*names: tuple[str, str]) -> tuple[tuple[int, int], ...]:
    return tuple((INDEX[a], INDEX[b]) for a, b in names)


# Bones as (parent, child): the limbs of GC-KPL's losses; the points of a limb carry its parent's part label.
LIMBS: Final = _pairs(
    ("head_center", "nose"),
    ("left_shoulder", "left_elbow"),
    ("left_elbow", "left_wrist"),
    ("left_shoulder", "left_hip"),
    ("left_hip", "left_knee"),
    ("left_knee", "left_ankle"),
    ("right_shoulder", "right_elbow"),
    ("right_elbow", "right_wrist"),
    ("right_shoulder", "right_hip"),
    ("right_hip", "right_knee"),
    ("right_knee", "right_ankle"),
)
# Lines that only a drawing needs, to close the trunk and to carry the head.
CONNECTORS: Final = _pairs(
    ("left_shoulder", "right_shoulder"),
    ("left_hip", "right_hip"),
    ("left_shoulder", "head_center"),
    ("right_shoulder", "head_center"),
)
LEFT_RIGHT: Final = tuple(
    (INDEX[name], INDEX[name.replace("left", "right")]) for name in KEYPOINTS if name.startswith("left")
)
# Keypoint order after a mirror: left and right change places.
MIRROR: Final = tuple(
    INDEX[name.replace("left", "#").replace("right", "left").replace("#", "right")] for name in KEYPOINTS
)
# The keypoint groups of Waymo's tables.
GROUPS: Final = {
    group: tuple(index for index, name in enumerate(KEYPOINTS) if name.endswith(suffixes))
    for group, suffixes in {
        "head": ("nose", "head_center"),
        "shoulders": ("shoulder",),
        "elbows": ("elbow",),
        "wrists": ("wrist",),
        "hips": ("hip",),
        "knees": ("knee",),
        "ankles": ("ankle",),
    }.items()
}

PARTS: Final = (*KEYPOINTS, "background")
NUM_PARTS: Final = len(PARTS)
BACKGROUND: Final = NUM_PARTS - 1

# REP-155 link of each keypoint; a person's frames are these with `_<id>` appended. The nose has no link of its own.
REP155_LINKS: Final = {
    name: "head" if name == "head_center" else name.replace("left_", "l_").replace("right_", "r_")
    for name in KEYPOINTS
    if name != "nose"
}
REP155_TRUNK: Final = ("waist", "torso")
REP155_BODY: Final = "body"
