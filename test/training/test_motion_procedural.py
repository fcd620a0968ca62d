"""The poses made without data, by what a person doing it looks like: distances and directions of the posed body."""

import pytest
import torch
from scipy.spatial.transform import Rotation

from gckpl_ros.body.angles import ACTIVITIES, ANGLES, COLUMN, LIMITS, WEIGHTS, mirror_angles, pose_from_angles, turn
from gckpl_ros.body.body import AnnyBody, Posed, ground
from gckpl_ros.body.kinematics import JOINT, NUM_JOINTS, mirror_pose
from gckpl_ros.skeleton import INDEX
from gckpl_training.motion.library import sample_activity, sample_angles, sample_poses, sample_sequence, walking

N = 200
BODY = AnnyBody()


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def posed(angles: torch.Tensor, alike: bool = False) -> Posed:
    """People facing x, on the ground; of all builds, or all alike."""
    betas = BODY.sample_betas(len(angles), generator(1)) * (not alike)
    return ground(BODY(betas, pose_from_angles(angles), torch.zeros(len(angles), 3)))


def doing(activity: str) -> Posed:
    return posed(sample_activity(activity, N, generator()))


def kp(people: Posed, name: str) -> torch.Tensor:
    return people.keypoints[:, INDEX[name]]


def stature(people: Posed) -> torch.Tensor:
    """Of the same betas standing straight."""
    upright = posed(torch.zeros(len(people.vertices), len(ANGLES)))
    return upright.vertices[..., 2].amax(1)


def only(**degrees: float) -> torch.Tensor:
    angles = torch.zeros(1, len(ANGLES))
    for name, value in degrees.items():
        angles[0, COLUMN[name]] = value
    return angles


@pytest.mark.parametrize(
    ("joint", "end", "angle", "direction"),
    [
        ("left_knee", "left_ankle", {"left_knee": 90}, (-1, 0, 0)),  # heel to the back
        ("right_hip", "right_knee", {"right_hip_flex": 90}, (1, 0, 0)),
        ("left_hip", "left_knee", {"left_hip_abduct": 90}, (0, 1, 0)),  # the left is at +y
        ("right_hip", "right_knee", {"right_hip_abduct": 90}, (0, -1, 0)),
        ("left_shoulder", "left_elbow", {}, (0, 0, -1)),
        ("left_shoulder", "left_elbow", {"left_arm_raise": 90}, (0, 1, 0)),
        ("right_shoulder", "right_elbow", {"right_arm_raise": 90, "right_arm_plane": 90}, (1, 0, 0)),
        ("right_shoulder", "right_elbow", {"right_arm_swing": 90}, (1, 0, 0)),
        ("left_elbow", "left_wrist", {"left_elbow": 90}, (1, 0, 0)),
        ("right_elbow", "right_wrist", {"right_arm_raise": 90, "right_arm_twist": -90, "right_elbow": 90}, (0, 0, 1)),
        ("pelvis", "spine3", {"pitch": 80}, (0.98, 0, 0.17)),
        ("left_hip", "left_knee", {"pitch": 80}, (0, 0, -1)),  # bending over, the legs stay
        ("head", "nose", {"head_turn": 60}, (0.5, 0.87, 0)),
        ("head", "nose", {"head_nod": 40}, (0.77, 0, -0.64)),
    ],
)
def test_each_angle_turns_its_joint_the_anatomical_way(joint: str, end: str, angle: dict, direction: tuple) -> None:
    person = posed(only(**angle))
    if end == "nose":
        bone = (kp(person, "nose") - kp(person, "head_center"))[0]
        straight = posed(only())
        rest = (kp(straight, "nose") - kp(straight, "head_center"))[0]
        direction = torch.tensor(direction) - torch.tensor([1.0, 0, 0]) + rest / rest.norm()
    else:
        bone = (person.joints[:, JOINT[end]] - person.joints[:, JOINT[joint]])[0]
    cosine = torch.nn.functional.cosine_similarity(bone, torch.as_tensor(direction).float(), dim=0)
    assert cosine > 0.98


def test_sampled_angles_keep_the_joint_limits() -> None:
    angles = sample_angles(3000, generator())
    low, high = LIMITS.unbind(1)
    gait = torch.tensor([12.0])  # the gait's swing may pass a limit of slow movement by this much
    assert (angles >= low - gait).all() and (angles <= high + gait).all()
    for name in ("knee", "elbow"):
        for side in ("left", "right"):
            assert angles[:, COLUMN[f"{side}_{name}"]].min() >= 0, "they only flex"
    assert abs(sum(WEIGHTS.values()) - 1) < 1e-6 and set(WEIGHTS) == set(ACTIVITIES)


def test_knees_of_every_pose_bend_backwards() -> None:
    pose = sample_poses(500, generator())
    flexion = Rotation.from_matrix(pose[:, JOINT["left_knee"]].numpy()).as_rotvec(degrees=True)
    assert abs(flexion[:, 1:]).max() < 1e-3 and flexion[:, 0].min() > -1e-3
    assert flexion[:, 0].max() > 100


def test_sitting_people_have_level_thighs_and_hanging_shanks() -> None:
    people = doing("sitting")
    for side in ("left", "right"):
        thigh = kp(people, f"{side}_knee") - kp(people, f"{side}_hip")
        shank = kp(people, f"{side}_ankle") - kp(people, f"{side}_knee")
        assert (thigh[:, 0] > 0.85 * thigh.norm(dim=1)).all()
        assert (shank[:, 2] < -0.75 * shank.norm(dim=1)).all()
    height = people.vertices[..., 2].amax(1) / stature(people)
    assert height.min() > 0.6 and height.max() < 0.85


def test_telephoning_people_hold_one_hand_at_the_ear() -> None:
    people = doing("telephoning")
    center = kp(people, "head_center")
    distances = torch.stack([(kp(people, f"{side}_wrist") - center).norm(dim=1) for side in ("left", "right")])
    assert distances.amin(0).max() < 0.2
    assert distances.amax(0).min() > 0.35, "the other arm hangs"
    left = distances.argmin(0) == 0
    assert 0.35 < left.float().mean() < 0.65
    side = torch.where(left, 1.0, -1.0) * (people.keypoints[:, INDEX["left_wrist"], 1])
    assert (side[left] > 0).all(), "at the ear of its own side"


def test_carrying_and_pushing_people_reach_forward() -> None:
    carrying, pushing = doing("carrying"), doing("pushing")
    for side in ("left", "right"):
        forearm = kp(carrying, f"{side}_wrist") - kp(carrying, f"{side}_elbow")
        assert (forearm[:, 0] > 0.75 * forearm.norm(dim=1)).all()
        upper = kp(carrying, f"{side}_elbow") - kp(carrying, f"{side}_shoulder")
        assert (upper[:, 2] < 0).all()
        reach = kp(pushing, f"{side}_wrist") - kp(pushing, f"{side}_shoulder")
        assert (reach[:, 0] > 0.6 * reach.norm(dim=1)).all()


def test_waving_hand_is_above_its_shoulder_and_pointing_arm_is_straight() -> None:
    people = doing("waving")
    rise = torch.stack([(kp(people, f"{s}_wrist") - kp(people, f"{s}_shoulder"))[:, 2] for s in ("left", "right")])
    assert rise.amax(0).min() > 0.05 and rise.amin(0).max() < -0.1
    people = doing("pointing")
    reach = [(kp(people, f"{s}_wrist") - kp(people, f"{s}_shoulder"))[:, 2].abs() for s in ("left", "right")]
    assert torch.stack(reach).amin(0).max() < 0.35


@pytest.mark.parametrize(("activity", "low", "high"), [("crouching", 0.35, 0.8), ("bending", 0.3, 0.95)])
def test_low_postures_are_low(activity: str, low: float, high: float) -> None:
    people = doing(activity)
    height = people.vertices[..., 2].amax(1) / stature(people)
    assert height.min() > low and height.max() < high


def test_kneeling_people_have_one_knee_near_the_ground() -> None:
    people = doing("kneeling")
    knees = torch.stack([kp(people, f"{side}_knee")[:, 2] for side in ("left", "right")])
    assert knees.amin(0).max() < 0.2 and knees.amax(0).min() > knees.amin(0).max()


def test_standing_people_stand_on_both_feet_with_their_hands_down() -> None:
    people = doing("standing")
    ankles = torch.stack([kp(people, f"{side}_ankle")[:, 2] for side in ("left", "right")])
    assert ankles.max() < 0.2
    assert (people.vertices[..., 2].amax(1) / stature(people)).min() > 0.95
    assert (kp(people, "left_wrist")[:, 2] < kp(people, "left_shoulder")[:, 2]).all()


def test_walking_swings_arms_against_legs_and_repeats() -> None:
    phase = torch.arange(0, 2 * torch.pi, 2 * torch.pi / 32)
    people = posed(walking(phase), alike=True)

    def ahead(side: str, outer: str, inner: str) -> torch.Tensor:
        return (kp(people, f"{side}_{outer}") - kp(people, f"{side}_{inner}"))[:, 0]

    foot, other = ahead("left", "ankle", "hip"), ahead("right", "ankle", "hip")
    for a, b, sign in (("left", "left", -1), ("left", "right", 1)):
        together = torch.corrcoef(torch.stack([ahead(a, "ankle", "hip"), ahead(b, "wrist", "shoulder")]))[0, 1]
        assert sign * together > 0.7
    torch.testing.assert_close(foot, other.roll(16), atol=0.01, rtol=0)  # half a cycle later
    assert foot.max() > 0.2 and foot.min() < -0.2
    torch.testing.assert_close(walking(phase + 2 * torch.pi), walking(phase), atol=1e-3, rtol=0)
    swinging = kp(people, "left_ankle")[:, 2] > kp(people, "right_ankle")[:, 2] + 0.03
    assert foot.diff()[swinging[1:] & swinging[:-1]].mean() > 0, "the lifted foot goes forward"


def test_exchanging_left_and_right_angles_is_the_mirror_of_the_pose() -> None:
    angles = sample_angles(50, generator())
    torch.testing.assert_close(pose_from_angles(mirror_angles(angles)), mirror_pose(pose_from_angles(angles)))


def test_poses_are_rotations_of_all_headings_and_repeat() -> None:
    pose = sample_poses(400, generator(4))
    assert pose.shape == (400, NUM_JOINTS, 3, 3) and pose.dtype == torch.float32
    torch.testing.assert_close(pose @ pose.mT, torch.eye(3).expand_as(pose), atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.linalg.det(pose), torch.ones(400, NUM_JOINTS))
    forward = pose[:, 0, :2, 2]
    quadrant = 2 * (forward[:, 0] > 0).long() + (forward[:, 1] > 0).long()
    assert torch.bincount(quadrant, minlength=4).min() > 60
    assert torch.equal(pose, sample_poses(400, generator(4)))


def test_turning_by_ninety_degrees_faces_left() -> None:
    pose = turn(pose_from_angles(only()), torch.tensor([torch.pi / 2]))
    torch.testing.assert_close(pose[0, 0] @ torch.tensor([0.0, 0, 1]), torch.tensor([0.0, 1, 0]))


def test_sequences_lead_smoothly_from_standing_to_another_pose() -> None:
    motion = sample_sequence(60, 16, generator())
    assert motion.shape == (60, 16, NUM_JOINTS, 3, 3)
    knees = motion[:, 0, [JOINT["left_knee"], JOINT["right_knee"]]]
    flexion = Rotation.from_matrix(knees.flatten(0, 1).numpy()).magnitude()
    assert flexion.max() < 0.15, "standing first"
    relative = (motion[:, :-1].mT @ motion[:, 1:]).flatten(0, 2)
    step = torch.from_numpy(Rotation.from_matrix(relative.numpy()).magnitude()).view(60, 15, NUM_JOINTS)
    assert step.max() < 0.5
    travelled = step.sum(1).amax(1)
    assert (travelled > 0.3).float().mean() > 0.9
    assert step[:, 0].max() < 0.25 * step[:, 7].max(), "starts from rest"
    first, last = motion[:, 0, 0, :, 2], motion[:, -1, 0, :, 2]
    assert ((first[:, :2] * last[:, :2]).sum(1) > -0.1).all(), "turns a quarter at most"
