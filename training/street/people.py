"""The people of the street over time: chosen bodies, dressed, walked through their scripts."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from gckpl_training.body import Body
from gckpl_training.kinematics import NUM_JOINTS, upright
from gckpl_training.motion.procedural import pose_from_angles, turn
from gckpl_training.scene import Meshes, Outfit, Wardrobe, sample_outfit
from gckpl_training.scene.outfit import THINGS
from gckpl_training.street.gait import STEP_S, Script, advance, angles_over_time, feet_of, headings, pelvis_path
from gckpl_training.street.terrain import Ground

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
