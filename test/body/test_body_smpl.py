"""SMPL's equations on a made-up model of the same format: against plain numpy, and against smplx where installed."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from gckpl_ros.body.body import NOSE_VERTEX, SmplBody, load_body
from gckpl_ros.body.kinematics import JOINT, PARENTS
from gckpl_ros.errors import InputError
from gckpl_ros.skeleton import INDEX

VERTICES, PARENTS_24 = 400, (*PARENTS, 20, 21)


@pytest.fixture(scope="module")
def model() -> dict[str, np.ndarray]:
    """Vertices scattered about 24 joints that are spread in the plane x (left), y (up)."""
    rng = np.random.default_rng(0)
    owner = np.arange(VERTICES) % 24
    weights = rng.dirichlet(np.full(24, 0.1), VERTICES) * 0.4
    weights[np.arange(VERTICES), owner] += 0.6
    regressor = (owner[None] == np.arange(24)[:, None]) * rng.uniform(0.5, 1, (24, VERTICES))
    centers = rng.normal(size=(24, 3)) * [0.3, 0.6, 0.1]
    return {
        "v_template": centers[owner] + rng.normal(size=(VERTICES, 3)) * 0.05,
        "shapedirs": rng.normal(size=(VERTICES, 3, 10)) * 0.02,
        "posedirs": rng.normal(size=(VERTICES, 3, 207)) * 0.01,
        "J_regressor": regressor / regressor.sum(1, keepdims=True),
        "weights": weights,
        "kintree_table": np.array([(2**32 - 1, *PARENTS_24[1:]), range(24)]),
        "f": rng.integers(0, VERTICES, (50, 3)),
    }


@pytest.fixture(scope="module")
def path(model: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("smpl") / "SMPL_NEUTRAL.npz"
    np.savez(file, **model)
    return file


def person(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=10), rng.normal(size=(22, 3)) * 0.6, rng.normal(size=3)


def smpl(model: dict[str, np.ndarray], betas: np.ndarray, theta: np.ndarray, trans: np.ndarray) -> tuple:
    """Loper et al. 2015, equations 2 to 10, joint by joint, vertex by vertex; trans moves the origin."""
    R = Rotation.from_rotvec(theta).as_matrix()
    shaped = model["v_template"] + np.einsum("vcs,s->vc", model["shapedirs"], betas)
    J = model["J_regressor"] @ shaped
    rest = shaped + np.einsum("vcp,p->vc", model["posedirs"], (R[1:] - np.eye(3)).ravel())
    G = []
    for k, parent in enumerate(PARENTS_24):
        local = np.vstack([np.column_stack([R[k], J[k] - (J[parent] if k else 0)]), [0, 0, 0, 1]])
        G.append(G[parent] @ local if k else local)
    joints = np.array([g[:3, 3] for g in G])
    relative = np.array([g @ np.vstack([np.column_stack([np.eye(3), -J[k]]), [0, 0, 0, 1]]) for k, g in enumerate(G)])
    vertices = np.empty_like(rest)
    for i, (row, vertex) in enumerate(zip(model["weights"], rest, strict=True)):
        vertices[i] = (np.tensordot(row, relative, 1) @ [*vertex, 1])[:3]
    return vertices + trans, joints + trans, J[0] + trans


def run(body: SmplBody, betas: np.ndarray, theta: np.ndarray, pelvis: np.ndarray):
    pose = torch.from_numpy(Rotation.from_rotvec(theta[:22]).as_matrix()).float()[None]
    return body(torch.from_numpy(betas).float()[None], pose, torch.from_numpy(pelvis).float()[None])


def test_agrees_with_the_papers_equations(model: dict[str, np.ndarray], path: Path) -> None:
    body = SmplBody(path)
    for seed in range(3):
        betas, theta, trans = person(seed)
        vertices, joints, pelvis = smpl(model, betas, np.vstack([theta, np.zeros((2, 3))]), trans)
        posed = run(body, betas, theta, pelvis)
        np.testing.assert_allclose(body.pelvis(torch.from_numpy(betas).float()[None])[0], pelvis - trans, atol=2e-5)
        np.testing.assert_allclose(posed.vertices[0], vertices, atol=2e-5)
        np.testing.assert_allclose(posed.joints[0], joints[:22], atol=2e-5)
        np.testing.assert_allclose(posed.keypoints[0, INDEX["left_wrist"]], joints[JOINT["left_wrist"]], atol=2e-5)
        np.testing.assert_allclose(posed.keypoints[0, INDEX["nose"]], vertices[NOSE_VERTEX], atol=2e-5)
        on_head = model["weights"].argmax(1) == JOINT["head"]
        np.testing.assert_allclose(posed.keypoints[0, INDEX["head_center"]], vertices[on_head].mean(0), atol=2e-5)


def test_agrees_with_smplx(model: dict[str, np.ndarray], path: Path) -> None:
    smplx = pytest.importorskip("smplx")
    data = smplx.utils.Struct(**model)
    landmarks = dict.fromkeys(smplx.vertex_ids.vertex_ids["smplh"], NOSE_VERTEX)  # theirs lie beyond our vertices
    theirs = smplx.SMPL(str(path), data_struct=data, dtype=torch.float32, vertex_ids=landmarks)
    betas, theta, trans = person(7)
    flat = torch.from_numpy(np.vstack([theta, np.zeros((2, 3))])).float().reshape(1, -1)
    out = theirs(
        betas=torch.from_numpy(betas).float()[None],
        global_orient=flat[:, :3],
        body_pose=flat[:, 3:],
        transl=torch.from_numpy(trans).float()[None],
    )
    posed = run(SmplBody(path), betas, theta, out.joints[0, 0].detach().numpy().astype(float))
    torch.testing.assert_close(posed.vertices, out.vertices.detach(), atol=2e-5, rtol=0)
    torch.testing.assert_close(posed.joints, out.joints[:, :22].detach(), atol=2e-5, rtol=0)


def test_parts_follow_the_dominant_joint(model: dict[str, np.ndarray], path: Path) -> None:
    body = load_body(path)
    assert isinstance(body, SmplBody)
    owner = model["weights"].argmax(1)
    expected = {"left_shoulder": "left_shoulder", "right_elbow": "right_elbow", "left_foot": "left_ankle"}
    for joint, part in expected.items():
        assert set(body.parts[owner == JOINT[joint]].tolist()) == {INDEX[part]}
    assert set(body.parts[owner == 22].tolist()) == {INDEX["left_wrist"]}, "the hand is the wrist's"
    assert set(body.parts[owner == JOINT["head"]].tolist()) <= {INDEX["nose"], INDEX["head_center"]}
    trunk = body.parts[owner == JOINT["spine2"]]
    side = {True: "left", False: "right"}
    for x, label in zip(model["v_template"][owner == JOINT["spine2"], 0], trunk.tolist(), strict=True):
        assert label in (INDEX[f"{side[bool(x > 0)]}_shoulder"], INDEX[f"{side[bool(x > 0)]}_hip"])


def test_betas_are_unit_normal_and_repeat(path: Path) -> None:
    betas = SmplBody(path).sample_betas(4000, torch.Generator().manual_seed(1))
    assert betas.shape == (4000, 10) and betas.abs().max() <= 2.5
    assert abs(betas.mean()) < 0.02 and abs(betas.std() - 1) < 0.05
    assert torch.equal(betas, SmplBody(path).sample_betas(4000, torch.Generator().manual_seed(1)))


def test_says_which_array_is_missing_or_foreign(model: dict[str, np.ndarray], tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **{key: value for key, value in model.items() if key != "posedirs"})
    with pytest.raises(InputError, match="lacks posedirs"):
        load_body(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", **{**model, "weights": model["weights"][:, :20]})
    with pytest.raises(InputError, match="weights has shape"):
        load_body(tmp_path / "b.npz")
    np.savez(tmp_path / "c.npz", **{**model, "kintree_table": model["kintree_table"][:, ::-1]})
    with pytest.raises(InputError, match="kintree_table"):
        load_body(tmp_path / "c.npz")
    (tmp_path / "d.npz").write_text("no zip")
    with pytest.raises(InputError, match=r"d\.npz"):
        load_body(tmp_path / "d.npz")
