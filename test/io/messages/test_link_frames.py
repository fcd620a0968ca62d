import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from people import STANDING, frame, posed
from scipy.spatial.transform import Rotation

from gckpl_ros.io.messages.frames import PARENTS, body_frames, link_frames, to_transforms
from gckpl_ros.io.messages.tf import TransformBuffer, TransformError
from gckpl_ros.io.messages.typestore import typestore
from gckpl_ros.skeleton import INDEX, REP155_LINKS

TYPES = typestore().types
LINKS = list(PARENTS)
# Link and far end of each bone.
BONES = [
    (f"{side}_{near}", f"{side}_{far}")
    for side in ("left", "right")
    for near, far in (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"))
]


def links(*people):
    keypoints = np.stack(people).astype(np.float32)
    bodies, valid = body_frames(keypoints)
    assert valid.all()
    return link_frames(keypoints, bodies)


def turn(found, link):
    """How the first person's link is turned against its parent, as a rotation vector in degrees."""
    return np.rad2deg(Rotation.from_quat(found.quaternions[0, LINKS.index(link)]).as_rotvec())


def in_the_cloud(person):
    """T_cloud_link of all links, multiplied along the tree."""
    found = links(person)
    placed = {"body": body_frames(person[None])[0][0]}
    for row, (link, parent) in enumerate(PARENTS.items()):
        T_parent_link = np.eye(4)
        T_parent_link[:3, :3] = Rotation.from_quat(found.quaternions[0, row]).as_matrix()
        T_parent_link[:3, 3] = found.translations[0, row]
        placed[link] = placed[parent] @ T_parent_link
    return placed


def test_the_tree_is_rep_155s():
    assert set(REP155_LINKS.values()) | {"waist", "torso"} == set(PARENTS)
    for side in "lr":
        path = {f"{side}_ankle": f"{side}_knee", f"{side}_knee": f"{side}_hip", f"{side}_hip": "body"}
        path |= {f"{side}_wrist": f"{side}_elbow", f"{side}_elbow": f"{side}_shoulder", f"{side}_shoulder": "torso"}
        assert {link: PARENTS[link] for link in path} == path
    assert (PARENTS["head"], PARENTS["torso"], PARENTS["waist"]) == ("torso", "waist", "body")


@pytest.mark.parametrize("degrees", [0, 90])
def test_somebody_who_stands_upright_has_the_bodys_axes_in_every_link(degrees):
    there = Rotation.from_euler("z", degrees, degrees=True).apply(STANDING) + np.array([5, 6, 0])
    found = links(STANDING, there)
    np.testing.assert_allclose(found.quaternions, np.tile([0, 0, 0, 1], (2, 15, 1)), atol=1e-5)
    places = {"waist": [0, 0, 0], "torso": [0, 0, 0.5], "head": [0, 0, 0.25], "l_shoulder": [0, 0.2, 0]}
    places |= {"r_shoulder": [0, -0.2, 0], "l_elbow": [0, 0, -0.3], "r_wrist": [0, 0, -0.25]}
    places |= {"l_hip": [0, 0.1, 0], "r_hip": [0, -0.1, 0], "l_knee": [0, 0, -0.4], "r_ankle": [0, 0, -0.4]}
    for link, place in places.items():
        np.testing.assert_allclose(found.translations[:, LINKS.index(link)], [place, place], atol=1e-5)
    assert found.valid.all()


@pytest.mark.parametrize(
    "side, elbow, wrist, expected",
    [
        ("left", [0, 0.5, 1.4], [0, 0.75, 1.4], [90, 0, 0]),  # to the side
        ("right", [0, -0.5, 1.4], [0, -0.75, 1.4], [-90, 0, 0]),
        ("left", [0.3, 0.2, 1.4], [0.55, 0.2, 1.4], [0, -90, 0]),  # to the front
        ("right", [-0.3, -0.2, 1.4], [-0.55, -0.2, 1.4], [0, 90, 0]),  # to the back
        ("left", [0, 0.2, 1.7], [0, 0.2, 1.95], [180, 0, 0]),  # up
    ],
)
def test_a_raised_arm_turns_its_shoulder_only(side, elbow, wrist, expected):
    found = links(posed(**{f"{side}_elbow": elbow, f"{side}_wrist": wrist}))
    np.testing.assert_allclose(turn(found, f"{side[0]}_shoulder"), expected, atol=1e-3)
    for link in {*LINKS} - {f"{side[0]}_shoulder"}:
        np.testing.assert_allclose(turn(found, link), [0, 0, 0], atol=1e-3)


def test_a_bent_elbow_turns_against_the_upper_arm():
    found = links(posed(left_wrist=[0.25, 0.2, 1.1], right_elbow=[0.3, -0.2, 1.4], right_wrist=[0.3, -0.2, 1.65]))
    np.testing.assert_allclose(turn(found, "l_elbow"), [0, -90, 0], atol=1e-3)
    np.testing.assert_allclose(turn(found, "l_shoulder"), [0, 0, 0], atol=1e-3)
    np.testing.assert_allclose(turn(found, "r_elbow"), [0, -90, 0], atol=1e-3)
    np.testing.assert_allclose(turn(found, "r_shoulder"), [0, -90, 0], atol=1e-3)
    np.testing.assert_allclose(found.translations[0, LINKS.index("l_wrist")], [0, 0, -0.25], atol=1e-6)


def test_the_head_looks_where_the_nose_is():
    np.testing.assert_allclose(turn(links(posed(nose=[0, 0.1, 1.65])), "head"), [0, 0, 90], atol=1e-3)
    np.testing.assert_allclose(turn(links(posed(nose=[-0.1, 0, 1.75])), "head")[:2], [0, 0], atol=1e-3)
    np.testing.assert_allclose(turn(links(posed(nose=[0, 0, 1.75])), "head"), [0, 0, 0], atol=1e-3)
    forward = posed(head_center=[0.25, 0, 1.4], nose=[0.25, 0, 1.3])
    np.testing.assert_allclose(turn(links(forward), "head"), [0, 90, 0], atol=1e-3)


def test_nothing_jumps_while_an_arm_is_raised_to_the_front_and_over():
    angles = np.deg2rad(np.arange(-60, 176, 5))
    arms = np.stack([np.sin(angles), np.zeros_like(angles), -np.cos(angles)], axis=1)
    shoulder = STANDING[INDEX["left_shoulder"]]
    found = links(*(posed(left_elbow=shoulder + 0.3 * a, left_wrist=shoulder + 0.5 * a) for a in arms))
    turns = Rotation.from_quat(found.quaternions[:, LINKS.index("l_shoulder")])
    np.testing.assert_allclose(np.rad2deg((turns[:-1].inv() * turns[1:]).magnitude()), 5, atol=1e-3)


@given(st.integers(0, 2**32 - 1))
def test_links_multiplied_along_the_tree_give_the_keypoints_back_and_z_runs_along_the_bones(seed):
    person = np.random.default_rng(seed).uniform(-1, 1, (14, 3)).astype(np.float32)
    placed = in_the_cloud(person)
    for keypoint, link in REP155_LINKS.items():
        np.testing.assert_allclose(placed[link][:3, 3], person[INDEX[keypoint]], atol=1e-5)
    bones = [(REP155_LINKS[near], person[INDEX[near]] - person[INDEX[far]]) for near, far in BONES]
    neck = person[INDEX["head_center"]] - person[[INDEX["left_shoulder"], INDEX["right_shoulder"]]].mean(0)
    for link, bone in [*bones, ("head", neck)]:
        np.testing.assert_allclose(placed[link][:3, 2], bone / np.linalg.norm(bone), atol=1e-5)
        np.testing.assert_allclose(placed[link][:3, :3].T @ placed[link][:3, :3], np.eye(3), atol=1e-9)
    to_nose = placed["head"][:3, :3].T @ (person[INDEX["nose"]] - person[INDEX["head_center"]])
    assert to_nose[0] >= 0 and abs(to_nose[1]) < 1e-5


@pytest.mark.parametrize(
    "places, absent",
    [
        ({"left_wrist": [0, 0.2, 1.1]}, {"l_elbow", "l_wrist"}),
        ({"right_elbow": [0, -0.2, 1.4]}, {"r_shoulder", "r_elbow", "r_wrist"}),
        ({"right_ankle": [0, -0.1, 0.5]}, {"r_knee", "r_ankle"}),
        ({"head_center": [0, 0, 1.4]}, {"head"}),
        ({"nose": [0, 0, 1.65]}, set()),
    ],
)
def test_bones_without_length_take_their_links_and_those_below_with_them(places, absent):
    found = links(posed(**places))
    assert {link for link, valid in zip(LINKS, found.valid[0], strict=True) if not valid} == absent
    assert np.isfinite(found.translations).all() and np.isfinite(found.quaternions).all()


def test_transforms_of_links_lead_to_the_keypoints():
    sent = frame(4, 9, 2)
    sent.tracks.skeletons.keypoints[1] = 0  # no body
    sent.tracks.skeletons.keypoints[2, INDEX["left_wrist"]] = sent.tracks.skeletons.keypoints[2, INDEX["left_elbow"]]
    message = to_transforms(sent, TYPES, links=True)
    assert len(message.transforms) == 16 + 14
    assert {t.header.stamp.nanosec for t in message.transforms} == {500_000_001}
    tree = TransformBuffer()
    tree.add(message, static=False)
    for name, place in zip(("l_wrist_4", "r_ankle_2"), ([0, 0.2, 0.85], [20, 19.9, 20.1]), strict=True):
        np.testing.assert_allclose(tree.lookup("lidar", name, sent.stamp_ns)[:3, 3], place, atol=1e-5)
    for name in ("body_9", "waist_9", "l_elbow_2", "l_wrist_2"):
        with pytest.raises(TransformError):
            tree.lookup("lidar", name, sent.stamp_ns)


@pytest.mark.parametrize("ids", [(), (9,)])
def test_nobody_with_a_body_makes_no_transforms(ids):
    sent = frame(*ids, keypoints=np.zeros_like(STANDING))
    assert to_transforms(sent, TYPES, links=True).transforms == []
