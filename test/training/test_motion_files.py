"""Motion readers on files written here, whose motion is known by hand."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from gckpl_ros.body.body import AnnyBody
from gckpl_ros.body.kinematics import JOINT, JOINTS, NUM_JOINTS
from gckpl_ros.errors import InputError
from gckpl_training.motion import files as bvh
from gckpl_training.motion import read_motion
from gckpl_training.motion.files import read_mocap

SQRT_HALF = 0.5**0.5


def skeleton(left_arm: str, right_arm: str, trunk: str = "Spine Spine1 Spine2 Neck", prefix: str = "") -> str:
    """HIERARCHY text in centimetres; the arms point along the given offsets."""

    def joint(names: list[str], offsets: list[str], inside: str = "") -> str:
        name, offset, rest = names[0], offsets[0], names[1:]
        child = joint(rest, offsets[1:], inside) if rest else inside or "End Site\n{\nOFFSET 0 1 0\n}\n"
        channels = "CHANNELS 3 Zrotation Xrotation Yrotation"
        return f"JOINT {prefix}{name}\n{{\nOFFSET {offset}\n{channels}\n{child}}}\n"

    sides = {"Left": ("", left_arm), "Right": ("-", right_arm)}
    legs = "".join(
        joint([s + n for n in ("UpLeg", "Leg", "Foot", "ToeBase")], [f"{x}10 0 0", "0 -40 0", "0 -40 0", "0 -5 15"])
        for s, (x, _) in sides.items()
    )
    arms = "".join(
        joint([s + n for n in ("Shoulder", "Arm", "ForeArm", "Hand")], [f"{x}5 15 0", f"{x}10 0 0", arm, arm])
        for s, (x, arm) in sides.items()
    )
    *spine, neck = trunk.split()
    top = joint([neck, *(["Neck1"] if "LowerBack" in trunk else []), "Head"], ["0 20 0"] + ["0 8 2"] * 2)
    body = legs + joint(spine, ["0 10 0"] * len(spine), arms + top)
    channels = "CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation"
    return f"HIERARCHY\nROOT {prefix}Hips\n{{\nOFFSET 0 0 0\n{channels}\n{body}}}\n"


def with_motion(hierarchy: str, *frames: dict[str, tuple[float, ...]]) -> str:
    """Append frames: joint -> channel values (Z, X, Y rotations in degrees; x y z before them for the root)."""
    names = [line.split()[1] for line in hierarchy.splitlines() if line.startswith(("ROOT", "JOINT"))]
    rows = [[v for n in names for v in frame.get(n, (0,) * (6 if n.endswith("Hips") else 3))] for frame in frames]
    lines = [" ".join(map(str, row)) for row in rows]
    return "\n".join([hierarchy + "MOTION", f"Frames: {len(rows)}", "Frame Time: 0.05", *lines]) + "\n"


def test_bvh_forward_kinematics_by_hand() -> None:
    text = """HIERARCHY
ROOT A
{
  OFFSET 1 2 3
  CHANNELS 6 Xposition Yposition Zposition Yrotation Xrotation Zrotation
  JOINT B
  {
    OFFSET 0 2 0
    CHANNELS 3 Zrotation Xrotation Yrotation
    JOINT C
    {
      OFFSET 1 0 0
      CHANNELS 3 zrotation xrotation yrotation
      End Site
      {
        OFFSET 0 1 0
      }
    }
  }
}
MOTION
Frames: 2
Frame Time: 0.0333333
10 20 30 0 0 0 0 0 0 0 0 0
10 20 30 90 90 0 90 0 0 0 0 0
"""
    rotations, positions = bvh.parse(text).pose()
    np.testing.assert_allclose(positions[0], [[10, 20, 30], [10, 22, 30], [11, 22, 30]])
    # Ry(90) Rx(90) takes y to z to x, so B lies 2 along x; Rz(90) first takes C's x to y, hence also to x.
    np.testing.assert_allclose(positions[1], [[10, 20, 30], [12, 20, 30], [13, 20, 30]], atol=1e-12)
    np.testing.assert_allclose(rotations[1, 0] @ [1, 0, 0], [0, 0, -1], atol=1e-12)


def test_bvh_becomes_a_clip_with_the_same_gestures(tmp_path: Path) -> None:
    bent = {"mixamorig:Hips": (100, 90, 50, 0, 0, 0), "mixamorig:LeftForeArm": (0, 0, -90)}
    turned = {"mixamorig:Hips": (0, 90, 0, 0, 0, 90), "mixamorig:RightLeg": (0, 60, 0)}
    path = tmp_path / "anna" / "gesture.bvh"
    path.parent.mkdir()
    path.write_text(with_motion(skeleton("25 0 0", "-25 0 0", prefix="mixamorig:"), {}, bent, turned))
    (clip,) = read_motion(path)
    assert (clip.name, clip.subject, clip.fps, len(clip)) == ("gesture", "anna", 20.0, 3)
    # The file is y-up in centimetres: its (x, y, z) is our (x, -z, y) in metres.
    np.testing.assert_allclose(clip.translation, [[0, 0, 0], [1, -0.5, 0.9], [0, 0, 0.9]], atol=1e-6)
    upright = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]])
    identity = np.eye(3)
    np.testing.assert_allclose(clip.pose[0, 0], upright, atol=1e-6)
    for joint in set(range(1, NUM_JOINTS)) - {JOINT["left_elbow"], JOINT["neck"], JOINT["head"]}:
        np.testing.assert_allclose(clip.pose[1, joint], identity, atol=1e-6)
    posed = AnnyBody()(torch.zeros(3, 16), clip.pose, clip.translation)
    elbow, wrist = posed.joints[1, JOINT["left_elbow"]], posed.joints[1, JOINT["left_wrist"]]
    forearm = (wrist - elbow) / (wrist - elbow).norm()
    np.testing.assert_allclose(forearm, [0, -1, 0], atol=1e-3)  # forward: the file's z
    np.testing.assert_allclose(clip.pose[2, 0] @ torch.tensor([0.0, 0, 1]), [1, 0, 0], atol=1e-6)  # faces the file's x
    knee = Rotation.from_matrix(clip.pose[2, JOINT["right_knee"]].numpy()).as_rotvec(degrees=True)
    np.testing.assert_allclose(knee, [60, 0, 0], atol=1e-4)


def test_bvh_takes_its_first_frame_for_the_tpose_where_the_naming_says_so(tmp_path: Path) -> None:
    """The rest pose has hanging arms; frame 0 raises them to the T-pose, frame 1 hangs them again."""
    tpose = {"LeftArm": (90, 0, 0), "RightArm": (-90, 0, 0)}
    hierarchy = skeleton("0 -25 0", "0 -25 0", trunk="LowerBack Spine Spine1 Neck")
    path = tmp_path / "cmu.bvh"
    path.write_text(with_motion(hierarchy, tpose, {}))
    clip = bvh.read_bvh(path, unit_m=0.01, fps=120.0)
    assert len(clip) == 1 and clip.fps == 120
    for side, degrees in (("left", -90), ("right", 90)):
        shoulder = Rotation.from_matrix(clip.pose[0, JOINT[f"{side}_shoulder"]].numpy()).as_rotvec(degrees=True)
        np.testing.assert_allclose(shoulder, [0, 0, degrees], atol=1e-4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a complete BVH"),
        (with_motion(skeleton("25 0 0", "-25 0 0"), {})[:-20], "not a complete BVH"),
        (with_motion(skeleton("25 0 0", "-25 0 0"), {}).replace("Yrotation", "Wrotation"), "Wrotation"),
        (with_motion(skeleton("25 0 0", "-25 0 0"), {}).replace("LeftHand", "Claw"), "needs also LeftHand"),
        (with_motion(skeleton("0 -25 0", "0 -25 0"), {}), "no T-pose"),
        (with_motion(skeleton("25 0 0", "-25 0 0", "LowerBack Spine Spine1 Neck"), {}), "nothing but the T-pose"),
    ],
)
def test_bvh_says_what_is_wrong(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.bvh"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as raised:
        read_motion(path)
    assert str(path) in str(raised.value)


def test_amass_axis_angles_become_rotations(tmp_path: Path) -> None:
    poses = np.random.default_rng(0).normal(size=(5, 156)) * 0.5
    trans = np.arange(15.0).reshape(5, 3)
    path = tmp_path / "subject7" / "walk_poses.npz"
    path.parent.mkdir()
    np.savez(path, poses=poses, trans=trans, mocap_framerate=np.array(120.0), gender="neutral")
    (clip,) = read_motion(path)
    expected = Rotation.from_rotvec(poses[:, :66].reshape(-1, 3)).as_matrix().reshape(5, 22, 3, 3)
    np.testing.assert_allclose(clip.pose, expected, atol=1e-6)
    assert (clip.fps, clip.subject, clip.name) == (120.0, "subject7", "walk_poses")
    # The pelvis is a fixed distance from the origin that AMASS translates.
    np.testing.assert_allclose(
        clip.translation.numpy() - trans, np.tile([[-0.0022, -0.2408, 0.0286]], (5, 1)), atol=1e-5
    )


def test_amass_says_what_is_wrong(tmp_path: Path) -> None:
    good = {"poses": np.zeros((2, 156)), "trans": np.zeros((2, 3)), "mocap_framerate": np.array(60.0)}
    bad = {
        "lacks mocap_framerate": {k: v for k, v in good.items() if k != "mocap_framerate"},
        "not .t, 66 or more.": {**good, "poses": np.zeros((2, 63))},
        "no numbers": {**good, "trans": np.full((2, 3), np.nan)},
    }
    for index, (message, arrays) in enumerate(bad.items()):
        np.savez(tmp_path / f"{index}.npz", **arrays)
        with pytest.raises(InputError, match=message):
            read_motion(tmp_path / f"{index}.npz")
    np.save(tmp_path / "array.npy", np.zeros(3))
    (tmp_path / "array.npy").rename(tmp_path / "array.npz")
    with pytest.raises(InputError, match="single array"):
        read_motion(tmp_path / "array.npz")


def packed() -> dict[str, np.ndarray]:
    quarter = [SQRT_HALF, 0, 0, SQRT_HALF]  # 90 degrees about z, w first
    quat = np.zeros((5, 22, 4), np.float16)
    quat[..., 0] = 1
    quat[3, 0] = quarter
    return {
        "quat_wxyz": quat,
        "trans": np.arange(15, dtype=np.float32).reshape(5, 3),
        "start": np.array([0, 3, 5], np.int32),
        "name": np.array(["01_01", "02_05"]),
        "subject": np.array([1, 2], np.int16),
        "split": np.array(["train", "val"]),
        "fps": np.array([30, 60], np.float32),
        "joint_names": np.array(JOINTS),
    }


def test_packed_set_is_cut_into_clips(tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", **packed())
    first, second = read_motion(tmp_path / "set.npz")
    assert [len(first), len(second)] == [3, 2]
    assert (second.name, second.subject, second.split, second.fps) == ("02_05", "2", "val", 60.0)
    np.testing.assert_allclose(second.pose[0, 0], [[0, -1, 0], [1, 0, 0], [0, 0, 1]], atol=1e-3)
    np.testing.assert_allclose(torch.linalg.det(second.pose), np.ones((2, 22)), atol=1e-5)
    np.testing.assert_array_equal(second.translation, [[9, 10, 11], [12, 13, 14]])
    (val,) = read_mocap(tmp_path / "set.npz", "val")
    assert val.name == "02_05"
    with pytest.raises(InputError, match="no clip in split 'test'"):
        read_mocap(tmp_path / "set.npz", "test")
    np.savez(tmp_path / "other.npz", **{**packed(), "joint_names": np.array(JOINTS)[::-1]})
    with pytest.raises(InputError, match="joint_names"):
        read_motion(tmp_path / "other.npz")


def test_a_folder_is_read_whole(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no \.bvh or \.npz"):
        read_motion(tmp_path)
    np.savez(tmp_path / "set.npz", **packed())
    (tmp_path / "a.bvh").write_text(with_motion(skeleton("25 0 0", "-25 0 0"), {}, {}))
    assert [clip.name for clip in read_motion(tmp_path)] == ["a", "01_01", "02_05"]
    with pytest.raises(InputError, match=r"gone\.bvh"):
        read_motion(tmp_path / "gone.bvh")
