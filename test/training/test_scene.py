"""Dressed people and what surrounds them: geometry that can be said in advance."""

from dataclasses import replace

import pytest
import torch
from scipy.spatial import ConvexHull

from gckpl_ros.body.angles import turn
from gckpl_ros.body.body import Posed, load_body
from gckpl_ros.body.kinematics import JOINT
from gckpl_ros.skeleton import BACKGROUND, INDEX
from gckpl_training.lidar import scan, sensor
from gckpl_training.motion.library import sample_poses
from gckpl_training.scene import Surroundings, Wardrobe, bare, sample_outfit
from gckpl_training.scene.clothing import LAYERS, THINGS, clothe, normal_ring, vertex_normals
from gckpl_training.scene.meshes import box_faces, boxes, head_frame, torso_frame

PEOPLE = 6
BODY = load_body()
WARDROBE = Wardrobe(BODY)
SKIN = len(BODY.parts)
HAT, SKIRT, GOODS = SKIN, SKIN + 40, SKIN + 40 + 64


def posed_people(seed: int = 0, n: int = PEOPLE) -> Posed:
    g = torch.Generator().manual_seed(seed)
    return BODY(BODY.sample_betas(n, g), sample_poses(n, g), torch.randn(n, 3, generator=g))


def standing(n: int = PEOPLE) -> Posed:
    from gckpl_ros.body.angles import pose_from_angles
    from gckpl_training.motion.library import sample_activity

    g = torch.Generator().manual_seed(1)
    return BODY(BODY.sample_betas(n, g), pose_from_angles(sample_activity("standing", n, g)), torch.zeros(n, 3))


def one_thing(name: str, size: tuple[float, float, float], n: int = PEOPLE):
    outfit = bare(n)
    sizes = outfit.sizes.clone()
    sizes[:, THINGS.index(name)] = torch.tensor(size)
    return replace(outfit, sizes=sizes)


def corners(vertices: torch.Tensor, name: str) -> torch.Tensor:
    start = GOODS + 8 * THINGS.index(name)
    return vertices[:, start : start + 8]


def signed_volume(vertices: torch.Tensor, faces: torch.Tensor) -> torch.Tensor:
    a, b, c = vertices[faces].unbind(1)
    return (a * torch.linalg.cross(b, c)).sum() / 6


def sphere(points: int = 600) -> tuple[torch.Tensor, torch.Tensor]:
    i = torch.arange(points) + 0.5
    polar, azimuth = torch.acos(1 - 2 * i / points), torch.pi * (1 + 5**0.5) * i
    v = torch.stack([azimuth.cos() * polar.sin(), azimuth.sin() * polar.sin(), polar.cos()], -1)
    faces = torch.tensor(ConvexHull(v.numpy()).simplices).long()
    a, b, c = v[faces].unbind(1)
    inward = (torch.linalg.cross(b - a, c - a) * a).sum(-1) < 0
    return v, torch.where(inward[:, None], faces.flip(1), faces)


def test_cloth_stands_off_a_sphere_by_its_thickness():
    v, faces = sphere()
    ring = normal_ring(v, faces)
    thickness = torch.linspace(0, 0.05, len(v))[None]
    radius = clothe(v[None], ring, thickness, torch.zeros_like(thickness)).norm(dim=-1)
    assert torch.allclose(radius, 1 + thickness, atol=5e-4)
    assert ((vertex_normals(v[None], ring) * v).sum(-1) > 0.98).all()


def test_folds_never_push_cloth_into_the_skin():
    v, faces = sphere()
    folds = torch.linspace(-3, 1, len(v))[None]
    radius = clothe(v[None], normal_ring(v, faces), torch.full_like(folds, 0.02), folds).norm(dim=-1)
    assert (radius > 1 - 1e-6).all()
    assert radius.max() == pytest.approx(1.04, abs=1e-3)


def test_box_faces_look_outwards_and_enclose_the_size():
    size = torch.tensor([[[0.3, 0.4, 0.5], [1.0, 2.0, 3.0]]])
    v = boxes(torch.randn(1, 2, 3), torch.eye(3).expand(1, 2, 3, 3), size)
    faces = box_faces(2)
    assert float(signed_volume(v[0], faces[:12])) == pytest.approx(0.06, rel=1e-4)
    assert float(signed_volume(v[0], faces[12:])) == pytest.approx(6.0, rel=1e-4)


def test_bare_outfit_is_the_body_and_nothing_else():
    posed = posed_people()
    meshes = WARDROBE(posed, bare(PEOPLE))
    assert torch.allclose(meshes.vertices[:, :SKIN], posed.vertices, atol=1e-6)
    a, b, c = meshes.vertices[:, meshes.faces[len(BODY.faces) :]].unbind(2)
    assert torch.linalg.cross(b - a, c - a).norm(dim=-1).max() == 0


def test_jacket_and_trousers_stand_off_where_they_should_and_the_face_stays_bare():
    posed = standing()
    layers = torch.zeros(PEOPLE, 5)
    layers[:, LAYERS.index("jacket")], layers[:, LAYERS.index("trousers")] = 0.03, 0.01
    moved = WARDROBE(posed, replace(bare(PEOPLE), layers=layers)).vertices[:, :SKIN] - posed.vertices
    distance = moved.norm(dim=-1).mean(0)
    assert torch.allclose(distance[BODY.parts == INDEX["left_knee"]], torch.tensor(0.01), atol=1e-5)
    assert distance[BODY.parts == INDEX["nose"]].max() == 0
    assert distance[BODY.parts == INDEX["right_wrist"]].max() == 0
    assert distance[BODY.parts == INDEX["left_shoulder"]].max() == pytest.approx(0.03, abs=1e-5)


def test_backpack_is_behind_the_back_and_on_the_body_in_any_pose():
    posed = posed_people()
    pack = corners(WARDROBE(posed, one_thing("backpack", (0.2, 0.3, 0.4))).vertices, "backpack")
    forward = torso_frame(posed.joints)[:, :, 0]
    spine = posed.joints[:, JOINT["spine3"]]
    ahead = ((pack - spine[:, None]) * forward[:, None]).sum(-1)
    assert (ahead.amax(1) < 0).all()
    assert (ahead.amax(1) > -0.35).all()


def test_hat_is_above_the_head_and_labelled_head():
    posed = standing()
    outfit = replace(bare(PEOPLE), hat=torch.tensor([[1.05, 0.5, 0.4]]).expand(PEOPLE, 3))
    meshes = WARDROBE(posed, outfit)
    hat = meshes.vertices[:, HAT:SKIRT]
    assert (hat[:, :, 2].amax(1) > posed.vertices[:, :, 2].amax(1)).all()
    center = posed.keypoints[:, INDEX["head_center"]]
    up = head_frame(posed.joints, posed.keypoints)[:, :, 2]
    assert (((hat - center[:, None]) * up[:, None]).sum(-1) > 0.02).all()
    of_hat = (meshes.faces >= HAT).all(1) & (meshes.faces < SKIRT).all(1)
    assert (meshes.labels[of_hat] == INDEX["head_center"]).all()


def test_skirt_hides_both_thighs_and_ends_where_told():
    posed = standing()
    outfit = replace(bare(PEOPLE), skirt=torch.tensor([[1.0, 0.02, 0.1]]).expand(PEOPLE, 3))
    meshes = WARDROBE(posed, outfit)
    hem = meshes.vertices[:, GOODS - 16 : GOODS]
    knees = posed.joints[:, [JOINT["left_knee"], JOINT["right_knee"]]]
    assert torch.allclose(hem[..., 2].mean(1), knees[..., 2].mean(1), atol=0.05)
    frame = torso_frame(posed.joints)
    sideways = ((hem - knees.mean(1, keepdim=True)) * frame[:, None, :, 1]).sum(-1)
    knee = ((knees[:, 0] - knees[:, 1]) * frame[:, :, 1]).sum(-1) / 2
    assert (sideways.amax(1) > knee + 0.04).all() and (sideways.amin(1) < -knee - 0.04).all()
    left = meshes.labels[len(BODY.faces) + 60 : len(BODY.faces) + 60 + 96] == INDEX["left_hip"]
    of_skirt = meshes.faces[len(BODY.faces) + 60 : len(BODY.faces) + 60 + 96]
    middle = meshes.vertices[:, of_skirt].mean(2) - knees.mean(1, keepdim=True)
    beside = (middle * frame[:, None, :, 1]).sum(-1)
    assert (beside[:, left].mean(1) > 0.05).all() and (beside[:, ~left].mean(1) < -0.05).all()


def test_cart_stands_before_the_feet_and_is_background():
    posed = standing()
    meshes = WARDROBE(posed, one_thing("cart", (0.8, 0.5, 0.9)))
    cart = corners(meshes.vertices, "cart")
    forward = torso_frame(posed.joints)[:, :, 0]
    assert (((cart - posed.joints[:, :1]) * forward[:, None]).sum(-1).amin(1) > 0.3).all()
    above = cart[..., 2].amin(1) - posed.vertices[..., 2].amin(1)
    assert ((above > 0) & (above < 0.1)).all()
    assert (meshes.labels[-12 * len(THINGS) :] == BACKGROUND).all()


def test_dressing_turns_and_moves_with_the_person():
    g = torch.Generator().manual_seed(3)
    betas, pose = BODY.sample_betas(PEOPLE, g), sample_poses(PEOPLE, g)
    outfit, angle = sample_outfit(PEOPLE, g), torch.full((PEOPLE,), 0.7)
    here = WARDROBE(BODY(betas, pose, torch.zeros(PEOPLE, 3)), outfit).vertices
    shift = torch.tensor([3.0, -2.0, 0.5])
    there = WARDROBE(BODY(betas, turn(pose, angle), shift.expand(PEOPLE, 3)), outfit).vertices
    c, s = torch.tensor(0.7).cos(), torch.tensor(0.7).sin()
    T_rotation = torch.tensor([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    assert torch.allclose(here @ T_rotation.T + shift, there, atol=2e-4)


def scanned(surroundings: Surroundings, n: int = 12, seed: int = 5):
    g = torch.Generator().manual_seed(seed)
    posed = standing(n)
    meshes = WARDROBE(posed, bare(n))
    scene = surroundings(meshes, posed, torch.full((n,), 6.0), 1.5, g)
    model = sensor("os1_64")
    returns = scan(scene.meshes.vertices, scene.meshes.faces, model, azimuth_offset=torch.zeros(n))
    return scene, returns, scene.meshes.labels[returns.face]


NOTHING = Surroundings(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def person_points(surroundings: Surroundings) -> torch.Tensor:
    _, returns, labels = scanned(surroundings)
    return (returns.mask & (labels != BACKGROUND)).sum(1)


def test_people_stand_at_their_range_on_level_ground_below_their_feet():
    scene, returns, labels = scanned(NOTHING)
    assert torch.allclose(scene.posed.joints[:, 0, :2].norm(dim=-1), torch.tensor(6.0), atol=1e-4)
    assert torch.allclose(scene.posed.vertices[..., 2].amin(1), torch.tensor(-1.5), atol=1e-5)
    ground = returns.points[returns.mask & (labels == BACKGROUND)]
    assert len(ground) > 100
    assert torch.allclose(ground[:, 2], torch.tensor(-1.5), atol=1e-4)


def test_occluders_hide_part_of_people():
    seen, hidden = person_points(NOTHING), person_points(replace(NOTHING, occluder=1.0))
    assert (hidden <= seen).all()
    assert 0.3 * seen.sum() < hidden.sum() < 0.9 * seen.sum()


def test_a_second_person_is_near_and_background():
    scene, returns, labels = scanned(replace(NOTHING, second_person=1.0))
    ground = returns.points[..., 2] < -1.4
    other = returns.mask & (labels == BACKGROUND) & ~ground
    assert (other.sum(1) > 5).all()
    pelvis = scene.posed.joints[:, :1, :2]
    gap = (returns.points[..., :2] - pelvis).norm(dim=-1)[other]
    assert 0.2 < gap.median() < 1.3


def test_the_next_frame_of_a_pair_keeps_the_surroundings():
    scene, _, _ = scanned(Surroundings())
    posed = standing(12)
    later = replace(posed, vertices=posed.vertices + 0.1, joints=posed.joints + 0.1, keypoints=posed.keypoints + 0.1)
    again = scene.again(WARDROBE(later, bare(12)), later)
    people = scene.meshes.vertices.shape[1] - scene.around.vertices.shape[1]
    assert torch.equal(again.meshes.vertices[:, people:], scene.meshes.vertices[:, people:])
    moved = again.meshes.vertices[:, :SKIN] - scene.meshes.vertices[:, :SKIN]
    assert torch.allclose(moved, torch.tensor(0.1), atol=1e-4)


def test_same_seed_same_scene():
    def draw(seed: int) -> torch.Tensor:
        g = torch.Generator().manual_seed(seed)
        posed = posed_people()
        meshes = WARDROBE(posed, sample_outfit(PEOPLE, g))
        return Surroundings()(meshes, posed, torch.full((PEOPLE,), 8.0), 1.8, g).meshes.vertices

    assert torch.equal(draw(4), draw(4))
    assert not torch.equal(draw(4), draw(5))
