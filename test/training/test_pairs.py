"""Pair crops: their flow is that of motions made by hand; and what `gckpl benchmark flow` counts."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from gckpl_ros.estimate.tokens import TokenConfig, TokenNetwork
from gckpl_ros.learn.flow.pairs import Flow
from gckpl_ros.people.batch import CropBatch
from gckpl_ros.skeleton import BACKGROUND, INDEX
from gckpl_training.bench import flow as flow_accuracy
from gckpl_training.bench.flow import Crowd, method_rows
from gckpl_training.motion.clip import Clip
from gckpl_training.motion.library import MotionLibrary
from gckpl_training.motion.procedural import sample_poses
from gckpl_training.simulate.crops import CropConfig
from gckpl_training.simulate.pairs import CropPairs, PairSource

CPU = torch.device("cpu")
CONFIG = CropConfig(validation_sensors=("os1_128",), range_m=(3.0, 5.0), jitter_m=0.0)
WALK_M_S = torch.tensor([1.0, -0.5, 0.0])


def source(seed: int = 0, config: CropConfig = CONFIG) -> PairSource:
    return PairSource(config, seed, CPU, "val")


def gliding(seed: int = 0) -> PairSource:
    """Motion capture in which stiff people glide at a constant velocity."""
    pose = sample_poses(1, torch.Generator().manual_seed(seed)).expand(30, -1, -1, -1)
    glide = torch.arange(30)[:, None] / 30 * WALK_M_S + torch.tensor([0.0, 0.0, 1.0])
    made = source(seed)
    made.library = MotionLibrary([Clip(pose, glide, 30.0, "glide")])
    return made


@pytest.fixture(scope="module")
def glided() -> CropPairs:
    return gliding().draw_pairs(6)


@pytest.fixture(scope="module")
def drawn() -> CropPairs:
    return source(3).draw_pairs(12)


def on_person(batch: CropBatch) -> Tensor:
    return batch.mask & (batch.labels != BACKGROUND)


def test_stiff_people_flow_as_they_glide(glided: CropPairs) -> None:
    step = 0.1 * WALK_M_S
    for batch, flow, expected in ((glided.t, glided.flow_t, step), (glided.t1, glided.flow_t1, -step)):
        on = on_person(batch)
        assert int(on.sum()) > 300
        torch.testing.assert_close(flow[on], expected.expand(int(on.sum()), 3), atol=2e-5, rtol=0)
        assert not flow[~batch.mask].any()


def test_keypoints_move_as_the_people(glided: CropPairs) -> None:
    moved = (glided.t1.keypoints + glided.t1.views[:, None]) - (glided.t.keypoints + glided.t.views[:, None])
    torch.testing.assert_close(moved, (0.1 * WALK_M_S).expand_as(moved), atol=2e-5, rtol=0)


def test_what_stands_around_stands_still(drawn: CropPairs) -> None:
    """Ground and walls have no flow; what is carried is background too and moves."""
    flow = drawn.flow_t[drawn.t.mask & (drawn.t.labels == BACKGROUND)].norm(dim=-1)
    assert len(flow) > 50 and float((flow == 0).float().mean()) > 0.5


def test_both_crops_of_a_pair_have_one_origin(drawn: CropPairs) -> None:
    pairs, n = drawn.pairs, drawn.t1.mask
    seen_from_sensor = pairs.points_t1 + drawn.t.views[:, None]
    torch.testing.assert_close(seen_from_sensor[n], (drawn.t1.points + drawn.t1.views[:, None])[n])
    assert not torch.allclose(drawn.t.views, drawn.t1.views)  # each time has a box of its own
    assert not pairs.points_t1[~n].any()


def test_flow_leads_to_where_the_next_scan_sees_the_person(drawn: CropPairs) -> None:
    pairs = drawn.pairs
    on, on1 = on_person(drawn.t), on_person(drawn.t1)

    def gap(flow: Tensor) -> Tensor:
        distance = torch.cdist(pairs.points_t + flow, pairs.points_t1).masked_fill(~on1[:, None], 10.0)
        return distance.amin(2)[on].square().mean()

    assert gap(drawn.flow_t) < 0.5 * gap(torch.zeros_like(drawn.flow_t))
    assert gap(drawn.flow_t) < gap(-drawn.flow_t)


def test_flow_of_a_limb_is_that_of_its_joints(drawn: CropPairs) -> None:
    """The mean flow of a shank lies near the mean motion of knee and ankle."""
    ends = [INDEX["left_knee"], INDEX["left_ankle"]]
    joints = (drawn.t1.keypoints - drawn.t.keypoints + (drawn.t1.views - drawn.t.views)[:, None])[:, ends].mean(1)
    shank = drawn.t.mask & (drawn.t.labels == INDEX["left_knee"])
    rows = shank.sum(1) >= 8
    assert int(rows.sum()) >= 3
    mean = (drawn.flow_t * shank[..., None]).sum(1) / shank.sum(1).clamp_min(1)[:, None]
    assert (mean - joints)[rows].norm(dim=-1).median() < 0.02


def test_same_seed_same_pairs() -> None:
    first, second = (source(7).draw_pairs(4) for _ in range(2))
    torch.testing.assert_close(first.t.points, second.t.points, rtol=0, atol=0)
    torch.testing.assert_close(first.flow_t1, second.flow_t1, rtol=0, atol=0)


def test_everybody_is_seen_at_both_times() -> None:
    pairs = source(1, replace(CONFIG, validation_sensors=("spinner16",), range_m=(8.0, 20.0))).draw_pairs(10)
    assert len(pairs) == 10
    assert min(on_person(pairs.t).sum(1).min(), on_person(pairs.t1).sum(1).min()) >= CONFIG.min_points


def exact(crowd: Crowd) -> tuple[Flow, Flow]:
    crops = crowd.crops
    return Flow(crops.flow_t, crops.t.mask.float()), Flow(crops.flow_t1, crops.t1.mask.float())


def half(crowd: Crowd) -> tuple[Flow, Flow]:
    """The truth, and 20 cm beside it for every other point, which says that it is not sure."""
    flows = []
    for flow in exact(crowd):
        wrong = (torch.arange(flow.vectors.shape[1]) % 2).float()
        vectors = flow.vectors + 0.2 * wrong[:, None] * torch.tensor([0.0, 0.0, 1.0])
        flows.append(Flow(vectors, flow.confidence * (1 - 0.9 * wrong)))
    return flows[0], flows[1]


@pytest.fixture(scope="module")
def crowd(glided: CropPairs) -> Crowd:
    return Crowd.of(glided, TokenNetwork(TokenConfig(width=16, point_width=8, heads=2, layers=1)).eval())


def test_the_exact_flow_has_no_error(crowd: Crowd) -> None:
    whole, *bins = method_rows("exact", exact, [crowd])
    assert (whole["EPE_cm"], whole["Acc_5cm_%"], whole["people"]) == (0.0, 100.0, 6)
    assert sum(row["people"] for row in bins if row["speed_m_s"] == "all") >= 6


def test_standing_still_errs_by_the_glide(crowd: Crowd) -> None:
    whole, *bins = method_rows("still", flow_accuracy.still, [crowd])
    assert whole["EPE_cm"] == pytest.approx(11.18, abs=0.01)  # 0.1 s at sqrt(1 + 0.25) m/s
    assert (whole["Acc_5cm_%"], whole["Acc_10cm_%"], whole["EPE_of_surer_half_cm"]) == (0.0, 0.0, None)
    assert [row["speed_m_s"] for row in bins if row["speed_m_s"] != "all" and row["people"]] == ["1-1.5"]


def test_the_surer_half_is_the_better_one(crowd: Crowd) -> None:
    whole = method_rows("half", half, [crowd])[0]
    assert whole["EPE_cm"] == pytest.approx(10, abs=1)
    assert whole["EPE_of_surer_half_cm"] < 0.7
    assert whole["Acc_10cm_%"] == pytest.approx(50, abs=5)


def test_true_parts_and_keypoints_are_those_of_the_simulator(crowd: Crowd) -> None:
    keypoints, parts, keypoints1, _ = crowd.true
    torch.testing.assert_close(keypoints1 - keypoints, (0.1 * WALK_M_S).expand_as(keypoints), atol=2e-5, rtol=0)
    assert torch.equal(parts.argmax(-1), crowd.crops.t.labels)
