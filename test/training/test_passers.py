"""People who pass: procedural sequences walk as fast as they step, and simulated tracklets mean what they say."""

import math
from dataclasses import replace

import pytest
import torch

from gckpl_ros.batch import PersonBatch
from gckpl_ros.skeleton import BACKGROUND, INDEX
from gckpl_training.motion import library as sequences
from gckpl_training.motion.library import Clip, MotionLibrary, ProceduralMotions, sample_poses
from gckpl_training.scene.surroundings import Surroundings
from gckpl_training.simulate.maker import CropConfig
from gckpl_training.simulate.people import PasserConfig, PasserSource, labelled_crops

ALONE = Surroundings(0.0, 0.0, 0.0, 0.0, 0.0, tilt_deg=0.0, roughness_m=0.0)
NEAR = CropConfig(range_m=(4.0, 6.0), box_shift_m=0.0, jitter_m=0.0, surroundings=ALONE)
CONFIG = PasserConfig(sensors=("os1_64",), frames=4, seen_frames=4, missed=0.0, box_bias_m=0.0, crops=NEAR)
GLIDE_M_S = torch.tensor([1.0, 0.5, 0.0])


@pytest.fixture(scope="module")
def gliding() -> PersonBatch:
    """Stiff people who glide past a moving sensor."""
    pose = sample_poses(1, torch.Generator().manual_seed(0)).expand(60, -1, -1, -1)
    place = torch.arange(60)[:, None] / 30 * GLIDE_M_S + torch.tensor([0.0, 0.0, 1.0])
    return PasserSource(CONFIG, 1, MotionLibrary([Clip(pose, place, 30.0, "glide")])).draw(6)


def test_walkers_go_as_fast_as_cadence_and_stride_say() -> None:
    frames = ProceduralMotions().sample_sequences(200, 11, 0.1, torch.Generator().manual_seed(0))
    way = (frames[-1][1] - frames[0][1])[: round(200 * sequences.WALKING)].norm(dim=-1)
    low = sequences.CADENCE_HZ[0] * sequences.STRIDE[0] * sequences.STEP_M
    high = sequences.CADENCE_HZ[1] * sequences.STRIDE[1] * sequences.STEP_M
    assert low * 0.99 <= way.min() and way.max() <= high * 1.01 and way.max() > 2 * way.min()


def test_walkers_face_where_they_go() -> None:
    frames = ProceduralMotions().sample_sequences(50, 3, 0.1, torch.Generator().manual_seed(1))
    walkers = round(50 * sequences.WALKING)
    way = frames[1][1][:walkers] - frames[0][1][:walkers]
    forward = frames[0][0][:walkers, 0, :, 2]  # the pelvis's z axis, see kinematics
    cosine = torch.cosine_similarity(way[:, :2], forward[:, :2], dim=-1)
    assert cosine.min() > math.cos(math.radians(25))


def test_two_frames_of_a_glider_differ_by_its_way_whatever_the_sensor_does(gliding: PersonBatch) -> None:
    placed = gliding.required("keypoints") + gliding.required("origins")[:, :, None]
    step = placed[:, 1:] - placed[:, :-1]
    torch.testing.assert_close(step.norm(dim=-1), (0.1 * GLIDE_M_S.norm()).expand(6, 3, 14), atol=1e-3, rtol=0)


def test_points_lie_on_their_person(gliding: PersonBatch) -> None:
    tracklets = gliding
    on = tracklets.mask & (gliding.required("parts") != BACKGROUND)
    nearest = (tracklets.points[..., None, :] - gliding.required("keypoints")[:, :, None]).norm(dim=-1).amin(-1)
    assert int(on.sum()) > 1000 and nearest[on].quantile(0.95) < 0.4
    head = on & (gliding.required("parts") == INDEX["head_center"])
    away = (tracklets.points - gliding.required("keypoints")[:, :, None, INDEX["head_center"]]).norm(dim=-1)
    assert away[head].median() < 0.25


def test_points_come_first_and_views_lead_from_the_sensor(gliding: PersonBatch) -> None:
    tracklets = gliding
    assert (tracklets.mask.long().diff(dim=-1) <= 0).all()
    distance = tracklets.views[:, CONFIG.frames // 2, :2].norm(dim=-1)
    assert ((distance > 3.5) & (distance < 6.5)).all()


def test_a_still_sensor_stays() -> None:
    source = PasserSource(replace(CONFIG, sensor_m_s=0.0), 2)
    tracklets = source.draw(4)
    placed = tracklets.views - tracklets.required("origins")
    torch.testing.assert_close(placed, placed[:, :1].expand_as(placed), atol=1e-4, rtol=0)


def test_the_same_seed_draws_the_same_people_and_misses_some_frames() -> None:
    config = replace(CONFIG, missed=0.3, seen_frames=2)
    a, b = (PasserSource(config, 3).draw(20) for _ in range(2))
    assert a.points.equal(b.points) and a.required("parts").equal(b.required("parts"))
    seen = a.seen.float()
    assert 0.5 < seen.mean() < 0.9 and (seen.sum(1) >= 2).all()
    batch = labelled_crops(a)
    assert len(batch) == int(seen.sum()) and batch.mask.any(1).all()
