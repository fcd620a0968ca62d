"""Motion files: BVH (text, kinematics in its own axes, the way to SMPL's 22 joints), AMASS, packed motion capture."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import roma
import torch
from jaxtyping import Float64
from scipy.spatial.transform import Rotation

from gckpl_ros.body.export import AMASS_PELVIS_M
from gckpl_ros.body.kinematics import JOINT, JOINTS, NUM_JOINTS, PARENTS
from gckpl_ros.errors import InputError
from gckpl_ros.files import array_names, load_arrays
from gckpl_training.motion.library import Clip

# Which joint of a BVH file carries which of SMPL's 22 joints, by the naming schemes in use.

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


_CHANNELS = {f"{axis}{kind}" for axis in "XYZ" for kind in ("position", "rotation")}
_MAX_BEND_DEG = 40.0  # of a limb from the T-pose; more, and the reference frame is something else
Y_UP_TO_Z_UP = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])


@dataclass(frozen=True)
class Hierarchy:
    """A BVH file: joints in file order (end sites left out), degrees and the file's own length unit and axes."""

    names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: Float64[np.ndarray, "j 3"]
    channels: tuple[tuple[str, ...], ...]
    frames: Float64[np.ndarray, "t c"]
    frame_time_s: float

    def rest(self) -> "Hierarchy":
        """One frame with every channel zero."""
        zero = np.zeros_like(self.frames[:1])
        return Hierarchy(self.names, self.parents, self.offsets, self.channels, zero, self.frame_time_s)

    def pose(self) -> tuple[Float64[np.ndarray, "t j 3 3"], Float64[np.ndarray, "t j 3"]]:
        """Global rotations and positions of every joint in every frame."""
        count = len(self.frames)
        rotations, positions = np.zeros((count, len(self.names), 3, 3)), np.zeros((count, len(self.names), 3))
        column = 0
        for joint, (parent, channels) in enumerate(zip(self.parents, self.channels, strict=True)):
            values = self.frames[:, column : column + len(channels)]
            column += len(channels)
            shift, turn = _local(values, channels, self.offsets[joint], is_root=parent < 0)
            if parent < 0:
                rotations[:, joint], positions[:, joint] = turn, shift
                continue
            rotations[:, joint] = rotations[:, parent] @ turn
            positions[:, joint] = positions[:, parent] + (rotations[:, parent] @ shift[..., None])[..., 0]
        return rotations, positions


def parse(text: str) -> Hierarchy:
    """Read BVH text; raises InputError when it is none or is cut short."""
    try:
        head, motion = text.split("MOTION", 1)
        names, parents, offsets, channels = _parse_hierarchy(head)
        lines = motion.strip().splitlines()
        count, frame_time = int(lines[0].split(":")[1]), float(lines[1].split(":")[1])
        frames = np.array(" ".join(lines[2 : 2 + count]).split(), float).reshape(count, sum(map(len, channels)))
        if not (count and frame_time > 0 and np.isfinite(frames).all()):
            raise ValueError("no frames, or values that are no numbers")
    except (ValueError, IndexError) as error:
        raise InputError(f"not a complete BVH file: {error}") from error
    return Hierarchy(tuple(names), tuple(parents), np.array(offsets), tuple(channels), frames, frame_time)


def read_bvh(path: str | Path, unit_m: float | None = None, fps: float | None = None) -> Clip:
    """A clip of a y-up BVH file; `unit_m` is the file's length unit and `fps` its rate where the header is wrong.

    Known namings: MotionBuilder (Mixamo too), 3ds Max and DAZ of the CMU releases. The folder's name is the subject.
    """
    path = Path(path)
    try:
        bvh = parse(path.read_text(errors="replace"))
        naming = naming_of(bvh.names)
        pose, translation = retarget(bvh, naming)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    pose[:, 0] = Y_UP_TO_Z_UP @ pose[:, 0]
    translation = translation * (unit_m or naming.unit_m) @ Y_UP_TO_Z_UP.T
    rate = fps or 1 / bvh.frame_time_s
    tensors = [torch.from_numpy(array).float() for array in (pose, translation)]
    return Clip(tensors[0], tensors[1], rate, path.stem, path.parent.name)


def retarget(bvh: Hierarchy, naming: Naming) -> tuple[Float64[np.ndarray, "t 22 3 3"], Float64[np.ndarray, "t 3"]]:
    """Local rotations of SMPL's joints relative to an exact T-pose, and the root's position in file units."""
    reference = bvh if naming.first_frame_is_tpose else bvh.rest()
    R_ref, p_ref = (array[0] for array in reference.pose())
    R, p = (array[int(naming.first_frame_is_tpose) :] for array in bvh.pose())
    if not len(R):
        raise InputError("holds nothing but the T-pose of its first frame")
    place = [bvh.names.index(naming.position[joint]) for joint in JOINTS]
    facing = [bvh.names.index(naming.orientation[joint]) for joint in JOINTS]
    G = R[:, facing] @ R_ref[facing].swapaxes(-1, -2)
    offsets = p_ref[place] - p_ref[[place[max(parent, 0)] for parent in PARENTS]]
    _straighten(G, offsets)
    # Two joints of the file lie between neck and head; the one rotation of ours must aim at the head.
    neck, head = JOINT["neck"], JOINT["head"]
    aimed = _aim(G[:, neck] @ offsets[head], p[:, place[head]] - p[:, place[neck]])
    G[:, neck] = aimed @ G[:, neck]
    local = G.copy()
    local[:, 1:] = G[:, PARENTS[1:]].swapaxes(-1, -2) @ G[:, 1:]
    return local, p[:, place[0]].copy()


def _straighten(G: np.ndarray, offsets: np.ndarray) -> None:
    """Express rotations relative to a T-pose with straight limbs, where the file's reference has them bent."""
    for joint, child, direction in STRAIGHT:
        Q = _aim(offsets[JOINT[child]][None], np.array(direction)[None])[0]
        bend_deg = np.rad2deg(Rotation.from_matrix(Q).magnitude())
        if bend_deg > _MAX_BEND_DEG:
            raise InputError(f"reference is no T-pose, facing z, y up: {joint} is {bend_deg:.0f} degrees off")
        carried = [JOINT[joint]]
        if child.endswith(("ankle", "wrist")):  # feet and hands go along with the bone above
            carried.append(JOINT[child])
        for index in carried:
            G[:, index] = G[:, index] @ Q.T
            kids = [k for k, parent in enumerate(PARENTS) if parent == index]
            offsets[kids] = offsets[kids] @ Q.T


def _aim(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Smallest rotation of each row of `source` to the direction of the row of `target`."""
    a, b = (v / np.linalg.norm(v, axis=-1, keepdims=True).clip(1e-9) for v in np.broadcast_arrays(source, target))
    quaternion = np.concatenate([np.cross(a, b), 1 + (a * b).sum(-1, keepdims=True)], -1)
    quaternion[np.linalg.norm(quaternion, axis=-1) < 1e-9] = (0, 0, 1, 0)  # opposite: any half turn
    return Rotation.from_quat(quaternion).as_matrix()


def _local(
    values: np.ndarray, channels: tuple[str, ...], offset: np.ndarray, is_root: bool
) -> tuple[np.ndarray, np.ndarray]:
    shift = np.tile(offset, (len(values), 1))
    turns = [i for i, channel in enumerate(channels) if channel.endswith("rotation")]
    for i, channel in enumerate(channels):
        if channel.endswith("position"):
            axis = "XYZ".index(channel[0])
            shift[:, axis] = values[:, i] + (0 if is_root else offset[axis])
    if not turns:
        return shift, np.tile(np.eye(3), (len(values), 1, 1))
    order = "".join(channels[i][0] for i in turns)
    return shift, Rotation.from_euler(order, values[:, turns], degrees=True).as_matrix()


def _parse_hierarchy(head: str) -> tuple[list[str], list[int], list[list[float]], list[tuple[str, ...]]]:
    names: list[str] = []
    parents: list[int] = []
    offsets: list[list[float]] = []
    channels: list[tuple[str, ...]] = []
    stack: list[int] = []
    opened = -1  # the joint whose brace comes next; -1 for an end site
    for words in filter(None, map(str.split, head.splitlines())):
        if words[0] in ("ROOT", "JOINT"):
            names.append(words[1].split(":")[-1])  # "mixamorig:Hips"
            parents.append(stack[-1] if stack else -1)
            opened = len(names) - 1
        elif words[0] == "End":
            opened = -1
        elif words[0] == "{":
            stack.append(opened)
        elif words[0] == "}":
            stack.pop()
        elif words[0] == "OFFSET" and stack[-1] >= 0:
            offsets.append([float(value) for value in words[1:4]])
        elif words[0] == "CHANNELS":
            channels.append(tuple(word.capitalize() for word in words[2:]))
    if not names or not len(names) == len(offsets) == len(channels):
        raise ValueError("a joint lacks OFFSET or CHANNELS")
    unknown = {channel for joint in channels for channel in joint} - _CHANNELS
    if unknown:
        raise ValueError(f"channel {unknown.pop()}")
    return names, parents, offsets, channels


# AMASS: SMPL-family poses as axis-angle vectors, z-up, metres (Mahmood et al. 2019).


def read_amass(path: str | Path) -> Clip:
    """One AMASS .npz (poses, trans, mocap_framerate); the folder's name is the subject; raises InputError."""
    path = Path(path)
    rate = next((key for key in ("mocap_framerate", "mocap_frame_rate") if key in array_names(path)), "mocap_framerate")
    data = load_arrays(path, "poses", "trans", rate)
    poses, trans, fps = data["poses"].astype(np.float32), data["trans"].astype(np.float32), float(data[rate])
    if poses.ndim != 2 or poses.shape[1] < 3 * NUM_JOINTS or trans.shape != (len(poses), 3) or not len(poses):
        raise InputError(f"{path}: poses {poses.shape} and trans {trans.shape} are not (t, 66 or more) and (t, 3)")
    if not (np.isfinite(poses).all() and np.isfinite(trans).all() and fps > 0):
        raise InputError(f"{path}: poses, trans or {rate} hold values that are no numbers")
    vectors = torch.from_numpy(poses[:, : 3 * NUM_JOINTS].copy()).unflatten(1, (NUM_JOINTS, 3))
    translation = torch.from_numpy(trans) + torch.tensor(AMASS_PELVIS_M)
    return Clip(roma.rotvec_to_rotmat(vectors), translation, fps, path.stem, path.parent.name)


# The packed motion capture set: many clips in one .npz, quaternions (w first) of SMPL's 22 joints.


def is_packed(path: str | Path) -> bool:
    """Whether the .npz holds a packed set; raises InputError when it is no .npz."""
    return "quat_wxyz" in array_names(path)


def read_mocap(path: str | Path, split: str | None = None) -> list[Clip]:
    """Clips of a packed set, all or one split ("train", "val"); raises InputError when keys are missing."""
    data = load_arrays(path, "quat_wxyz", "trans", "start", "name", "subject", "split", "fps", "joint_names")
    if tuple(data["joint_names"].tolist()) != JOINTS:
        raise InputError(f"{path}: joint_names are not SMPL's 22 joints")
    quat = torch.from_numpy(data["quat_wxyz"].astype(np.float32))
    pose = roma.unitquat_to_rotmat(roma.quat_normalize(roma.quat_wxyz_to_xyzw(quat)))
    translation = torch.from_numpy(data["trans"].astype(np.float32))
    spans = list(zip(data["start"][:-1].tolist(), data["start"][1:].tolist(), strict=True))
    clips = [
        Clip(pose[a:b], translation[a:b], float(fps), str(name), str(subject), str(part))
        for (a, b), fps, name, subject, part in zip(
            spans, data["fps"], data["name"], data["subject"], data["split"], strict=True
        )
        if split is None or part == split
    ]
    if not clips:
        raise InputError(f"{path} has no clip in split '{split}'; it has {sorted(set(data['split'].tolist()))}")
    return clips


def read_motion(path: str | Path) -> list[Clip]:
    """Clips of a .bvh file, an AMASS .npz, a packed set (.npz), or a folder with such files; raises InputError."""
    path = Path(path)
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.suffix.lower() in (".bvh", ".npz"))
        if not files:
            raise InputError(f"no .bvh or .npz file in {path}")
        return [clip for file in files for clip in read_motion(file)]
    if path.suffix.lower() == ".bvh":
        return [read_bvh(path)]
    return read_mocap(path) if is_packed(path) else [read_amass(path)]
