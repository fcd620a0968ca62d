"""The people of the street over time: chosen bodies, dressed, walked through their scripts."""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from gckpl_ros.body.angles import COLUMN, pose_from_angles, turn
from gckpl_ros.body.body import Body
from gckpl_ros.body.kinematics import JOINT, NUM_JOINTS, upright
from gckpl_training.motion.library import sample_activity, walking
from gckpl_training.scene import Meshes, Outfit, Wardrobe, sample_outfit
from gckpl_training.scene.clothing import THINGS
from gckpl_training.street.terrain import Ground

# People who walk, stand, wave, crouch and telephone over time: joint angles by script, feet that hardly slide.
#
# The way a person makes is not drawn but follows from the gait: while a foot stands, the pelvis moves over it.

STEP_S = 0.02  # fine enough to see which foot stands
BLEND_S = 0.9
STEADINESS = 0.8


@dataclass(frozen=True)
class Cue:
    """From ``time_s`` on: an activity of gckpl_ros.body.angles, with steps of ``stride`` (0 = in place)."""

    time_s: float
    activity: str
    stride: float = 0.0
    heading_deg: float | None = None


@dataclass(frozen=True)
class Script:
    """What one person does: where it starts (m), where it looks (deg), how fast it steps, how its way bends."""

    start: tuple[float, float]
    heading_deg: float
    cues: tuple[Cue, ...]
    cadence_hz: float = 0.95
    bend_deg_per_m: float = 0.0
    phase: float = 0.0


def angles_over_time(
    script: Script, times: Float[Tensor, " t"], generator: torch.Generator
) -> tuple[Float[Tensor, "t a"], Float[Tensor, " t"]]:
    """Joint angles (deg) at each time, blended from cue to cue in joint angles, and the stride at each time."""
    angles: Tensor | None = None
    stride = torch.zeros_like(times)
    for cue in script.cues:
        share = _smooth((times - cue.time_s) / BLEND_S) if angles is not None else torch.ones_like(times)
        pose = sample_activity(cue.activity, 1, generator).expand(len(times), -1)
        pose = pose + _waving(times, pose) if cue.activity == "waving" else pose
        angles = pose if angles is None else torch.lerp(angles, pose, share[:, None])
        stride = torch.lerp(stride, torch.full_like(times, cue.stride), share)
    assert angles is not None, "a script has at least one cue"
    phase = script.phase + 2 * math.pi * script.cadence_hz * times
    return angles + stride[:, None] * walking(phase) + _alive(times, script.phase), stride


def headings(script: Script, times: Float[Tensor, " t"]) -> Float[Tensor, " t"]:
    """Heading (rad) at each time as far as the cues turn it; the bend of the way comes on top."""
    heading = torch.full_like(times, script.heading_deg)
    for cue in script.cues:
        if cue.heading_deg is not None:
            heading = torch.lerp(
                heading, torch.full_like(times, cue.heading_deg), _smooth((times - cue.time_s) / BLEND_S)
            )
    return heading.deg2rad()


def advance(feet: Float[Tensor, "t 2 3"], stride: Float[Tensor, " t"], cadence_hz: float) -> Float[Tensor, " t"]:
    """Metres walked at each time: the lower foot stays, so the pelvis moves by that foot's backward motion.

    ``feet`` are left and right foot relative to the pelvis of a person that looks along x.
    """
    back = -(feet[1:, :, 0] - feet[:-1, :, 0])
    height = (feet[1:, :, 2] + feet[:-1, :, 2]) / 2
    stance = torch.softmax(-height / 0.01, -1)
    step = (back * stance).sum(-1) * (stride[1:] > 0.02)
    # Bodies carry their momentum through a step: most of the unevenness within one is averaged away.
    window = 2 * round(0.25 / cadence_hz / STEP_S) + 1
    even = torch.nn.functional.avg_pool1d(step[None], window, 1, window // 2, count_include_pad=False)[0]
    return torch.cat([torch.zeros(1), torch.lerp(step, even, STEADINESS).cumsum(0)])


def pelvis_path(script: Script, walked: Float[Tensor, " t"], heading: Float[Tensor, " t"]) -> Float[Tensor, "t 3"]:
    """x, y (m) and final heading (rad) at each time after ``walked`` metres."""
    heading = heading + walked * math.radians(script.bend_deg_per_m)
    step = torch.diff(walked, prepend=walked[:1])
    x = script.start[0] + (step * heading.cos()).cumsum(0)
    y = script.start[1] + (step * heading.sin()).cumsum(0)
    return torch.stack([x, y, heading], -1)


def feet_of(joints: Float[Tensor, "t 22 3"]) -> Float[Tensor, "t 2 3"]:
    """Left and right foot relative to the pelvis: the middle between ankle and toes."""
    sides = [(joints[:, JOINT[f"{side}_ankle"]] + joints[:, JOINT[f"{side}_foot"]]) / 2 for side in ("left", "right")]
    return torch.stack(sides, 1) - joints[:, :1]


def _smooth(share: Tensor) -> Tensor:
    share = share.clamp(0, 1)
    return share * share * (3 - 2 * share)


def _waving(times: Float[Tensor, " t"], pose: Float[Tensor, "t a"]) -> Float[Tensor, "t a"]:
    """The raised arm swings to and fro."""
    side = max(("left", "right"), key=lambda name: float(pose[0, COLUMN[f"{name}_arm_raise"]]))
    swing = torch.zeros_like(pose)
    swing[:, COLUMN[f"{side}_elbow"]] = 18 * torch.sin(2 * math.pi * 1.4 * times)
    swing[:, COLUMN[f"{side}_arm_raise"]] = 8 * torch.sin(2 * math.pi * 1.4 * times + 0.6)
    return swing


def _alive(times: Float[Tensor, " t"], phase: float) -> Float[Tensor, "t a"]:
    """Nobody stands quite still: slow sway of a degree or two."""
    sway = torch.zeros(len(times), len(COLUMN))
    for rank, name in enumerate(
        ("spine_bend", "spine_lean", "spine_twist", "head_turn", "left_arm_swing", "right_elbow")
    ):
        rate = 0.9 + 0.23 * rank
        sway[:, COLUMN[name]] = (3 if name == "head_turn" else 1.2) * torch.sin(rate * times + phase + 2 * rank)
    return sway


CANDIDATES = 300


@dataclass(frozen=True)
class Walker:
    """One person at t times in the odom frame (m): dressed meshes, keypoints, heading (rad), velocity (m/s)."""

    meshes: Meshes
    keypoints: Float[Tensor, "t 14 3"]
    heading: Float[Tensor, " t"]
    velocity: Float[Tensor, "t 3"]


def walker(
    stature_m: float,
    script: Script,
    times: Float[Tensor, " t"],
    body: Body,
    wardrobe: Wardrobe,
    ground: Ground,
    generator: torch.Generator,
) -> Walker:
    """Walk a person of about that stature through its script; the feet stand on the ground."""
    betas = _of_stature(stature_m, body, generator)
    outfit = _everyday(generator)
    angles, path = _walked(script, float(times[-1]), betas, body, generator)
    sample = (times / STEP_S).round().long()
    pose = turn(pose_from_angles(angles[sample]), path[sample, 2])
    at = torch.nn.functional.pad(path[sample, :2], (0, 1))
    posed = body(betas.expand(len(times), -1), pose, at)
    lift = ground.height(path[sample, :2]) - posed.vertices[..., 2].amin(1)
    up = torch.nn.functional.pad(lift[:, None], (2, 0))
    worn = Outfit(**{name: value.expand(len(times), *value.shape[1:]) for name, value in vars(outfit).items()})
    meshes = wardrobe(posed, worn).moved(up)
    speed = torch.diff(path[:, :2], dim=0, append=path[-1:, :2])[sample] / STEP_S
    velocity = torch.nn.functional.pad(speed, (0, 1))
    return Walker(meshes, posed.keypoints + up[:, None], path[sample, 2], velocity)


def _walked(
    script: Script, seconds: float, betas: Tensor, body: Body, generator: torch.Generator
) -> tuple[Float[Tensor, "s a"], Float[Tensor, "s 3"]]:
    """Joint angles and (x, y, heading) at every STEP_S."""
    fine = torch.arange(round(seconds / STEP_S) + 1) * STEP_S
    angles, stride = angles_over_time(script, fine, generator)
    joints = body(betas.expand(len(fine), -1), pose_from_angles(angles), torch.zeros(len(fine), 3)).joints
    return angles, pelvis_path(script, advance(feet_of(joints), stride, script.cadence_hz), headings(script, fine))


def _of_stature(stature_m: float, body: Body, generator: torch.Generator) -> Float[Tensor, "1 s"]:
    """The one of many sampled people whose head's centre is nearest to where it is on somebody of that stature."""
    betas = body.sample_betas(CANDIDATES, generator)
    pose = torch.eye(3).expand(CANDIDATES, NUM_JOINTS, 3, 3).clone()
    pose[:, 0] = upright(pose)
    vertices = body(betas, pose, torch.zeros(CANDIDATES, 3)).vertices
    stature = vertices[..., 2].amax(1) - vertices[..., 2].amin(1)
    return betas[(stature - stature_m).abs().argmin()][None]


def _everyday(generator: torch.Generator) -> Outfit:
    """An outfit whose things need no hands: no carried box, no cart."""
    outfit = sample_outfit(1, generator)
    sizes = outfit.sizes.clone()
    sizes[:, [THINGS.index("carried"), THINGS.index("cart")]] = 0
    return replace(outfit, sizes=sizes)
