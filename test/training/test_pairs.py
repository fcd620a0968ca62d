"""Pair crops: their flow is that of motions made by hand; and what `gckpl benchmark flow` counts."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from gckpl_ros.batch import PersonBatch
from gckpl_ros.estimate.tokens import TokenConfig, TokenNetwork
from gckpl_ros.skeleton import BACKGROUND, INDEX
from gckpl_training.bench import flow as flow_accuracy
from gckpl_training.bench.flow import Crowd, method_rows
from gckpl_training.motion.library import Clip, MotionLibrary, sample_poses
from gckpl_training.simulate.maker import CropConfig
from gckpl_training.simulate.people import PairSource

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
def glided() -> PersonBatch:
    return gliding().draw_pairs(6)


@pytest.fixture(scope="module")
def drawn() -> PersonBatch:
    return source(3).draw_pairs(12)


def on_person(batch: PersonBatch) -> Tensor:
    return batch.mask & (batch.required("parts") != BACKGROUND)


def test_stiff_people_flow_as_they_glide(glided: PersonBatch) -> None:
    step = 0.1 * WALK_M_S
    for batch, expected in ((glided.frame(0), step), (glided.frame(1), -step)):
        on, flow = on_person(batch), batch.required("flow")
        assert int(on.sum()) > 300
        torch.testing.assert_close(flow[on], expected.expand(int(on.sum()), 3), atol=2e-5, rtol=0)
        assert not flow[~batch.mask].any()


def test_keypoints_move_as_the_people(glided: PersonBatch) -> None:
    seen_from_sensor = glided.required("keypoints") + glided.views[:, :, None]
    moved = seen_from_sensor[:, 1] - seen_from_sensor[:, 0]
    torch.testing.assert_close(moved, (0.1 * WALK_M_S).expand_as(moved), atol=2e-5, rtol=0)


def test_a_pair_is_a_tenth_of_a_second(glided: PersonBatch) -> None:
    torch.testing.assert_close(glided.dt_s, torch.tensor([0.0, 0.1]).expand(6, 2))


def test_what_stands_around_stands_still(drawn: PersonBatch) -> None:
    """Ground and walls have no flow; what is carried is background too and moves."""
    t = drawn.frame(0)
    flow = t.required("flow")[t.mask & (t.required("parts") == BACKGROUND)].norm(dim=-1)
    assert len(flow) > 50 and float((flow == 0).float().mean()) > 0.5


def test_both_crops_of_a_pair_have_one_origin(drawn: PersonBatch) -> None:
    around, later = drawn.around_first(), drawn.frame(1)
    seen_from_sensor = around.points[:, 1] + drawn.views[:, :1]
    torch.testing.assert_close(seen_from_sensor[later.mask], (later.points + later.views[:, None])[later.mask])
    assert not torch.allclose(drawn.views[:, 0], drawn.views[:, 1])  # each time has a box of its own
    assert not around.points[:, 1][~later.mask].any()


def test_flow_leads_to_where_the_next_scan_sees_the_person(drawn: PersonBatch) -> None:
    around = drawn.around_first()
    t, t1 = around.frame(0), around.frame(1)
    on, on1, found = on_person(t), on_person(t1), t.required("flow")

    def gap(flow: Tensor) -> Tensor:
        distance = torch.cdist(t.points + flow, t1.points).masked_fill(~on1[:, None], 10.0)
        return distance.amin(2)[on].square().mean()

    assert gap(found) < 0.5 * gap(torch.zeros_like(found))
    assert gap(found) < gap(-found)


def test_flow_of_a_limb_is_that_of_its_joints(drawn: PersonBatch) -> None:
    """The mean flow of a shank lies near the mean motion of knee and ankle."""
    ends, t = [INDEX["left_knee"], INDEX["left_ankle"]], drawn.frame(0)
    joints = drawn.around_first().required("keypoints").diff(dim=1)[:, 0, ends].mean(1)
    shank = t.mask & (t.required("parts") == INDEX["left_knee"])
    rows = shank.sum(1) >= 8
    assert int(rows.sum()) >= 3
    mean = (t.required("flow") * shank[..., None]).sum(1) / shank.sum(1).clamp_min(1)[:, None]
    assert (mean - joints)[rows].norm(dim=-1).median() < 0.02


def test_same_seed_same_pairs() -> None:
    first, second = (source(7).draw_pairs(4) for _ in range(2))
    torch.testing.assert_close(first.points, second.points, rtol=0, atol=0)
    torch.testing.assert_close(first.flow, second.flow, rtol=0, atol=0)


def test_everybody_is_seen_at_both_times() -> None:
    pairs = source(1, replace(CONFIG, validation_sensors=("spinner16",), range_m=(8.0, 20.0))).draw_pairs(10)
    assert len(pairs) == 10
    assert int(on_person(pairs).sum(-1).min()) >= CONFIG.min_points


def exact(crowd: Crowd) -> PersonBatch:
    return replace(crowd.true, flow_confidence=crowd.true.mask.float())


def half(crowd: Crowd) -> PersonBatch:
    """The truth, and 20 cm beside it for every other point, which says that it is not sure."""
    found = exact(crowd)
    wrong = (torch.arange(found.mask.shape[-1]) % 2).float()
    vectors = found.required("flow") + 0.2 * wrong[:, None] * torch.tensor([0.0, 0.0, 1.0])
    return replace(found, flow=vectors, flow_confidence=found.required("flow_confidence") * (1 - 0.9 * wrong))


@pytest.fixture(scope="module")
def crowd(glided: PersonBatch) -> Crowd:
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


def test_the_network_sees_each_crop_for_itself(crowd: Crowd) -> None:
    """What it says replaces the truth; its parts are the likeliest of its probabilities."""
    network, later = (
        TokenNetwork(TokenConfig(width=16, point_width=8, heads=2, layers=1)).eval(),
        crowd.true.frame(1),
    )
    again = Crowd.of(crowd.true, network)
    with torch.inference_mode():
        said = network.predict(later)
    torch.testing.assert_close(again.estimated.required("keypoints")[:, 1], said.keypoints, atol=1e-5, rtol=1e-5)
    assert again.estimated.required("parts").equal(again.probability.argmax(-1))
    assert again.true.keypoints is crowd.true.keypoints
