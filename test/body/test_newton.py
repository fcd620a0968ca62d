"""Bodies by Gauss-Newton: derivatives against differences, bodies found again, tracks with one shape."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from gckpl_ros.batch import PersonBatch
from gckpl_ros.body.body import AnnyBody
from gckpl_ros.body.newton import Evidence, Newton, Stances, _Posed, left_jacobian, moved
from gckpl_ros.body.priors import GaussianMixture, load_prior
from gckpl_ros.body.tracker import BodyTracker
from gckpl_ros.config import BodyConfig
from gckpl_ros.geometry import rotation_z
from gckpl_ros.io.messages.frames import PARENTS, turned_links
from gckpl_ros.skeleton import INDEX
from gckpl_ros.types import Bodies, Boxes, Cloud, Frame, Sample, Skeletons, Tracks
from gckpl_training.motion.library import ProceduralMotions

BODY = AnnyBody()
RIGID = (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"))


@pytest.fixture(scope="module")
def newton() -> Newton:
    return Newton(BODY, load_prior("gmm"))


def stances(n: int, seed: int = 0) -> Stances:
    """Poses of the mixture, turned about z, of all shapes."""
    g, prior = torch.Generator().manual_seed(seed), load_prior("gmm")
    turn = rotation_z(6 * torch.rand(n, generator=g)) @ torch.tensor([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])
    place, shape = torch.randn(n, 3, generator=g), 0.7 * torch.randn(n, 16, generator=g)
    return Stances(turn, prior.sample(n, g), place, shape)


def evidence(newton: Newton, here: Stances, expected: Stances, points: Tensor) -> Evidence:
    n = len(points)
    keypoints, _ = newton.landmarks(_Posed.of(newton, here))
    return Evidence(
        keypoints, torch.full((n, 14), 0.03), points, torch.ones(points.shape[:2], dtype=torch.bool),
        torch.full((n, 3), 5.0), expected, torch.zeros(n), torch.eye(16).expand(n, -1, -1), torch.zeros(n, 2, 3),
        torch.zeros(n, 2, dtype=torch.bool),
    )  # fmt: skip


def test_the_body_is_that_of_its_model(newton: Newton) -> None:
    here = stances(3)
    posed = BODY(newton.betas(here.shape), here.rotations(), here.place)
    own = _Posed.of(newton, here)
    assert torch.allclose(newton.landmarks(own)[0], posed.keypoints, atol=1e-5)
    assert torch.allclose(newton.skin(here, own)[0], posed.vertices, atol=1e-5)


def test_derivatives_are_those_of_differences(newton: Newton) -> None:
    here, step = stances(2), 1e-2
    slopes = newton.landmarks(_Posed.of(newton, here))[1]
    for unknown in range(0, slopes.shape[-1], 4):
        change = torch.zeros(2, slopes.shape[-1])
        change[:, unknown] = step
        more, less = (newton.landmarks(_Posed.of(newton, moved(here, sign * change)))[0] for sign in (1, -1))
        assert torch.allclose((more - less) / (2 * step), slopes[..., unknown], atol=1e-3)


def test_the_left_jacobian_of_a_turn_about_one_axis() -> None:
    """About the axis nothing changes; across it by sin a / a and (1 - cos a) / a."""
    a = 0.8
    found = left_jacobian(torch.tensor([0.0, 0.0, a]))
    sine, cosine = np.sin(a) / a, (1 - np.cos(a)) / a
    expected = torch.tensor([[sine, -cosine, 0], [cosine, sine, 0], [0, 0, 1]], dtype=torch.float32)
    assert torch.allclose(found, expected, atol=1e-6)


def test_a_body_is_found_again_from_keypoints_and_skin(newton: Newton) -> None:
    truth = stances(20, seed=3)
    truth = replace(truth, place=torch.zeros(20, 3))
    skin = BODY(newton.betas(truth.shape), truth.rotations(), truth.place).vertices[:, ::25]
    begun = replace(truth, pose=torch.zeros_like(truth.pose), shape=torch.zeros_like(truth.shape))
    seen = evidence(newton, truth, begun, skin)

    def error(found: Stances) -> float:
        return float((newton.landmarks(_Posed.of(newton, found))[0] - seen.keypoints).norm(dim=-1).mean())

    found, _ = newton.fit(begun, seen, 8, points=False)
    assert error(found) < 0.01
    assert error(newton.fit(found, seen, 4)[0]) < 0.025  # points are taken for clothes that the sensor sees


def test_a_prior_without_a_network_bends_no_knee_forwards(newton: Newton) -> None:
    assert isinstance(newton.prior, GaussianMixture)
    here = stances(4)
    slope, curvature = newton.prior.quadratic(here.pose)
    assert torch.allclose(slope, newton.prior.gradient(here.pose).flatten(1), atol=1e-2, rtol=1e-3)
    assert (torch.linalg.eigvalsh(curvature) > 0).all()


def walk(frames: int = 24) -> tuple[list[tuple[Sample, Frame]], np.ndarray, float]:
    """Two people who walk by, keypoints erring by 3 cm; also the truth and how tall they are."""
    g = torch.Generator().manual_seed(1)
    poses = ProceduralMotions().sample_sequences(2, frames, 0.1, g)
    mean, _ = BODY.population()
    betas = mean.expand(2, -1)
    upright = torch.eye(3).expand(1, 22, 3, 3)
    height = BODY(mean[None], upright, torch.zeros(1, 3)).vertices[0, :, 1]
    scans, truths = [], []
    for t, (pose, place) in enumerate(poses):
        posed = BODY(betas, pose, place + torch.tensor([[6.0, -2.0, 0.9], [6.0, 2.0, 0.9]]))
        told = posed.keypoints + 0.03 * torch.randn(posed.keypoints.shape, generator=g)
        points = posed.vertices[:, ::20]
        people = PersonBatch(
            points, torch.ones(points.shape[:2], dtype=torch.bool), torch.zeros(2, 3), torch.zeros(2, 3)
        )
        ids, one = np.array([4, 7]), np.ones(2, np.float32)
        boxes = Boxes(told.mean(1).numpy(), np.ones((2, 3), np.float32), one, one)
        sure = np.full((2, 14), 0.9, np.float32)
        tracks = Tracks(
            ids, np.ones(2, np.int64), boxes, Skeletons(told.numpy(), sure, sure), np.zeros((2, 3), np.float32)
        )
        stamp = 1_000_000_000 + t * 100_000_000
        cloud = Cloud(points.reshape(-1, 3).numpy(), stamp, "lidar")
        scans.append((Sample(cloud), Frame(stamp, "lidar", tracks, people=people)))
        truths.append(posed.keypoints.numpy())
    return scans, np.stack(truths), float(height.max() - height.min())


def test_tracks_have_one_shape_and_lie_nearer_to_the_truth() -> None:
    scans, truth, stature = walk()
    tracker = BodyTracker(BodyConfig(enabled=True, budget_ms=1e4, fuse=1.0))
    told = np.stack([frame.tracks.skeletons.keypoints for _, frame in scans])
    frames = [tracker(sample, frame) for sample, frame in scans]
    bodies = [frame.bodies for frame in frames if frame.bodies is not None]
    assert [body.ids.tolist() for body in bodies] == [[4, 7]] * len(scans)
    fitted = np.stack([frame.tracks.skeletons.keypoints for frame in frames])
    assert np.allclose(fitted, [body.keypoints for body in bodies])

    def error(keypoints: np.ndarray) -> float:
        return float(np.linalg.norm(keypoints - truth, axis=-1)[10:].mean())

    assert error(fitted) < 0.85 * error(told)
    stiff = [(INDEX[f"{s}_{a}"], INDEX[f"{s}_{b}"]) for s in ("left", "right") for a, b in RIGID]
    bones = np.linalg.norm(np.diff(fitted[16:, :, np.array(stiff)], axis=3)[..., 0, :], axis=-1)
    assert bones.std(0).max() < 0.01
    assert np.abs(bodies[-1].statures - stature).max() < 0.04


def test_who_is_new_or_seen_far_from_the_body_begins_anew() -> None:
    scans, _, _ = walk(4)
    tracker = BodyTracker(BodyConfig(enabled=True, budget_ms=1e4))
    meshes = tracker(*scans[0], meshes=True).bodies
    assert meshes is not None and meshes.vertices is not None and meshes.faces is not None
    of_people = scans[0][1].people
    assert of_people is not None
    nearest = torch.cdist(of_people.points, torch.from_numpy(meshes.vertices)).amin(2)
    assert nearest.median() < 0.05 and meshes.faces.max() < meshes.vertices.shape[1]
    sample, frame = scans[1]
    turned = frame.tracks.skeletons.keypoints[:, :, [1, 0, 2]] * np.array([1, -1, 1], np.float32)
    skeletons = replace(frame.tracks.skeletons, keypoints=turned)
    elsewhere = tracker(sample, replace(frame, tracks=replace(frame.tracks, skeletons=skeletons))).bodies
    assert elsewhere is not None
    assert np.linalg.norm(elsewhere.keypoints - turned, axis=-1).mean() < 0.06
    empty = replace(frame, tracks=Tracks.empty(), people=PersonBatch.empty())
    assert len(tracker(sample, empty).bodies or ()) == 0


def test_links_of_somebody_with_hanging_arms_have_the_bodys_axes() -> None:
    rotations = np.tile(np.eye(3, dtype=np.float32), (1, 22, 1, 1))
    rotations[:, 0] = [[0, 0, 1], [1, 0, 0], [0, 1, 0]]
    down = np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 1]], np.float32)  # the left arm, which lies along x, turned to -y
    rotations[:, 16], rotations[:, 17] = down, down.T
    keypoints = np.random.default_rng(0).normal(size=(1, 14, 3)).astype(np.float32)

    def zeros(*shape: int) -> np.ndarray:
        return np.zeros((1, *shape), np.float32)

    body = Bodies(np.array([1]), zeros(16), rotations, zeros(3), zeros(22, 3), keypoints, zeros())
    frames, links = turned_links(body, keypoints)
    assert np.allclose(frames[0, :3, :3], np.eye(3), atol=1e-6)
    assert links.quaternions.shape == (1, len(PARENTS), 4)
    assert np.allclose(np.abs(links.quaternions[..., 3]), 1, atol=1e-6)
    bent = rotations.copy()
    bent[:, 4] = [[1, 0, 0], [0, 0, -1], [0, 1, 0]]  # the left knee, a quarter turn about x (to the left): heel up
    quaternion = turned_links(replace(body, rotations=bent), keypoints)[1].quaternions[0, list(PARENTS).index("l_knee")]
    assert np.allclose(quaternion * np.sign(quaternion[3]), [0, np.sqrt(0.5), 0, np.sqrt(0.5)], atol=1e-6)
