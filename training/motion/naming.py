"""Which joint of a BVH file carries which of SMPL's 22 joints, by the naming schemes in use."""

from dataclasses import dataclass
from typing import Final

from gckpl_ros.errors import InputError

CMU_UNIT_M: Final = 0.0254 / 0.45  # the length unit of the CMU releases
_LIMBS: Final = ("hip", "knee", "ankle", "foot", "collar", "shoulder", "elbow", "wrist")
# Bones that are straight in the T-pose: joint, its child, direction in body axes.
STRAIGHT: Final = tuple(
    (f"{side}_{joint}", f"{side}_{child}", direction)
    for side, x in (("left", 1.0), ("right", -1.0))
    for joint, child, direction in (
        ("hip", "knee", (0.0, -1.0, 0.0)),
        ("knee", "ankle", (0.0, -1.0, 0.0)),
        ("shoulder", "elbow", (x, 0.0, 0.0)),
        ("elbow", "wrist", (x, 0.0, 0.0)),
    )
)


@dataclass(frozen=True)
class Naming:
    """File joint of each SMPL joint: where it lies, and which one's orientation it takes (they differ at the neck)."""

    position: dict[str, str]
    orientation: dict[str, str]
    unit_m: float
    first_frame_is_tpose: bool


def _naming(trunk: str, neck: str, left: str, right: str, limbs: str, unit_m: float, tpose_first: bool) -> Naming:
    position = dict(zip(("pelvis", "spine1", "spine2", "spine3", "neck", "head"), trunk.split(), strict=True))
    for side, prefix in (("left", left), ("right", right)):
        position |= {f"{side}_{ours}": prefix + theirs for ours, theirs in zip(_LIMBS, limbs.split(), strict=True)}
    return Naming(position, {**position, "neck": neck}, unit_m, tpose_first)


_ARMS_LEGS = "UpLeg Leg Foot ToeBase Shoulder Arm ForeArm Hand"
NAMINGS: Final = {
    "MotionBuilder": _naming(
        "Hips LowerBack Spine Spine1 Neck Head", "Neck1", "Left", "Right", _ARMS_LEGS, CMU_UNIT_M, True
    ),
    "3ds Max": _naming(
        "Hips lowerback Chest Chest2 lowerneck Head",
        "Neck",
        "Left",
        "Right",
        "Hip Knee Ankle Toe Collar Shoulder Elbow Wrist",
        CMU_UNIT_M,
        True,
    ),
    "DAZ": _naming(
        "hip hip abdomen chest neck head",
        "neck",
        "l",
        "r",
        "Thigh Shin Foot Foot Collar Shldr ForeArm Hand",
        0.01,
        False,
    ),
    "Mixamo": _naming("Hips Spine Spine1 Spine2 Neck Head", "Neck", "Left", "Right", _ARMS_LEGS, 0.01, False),
}


def naming_of(names: tuple[str, ...]) -> Naming:
    """The first scheme whose joints are all there; raises InputError that lists what the nearest one misses."""
    missing = {
        scheme: sorted({*naming.position.values(), *naming.orientation.values()} - set(names))
        for scheme, naming in NAMINGS.items()
    }
    scheme = min(missing, key=lambda key: len(missing[key]))
    if missing[scheme]:
        raise InputError(f"unknown joint names; nearest is {scheme}, which needs also {', '.join(missing[scheme])}")
    return NAMINGS[scheme]
