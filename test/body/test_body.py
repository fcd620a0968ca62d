"""The shipped body against a plain numpy skinning of the same file, against geometry, and against real statures."""

from pathlib import Path

import numpy as np
import open3d as o3d
import pytest
import roma
import torch

from gckpl_ros.body.body import ASSET, AnnyBody, Posed, ground, load_body, move
from gckpl_ros.body.kinematics import (
    JOINT,
    MIRROR_JOINTS,
    NUM_JOINTS,
    PARENTS,
    mirror_pose,
    mirror_translation,
    upright,
)
from gckpl_ros.errors import InputError
from gckpl_ros.skeleton import INDEX, LEFT_RIGHT, MIRROR, NUM_KEYPOINTS
from gckpl_training.motion.library import sample_poses


@pytest.fixture(scope="module")
def body() -> AnnyBody:
    return AnnyBody()


def tpose(n: int) -> torch.Tensor:
    pose = torch.eye(3).repeat(n, NUM_JOINTS, 1, 1)
    pose[:, 0] = upright(pose)
    return pose


def people(body: AnnyBody, n: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return body.sample_betas(n, generator), sample_poses(n, generator), torch.randn(n, 3, generator=generator)


def reference(betas: np.ndarray, pose: np.ndarray, translation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and joints of one person: joint by joint, vertex by vertex, homogeneous matrices, float64."""
    z = {key: value.astype(float) for key, value in np.load(ASSET).items() if value.dtype.kind != "U"}
    vertices = z["v_template"] + np.tensordot(betas, z["v_shape"], 1)
    joints = z["j_template"] + np.tensordot(betas, z["j_shape"], 1)
    weights = z["weights"] / z["weights"].sum(1, keepdims=True)
    world = [np.eye(4) for _ in PARENTS]
    for j, q in enumerate(PARENTS):
        local = np.eye(4)
        local[:3, :3] = pose[j]
        local[:3, 3] = translation if q < 0 else z["rest_to_tpose"][q] @ (joints[j] - joints[q])
        world[j] = local if q < 0 else world[q] @ local
    posed = np.zeros_like(vertices)
    for j, T in enumerate(world):
        to_joint = (vertices - joints[j]) @ z["rest_to_tpose"][j].T
        posed += weights[:, j : j + 1] * (to_joint @ T[:3, :3].T + T[:3, 3])
    return posed, np.array([T[:3, 3] for T in world])


def test_agrees_with_plain_skinning(body: AnnyBody) -> None:
    betas, pose, translation = people(body, 3)
    posed = body(betas, pose, translation)
    for i in range(3):
        vertices, joints = reference(*(x[i].double().numpy() for x in (betas, pose, translation)))
        np.testing.assert_allclose(posed.vertices[i], vertices, atol=1e-5)
        np.testing.assert_allclose(posed.joints[i], joints, atol=1e-5)


def test_tpose_has_straight_level_arms_and_upright_legs(body: AnnyBody) -> None:
    joints = body(torch.zeros(1, 16), tpose(1), torch.tensor([[1.0, 2.0, 3.0]])).joints[0]
    assert joints[JOINT["pelvis"]].tolist() == [1, 2, 3]
    for side, y in (("left", 1.0), ("right", -1.0)):
        shoulder, elbow, wrist = (joints[JOINT[f"{side}_{name}"]] for name in ("shoulder", "elbow", "wrist"))
        for bone in (elbow - shoulder, wrist - elbow):
            torch.testing.assert_close(bone / bone.norm(), torch.tensor([0, y, 0]), atol=1e-3, rtol=0)
        hip, knee, ankle = (joints[JOINT[f"{side}_{name}"]] for name in ("hip", "knee", "ankle"))
        for bone in (knee - hip, ankle - knee):
            torch.testing.assert_close(bone / bone.norm(), torch.tensor([0, 0, -1.0]), atol=1e-3, rtol=0)
        assert joints[JOINT[f"{side}_foot"]][0] > ankle[0] + 0.05, "toes point forward, along x"


def test_moves_rigidly_with_the_root(body: AnnyBody) -> None:
    betas, pose, translation = people(body, 4)
    R, t = roma.random_rotmat(), torch.tensor([3.0, -2.0, 0.5])
    turned = torch.cat([R @ pose[:, :1], pose[:, 1:]], 1)
    before, after = body(betas, pose, translation), body(betas, turned, translation @ R.T + t)
    for a, b in zip(values(before), values(after), strict=True):
        torch.testing.assert_close(a @ R.T + t, b, atol=1e-5, rtol=0)


def test_keypoints_are_joints_by_name_and_the_nose_looks_forward(body: AnnyBody) -> None:
    posed = body(torch.zeros(1, 16), tpose(1), torch.zeros(1, 3))
    for name in ("left_shoulder", "right_wrist", "left_ankle"):
        assert torch.equal(posed.keypoints[0, INDEX[name]], posed.joints[0, JOINT[name]])
    nose, center = posed.keypoints[0, INDEX["nose"]], posed.keypoints[0, INDEX["head_center"]]
    assert 0.08 < nose[0] - center[0] < 0.14 and abs(nose[1]) < 0.005
    assert center[2] > posed.joints[0, JOINT["head"], 2]


def test_every_keypoint_but_the_nose_lies_inside_the_body(body: AnnyBody) -> None:
    posed = body(torch.zeros(1, 16), tpose(1), torch.zeros(1, 3))
    scene = o3d.t.geometry.RaycastingScene(nthreads=1)
    scene.add_triangles(posed.vertices[0].contiguous().numpy(), body.faces.numpy().astype(np.uint32))
    inside = scene.compute_occupancy(posed.keypoints[0, 1:].contiguous().numpy(), nsamples=5).numpy()
    assert inside.tolist() == [1.0] * (NUM_KEYPOINTS - 1)


def test_statures_are_those_of_a_population_with_children(body: AnnyBody) -> None:
    betas = body.sample_betas(500, torch.Generator().manual_seed(0))
    vertices = body(betas, tpose(500), torch.zeros(500, 3)).vertices[..., 2]
    height = vertices.amax(1) - vertices.amin(1)
    low, median, high = height.quantile(torch.tensor([0.05, 0.6, 0.95])).tolist()
    assert 0.95 < low < 1.45, "children"
    assert 1.58 < median < 1.78 and 1.75 < high < 1.95, "adults"
    assert height.min() > 0.8 and height.max() < 2.15
    assert torch.equal(betas, body.sample_betas(500, torch.Generator().manual_seed(0)))


def test_parts_lie_around_their_bones_on_their_side(body: AnnyBody) -> None:
    posed = body(torch.zeros(1, 16), tpose(1), torch.zeros(1, 3))
    x, y, z = posed.vertices[0].T
    keypoints = posed.keypoints[0]
    assert set(body.parts.tolist()) == set(range(NUM_KEYPOINTS))
    for left, right in LEFT_RIGHT:
        assert y[body.parts == left].min() > -1e-3 and y[body.parts == right].max() < 1e-3
        counts = [int((body.parts == part).sum()) for part in (left, right)]
        assert abs(counts[0] - counts[1]) <= 0.1 * max(counts)
    for a, b in (("shoulder", "elbow"), ("elbow", "wrist")):  # along the arm, which points along y
        ya, yb = keypoints[INDEX[f"left_{a}"], 1], keypoints[INDEX[f"left_{b}"], 1]
        center = y[body.parts == INDEX[f"left_{b}"]].mean()
        assert center > yb - 0.02 and ya < yb
    shank = z[body.parts == INDEX["left_knee"]]
    assert keypoints[INDEX["left_ankle"], 2] < shank.mean() < keypoints[INDEX["left_knee"], 2]
    face = body.parts == INDEX["nose"]
    assert x[face].mean() > x[body.parts == INDEX["head_center"]].mean() + 0.05
    assert (posed.vertices[0, face] - keypoints[INDEX["nose"]]).norm(dim=1).max() < 0.09


def test_ground_puts_the_lowest_vertex_on_zero(body: AnnyBody) -> None:
    posed = body(*people(body, 5))
    grounded = ground(posed)
    torch.testing.assert_close(grounded.vertices[..., 2].amin(1), torch.zeros(5), atol=1e-6, rtol=0)
    shift = grounded.keypoints - posed.keypoints
    assert torch.equal(shift[..., :2], torch.zeros(5, NUM_KEYPOINTS, 2))
    torch.testing.assert_close(grounded.joints - posed.joints, shift[:, :1].expand(-1, NUM_JOINTS, -1))
    raised = move(posed, torch.tensor([[0.0, 0.0, 2.0]]))
    torch.testing.assert_close(raised.vertices[..., 2], posed.vertices[..., 2] + 2)


def test_mirrored_pose_mirrors_the_keypoints(body: AnnyBody) -> None:
    betas, pose, translation = people(body, 8)
    flip = torch.tensor([1.0, -1.0, 1.0])
    posed = body(betas, pose, translation)
    mirrored = body(betas, mirror_pose(pose), mirror_translation(translation))
    # The body itself is symmetric to a millimetre or two.
    torch.testing.assert_close(mirrored.keypoints, posed.keypoints[:, MIRROR] * flip, atol=6e-3, rtol=0)
    torch.testing.assert_close(mirrored.joints, posed.joints[:, MIRROR_JOINTS] * flip, atol=6e-3, rtol=0)
    torch.testing.assert_close(mirror_pose(mirror_pose(pose)), pose)


def test_gradients_reach_pose_and_shape(body: AnnyBody) -> None:
    betas, pose, translation = people(body, 1)
    betas.requires_grad_()
    body(betas, pose, translation).vertices.sum().backward()
    step = torch.zeros_like(betas)
    step[0, 2] = 0.5
    with torch.no_grad():  # vertices are linear in the betas
        rise = (body(betas + step, pose, translation).vertices - body(betas, pose, translation).vertices).sum()
    assert betas.grad is not None
    torch.testing.assert_close(betas.grad[0, 2] * 0.5, rise, rtol=1e-2, atol=1e-2)


def test_load_body_says_what_is_wrong_with_a_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.npz"):
        load_body(tmp_path / "nowhere.npz")
    np.savez(tmp_path / "half.npz", v_template=np.zeros((4, 3)))
    with pytest.raises(InputError, match="lacks faces"):
        load_body(tmp_path / "half.npz")
    assert len(load_body(ASSET).parts) == 1229


def values(posed: Posed) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return posed.vertices, posed.joints, posed.keypoints
