"""REP-155 link frames: where the links of a body are and how they are turned, each relative to its parent.

Of somebody who stands with hanging arms every link has the body's axes (x forward, y left, z up). Else z runs along the
link's bone, from its far end to the link's own keypoint, and a link is turned against its parent no more than that
needs: 14 points do not tell how far a limb is twisted about its own axis. So no axis jumps while a limb moves, save
where it points straight along its parent's z (an arm overhead), which counts as raised sideways. Hands and feet have no
bones here: a wrist is turned as its elbow, an ankle as its knee. The head looks at the nose.
"""

from typing import Any, Final, NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Float64
from scipy.spatial.transform import Rotation

from gckpl_ros.io.messages.skeletons import to_header
from gckpl_ros.io.messages.typestore import MessageTypes
from gckpl_ros.skeleton import INDEX, KEYPOINTS, REP155_BODY, REP155_LINKS
from gckpl_ros.types import Bodies, Frame


def _limbs(arm: str, leg: str) -> list[int]:
    return [INDEX[f"{side}_{joint}"] for joint in (arm, leg) for side in ("left", "right")]


def _names(keypoints: list[int]) -> list[str]:
    return [REP155_LINKS[KEYPOINTS[keypoint]] for keypoint in keypoints]


_NOSE, _HEAD = INDEX["nose"], INDEX["head_center"]
_ROOTS, _MIDDLES, _ENDS = _limbs("shoulder", "hip"), _limbs("elbow", "knee"), _limbs("wrist", "ankle")
# The parent of each link, in the order of LinkFrames; parents go before their children.
PARENTS: Final = {
    "waist": REP155_BODY,
    "torso": "waist",
    "head": "torso",
    **dict(zip(_names(_ROOTS), ("torso", "torso", REP155_BODY, REP155_BODY), strict=True)),
    **dict(zip(_names(_MIDDLES), _names(_ROOTS), strict=True)),
    **dict(zip(_names(_ENDS), _names(_MIDDLES), strict=True)),
}
_LEAST_M = 1e-6


class LinkFrames(NamedTuple):
    """T_parent_link of b people, links in the order of PARENTS; where not ``valid``, a bone has no length."""

    translations: Float64[np.ndarray, "b 15 3"]
    quaternions: Float64[np.ndarray, "b 15 4"]
    valid: Bool[np.ndarray, "b 15"]


def link_frames(keypoints: Float32[np.ndarray, "b 14 3"], T_cloud_body: Float64[np.ndarray, "b 4 4"]) -> LinkFrames:
    """All links of people who have a body frame; torso is the middle of the shoulders, waist that of the hips."""
    points = (keypoints - T_cloud_body[:, None, :3, 3]) @ T_cloud_body[:, :3, :3]
    head, roots, middles, ends = points[:, _HEAD], points[:, _ROOTS], points[:, _MIDDLES], points[:, _ENDS]
    waist, torso = np.zeros_like(head), roots[:, :2].mean(axis=1)
    gaze, has_head = _gaze(head - torso, points[:, _NOSE] - head)
    upper, has_upper = _swing(roots - middles)
    lower, has_lower = _swing(_seen_from(upper, middles - ends))
    has_lower &= has_upper
    to_head = np.stack([waist, torso, head - torso], axis=1)
    to_roots = roots - np.stack([torso, torso, waist, waist], axis=1)
    to_middles = _seen_from(upper, middles - roots)
    to_ends = _seen_from(lower, _seen_from(upper, ends - middles))
    unturned, sure = np.tile([0.0, 0, 0, 1], (len(points), 4, 1)), np.ones((len(points), 2), bool)
    return LinkFrames(
        np.concatenate([to_head, to_roots, to_middles, to_ends], axis=1),
        np.concatenate([unturned[:, :2], gaze[:, None], upper, lower, unturned], axis=1),
        np.concatenate([sure, has_head[:, None], has_upper, has_lower, has_lower], axis=1),
    )


def _swing(bones: Float64[np.ndarray, "*n 3"]) -> tuple[Float64[np.ndarray, "*n 4"], Bool[np.ndarray, "*n"]]:
    """The smallest rotations (xyzw) that bring z onto bones, and whether a bone is long enough to have a direction."""
    lengths = np.linalg.norm(bones, axis=-1, keepdims=True)
    x, y, z = np.moveaxis(bones / np.maximum(lengths, _LEAST_M), -1, 0)
    quaternions = np.stack([-y, x, np.zeros_like(x), 1 + z], axis=-1)
    quaternions[1 + z < 1e-12] = 1, 0, 0, 0
    return quaternions / np.linalg.norm(quaternions, axis=-1, keepdims=True), lengths[..., 0] > _LEAST_M


def _gaze(
    neck: Float64[np.ndarray, "b 3"], nose: Float64[np.ndarray, "b 3"]
) -> tuple[Float64[np.ndarray, "b 4"], Bool[np.ndarray, " b"]]:
    """z along the neck, x as near to the nose as that allows; a nose right above the head turns nothing."""
    swing, valid = _swing(neck)
    x, y, _ = _seen_from(swing, nose).T
    turn = Rotation.from_rotvec(np.arctan2(y, x)[:, None] * [0, 0, 1])
    return (Rotation.from_quat(swing) * turn).as_quat(), valid


def _seen_from(quaternions: Float64[np.ndarray, "*n 4"], vectors: Float64[np.ndarray, "*n 3"]) -> np.ndarray:
    """Vectors along the axes of frames that are turned by quaternions."""
    turned: np.ndarray = Rotation.from_quat(quaternions.reshape(-1, 4)).inv().apply(vectors.reshape(-1, 3))
    return turned.reshape(vectors.shape)


# REP-155 frames of people as TF: the body is at the mid-hips, x forward out of it, y left, z to the head.

_HIPS = [INDEX["left_hip"], INDEX["right_hip"]]
_SHOULDERS = [INDEX["left_shoulder"], INDEX["right_shoulder"]]


def body_frames(
    keypoints: Float32[np.ndarray, "b 14 3"],
) -> tuple[Float64[np.ndarray, "b 4 4"], Bool[np.ndarray, " b"]]:
    """T_cloud_body of each person, and whether there is one: hips and shoulders in one line span no body."""
    hips, shoulders = keypoints[:, _HIPS].astype(np.float64), keypoints[:, _SHOULDERS].astype(np.float64)
    up = shoulders.mean(1) - hips.mean(1)
    left = (hips[:, 0] - hips[:, 1]) + (shoulders[:, 0] - shoulders[:, 1])
    forward = np.cross(left, up)
    valid = np.linalg.norm(forward, axis=1) > 1e-6
    forward, up = forward[valid], up[valid]
    x = forward / np.linalg.norm(forward, axis=1, keepdims=True)
    z = up / np.linalg.norm(up, axis=1, keepdims=True)
    frames = np.tile(np.eye(4), (len(keypoints), 1, 1))
    frames[valid, :3, :3] = np.stack([x, np.cross(z, x), z], axis=2)
    frames[:, :3, 3] = hips.mean(1)
    return frames, valid


# With a body: links are turned as its joints are. Where SMPL's T-pose has the arms out, a link's axes are those
# of somebody with hanging arms.

_AXES: Final = np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])  # body axes (x left, y up, z forward) seen from a link's
_JOINT_OF_LINK: Final = {"waist": "pelvis", "torso": "spine3", "head": "head"} | {
    f"{side[0]}_{joint}": f"{side}_{joint}"
    for side in ("left", "right")
    for joint in ("shoulder", "hip", "elbow", "knee", "wrist", "ankle")
}


def turned_links(
    bodies: Bodies, keypoints: Float32[np.ndarray, "b 14 3"]
) -> tuple[Float64[np.ndarray, "b 4 4"], LinkFrames]:
    """T_cloud_body of people with a body, and their links: places of keypoints, rotations of the body's joints."""
    rotations = _global(bodies.rotations.astype(np.float64))
    R_cloud_link = {REP155_BODY: rotations[:, 0] @ _AXES.T}
    for link, joint in _JOINT_OF_LINK.items():
        hang = Rotation.from_euler("z", _DOWN.get(joint, 0.0), degrees=True).as_matrix()
        R_cloud_link[link] = rotations[:, _JOINTS.index(joint)] @ hang.T @ _AXES.T
    middle = {REP155_BODY: keypoints[:, _HIPS].mean(1), "waist": keypoints[:, _HIPS].mean(1)}
    places = middle | {"torso": keypoints[:, _SHOULDERS].mean(1)}
    places |= {link: keypoints[:, INDEX[name]] for name, link in REP155_LINKS.items()}
    frames = np.tile(np.eye(4), (len(bodies), 1, 1))
    frames[:, :3, :3], frames[:, :3, 3] = R_cloud_link[REP155_BODY], places[REP155_BODY]
    translations, quaternions = [], []
    for link, parent in PARENTS.items():
        R_parent_cloud = R_cloud_link[parent].swapaxes(1, 2)
        translations.append((R_parent_cloud @ (places[link] - places[parent])[..., None])[..., 0])
        quaternions.append(Rotation.from_matrix(R_parent_cloud @ R_cloud_link[link]).as_quat())
    valid = np.ones((len(bodies), len(PARENTS)), bool)
    return frames, LinkFrames(np.stack(translations, 1), np.stack(quaternions, 1), valid)


# SMPL's joints and what each hangs on, and how far (deg) an arm's joints turn about z from the T-pose to hanging arms.
_JOINTS: Final = (
    *("pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle", "right_ankle"),
    *("spine3", "left_foot", "right_foot", "neck", "left_collar", "right_collar", "head", "left_shoulder"),
    *("right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist"),
)
_ABOVE: Final = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19)
_DOWN: Final = {
    f"{side}_{joint}": turn
    for side, turn in (("left", -90.0), ("right", 90.0))
    for joint in ("shoulder", "elbow", "wrist")
}


def _global(local: Float64[np.ndarray, "b 22 3 3"]) -> Float64[np.ndarray, "b 22 3 3"]:
    found: np.ndarray = local.copy()
    for joint, parent in enumerate(_ABOVE[1:], 1):
        found[:, joint] = found[:, parent] @ local[:, joint]
    return found


def to_odometry(frame: Frame, T_odom_cloud: Float64[np.ndarray, "4 4"], types: MessageTypes) -> Any:
    """A geometry_msgs/TransformStamped that hangs odom on the cloud's frame, so that no frame gets a second parent."""
    T_cloud_odom = np.linalg.inv(T_odom_cloud)
    quaternion = Rotation.from_matrix(T_cloud_odom[:3, :3]).as_quat().tolist()
    header = to_header(frame.stamp_ns, frame.frame_id, types)
    return _to_stamped(header, "odom", T_cloud_odom[:3, 3].tolist(), quaternion, types)


def to_transforms(frame: Frame, types: MessageTypes, links: bool = False) -> Any:
    """A tf2_msgs/TFMessage with body_<id> of every person, child of the cloud's frame; ``links``: and all its links.

    Of people with a fitted body they are turned as that is.
    """
    keypoints, ids = frame.tracks.skeletons.keypoints, frame.tracks.ids
    T_cloud_body, valid = body_frames(keypoints)
    poses = link_frames(keypoints[valid], T_cloud_body[valid])
    T_cloud_body, keypoints, ids = T_cloud_body[valid], keypoints[valid], ids[valid]
    bodies = frame.bodies
    if bodies is not None and len(bodies):
        _, rows, theirs = np.intersect1d(ids, bodies.ids, return_indices=True)
        T_cloud_body[rows], exact = turned_links(bodies[theirs], keypoints[rows])
        for told, better in zip(poses, exact, strict=True):
            told[rows] = better
    header = to_header(frame.stamp_ns, frame.frame_id, types)
    quaternions = Rotation.from_matrix(T_cloud_body[:, :3, :3]).as_quat().tolist()
    transforms = [
        _to_stamped(header, f"{REP155_BODY}_{person}", translation, quaternion, types)
        for person, translation, quaternion in zip(
            ids.tolist(), T_cloud_body[:, :3, 3].tolist(), quaternions, strict=True
        )
    ]
    if links and len(ids):
        transforms += _to_links(ids.tolist(), poses, header, types)
    return types["tf2_msgs/msg/TFMessage"](transforms=transforms)


def _to_links(ids: list[int], poses: LinkFrames, header: Any, types: MessageTypes) -> list[Any]:
    parent_header = types["std_msgs/msg/Header"]
    rows = zip(ids, *(values.tolist() for values in poses), strict=True)
    return [
        _to_stamped(
            parent_header(stamp=header.stamp, frame_id=f"{parent}_{person}"),
            f"{link}_{person}",
            translation,
            quaternion,
            types,
        )
        for person, translations, quaternions, valid in rows
        for (link, parent), translation, quaternion, has in zip(
            PARENTS.items(), translations, quaternions, valid, strict=True
        )
        if has
    ]


def _to_stamped(header: Any, child: str, translation: list[float], quaternion: list[float], types: MessageTypes) -> Any:
    x, y, z = translation
    qx, qy, qz, qw = quaternion
    return types["geometry_msgs/msg/TransformStamped"](
        header=header,
        child_frame_id=child,
        transform=types["geometry_msgs/msg/Transform"](
            translation=types["geometry_msgs/msg/Vector3"](x=x, y=y, z=z),
            rotation=types["geometry_msgs/msg/Quaternion"](x=qx, y=qy, z=qz, w=qw),
        ),
    )
