"""The vocabulary hangs together: a tree of limbs, pairs that mirror, names that REP-155 knows."""

import pytest

from gckpl_ros.skeleton import (
    BACKGROUND,
    CONNECTORS,
    GROUPS,
    INDEX,
    KEYPOINTS,
    LEFT_RIGHT,
    LIMBS,
    MIRROR,
    NUM_KEYPOINTS,
    NUM_PARTS,
    PARTS,
    REP155_LINKS,
)


def test_keypoints_are_waymos_fourteen() -> None:
    assert NUM_KEYPOINTS == 14
    assert KEYPOINTS[0] == "nose" and KEYPOINTS[-1] == "head_center"
    assert sum(name.startswith("left_") for name in KEYPOINTS) == sum(n.startswith("right_") for n in KEYPOINTS) == 6


def test_parts_are_the_keypoints_and_background() -> None:
    assert NUM_PARTS == 15
    assert PARTS[:NUM_KEYPOINTS] == KEYPOINTS
    assert PARTS[BACKGROUND] == "background"


def test_mirror_is_an_involution_that_moves_all_but_the_head() -> None:
    assert [MIRROR[MIRROR[index]] for index in range(NUM_KEYPOINTS)] == list(range(NUM_KEYPOINTS))
    assert {index for index in range(NUM_KEYPOINTS) if MIRROR[index] == index} == {0, 13}


def test_pairs_are_what_the_mirror_exchanges() -> None:
    assert len(LEFT_RIGHT) == 6
    for left, right in LEFT_RIGHT:
        assert KEYPOINTS[left].removeprefix("left_") == KEYPOINTS[right].removeprefix("right_")
        assert (MIRROR[left], MIRROR[right]) == (right, left)


def test_limbs_are_a_forest_in_which_each_child_has_one_parent() -> None:
    children = [child for _, child in LIMBS]
    assert len(LIMBS) == 11 and len(set(children)) == 11
    roots = set(range(NUM_KEYPOINTS)) - set(children)
    assert {KEYPOINTS[root] for root in roots} == {"head_center", "left_shoulder", "right_shoulder"}


def test_limbs_and_connectors_mirror_into_themselves() -> None:
    assert {(MIRROR[a], MIRROR[b]) for a, b in LIMBS} == set(LIMBS)
    assert {frozenset((MIRROR[a], MIRROR[b])) for a, b in CONNECTORS} == {frozenset(c) for c in CONNECTORS}


def test_drawn_lines_reach_every_keypoint_in_one_piece() -> None:
    reached = {INDEX["nose"]}
    for _ in KEYPOINTS:
        reached |= {end for line in LIMBS + CONNECTORS if reached & set(line) for end in line}
    assert reached == set(range(NUM_KEYPOINTS))


def test_groups_split_the_keypoints() -> None:
    members = [index for group in GROUPS.values() for index in group]
    assert sorted(members) == list(range(NUM_KEYPOINTS))
    assert {KEYPOINTS[index] for index in GROUPS["wrists"]} == {"left_wrist", "right_wrist"}


@pytest.mark.parametrize(
    ("keypoint", "link"),
    [("head_center", "head"), ("left_shoulder", "l_shoulder"), ("right_ankle", "r_ankle"), ("left_hip", "l_hip")],
)
def test_rep155_links(keypoint: str, link: str) -> None:
    assert REP155_LINKS[keypoint] == link


def test_rep155_links_are_unique_and_leave_out_the_nose() -> None:
    assert len(set(REP155_LINKS.values())) == len(REP155_LINKS) == 13
    assert "nose" not in REP155_LINKS
