"""Stage I: the simulated crops mean what they say, the training script trains, and a stopped run resumes."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from gckpl_ros.batch import PersonBatch
from gckpl_ros.errors import InputError
from gckpl_ros.estimate.checkpoint import load_network
from gckpl_ros.estimate.tokens import TokenConfig
from gckpl_ros.skeleton import BACKGROUND, INDEX
from gckpl_training.learn.stage1 import Stage1, Stage1Config
from gckpl_training.learn.validate import VALIDATION_SEED, calibrate, predict
from gckpl_training.scene.surroundings import Surroundings
from gckpl_training.simulate import augment
from gckpl_training.simulate.maker import CropConfig
from gckpl_training.simulate.people import CropSource

CPU = torch.device("cpu")
TINY = TokenConfig(width=16, point_width=8, heads=2, layers=1, free_tokens=2)
ALONE = Surroundings(0.0, 0.0, 0.0, 0.0, 0.0, tilt_deg=0.0, roughness_m=0.0)
PLAIN = CropConfig(
    sensors=("os1_64",), range_m=(4.0, 6.0), box_shift_m=0.0, thin_chance=0.0, thin_beams_chance=0.0, hide_chance=0.0,
    blob_chance=0.0, jitter_m=0.0, views=1,
)  # fmt: skip


@pytest.fixture(scope="module")
def plain() -> PersonBatch:
    return CropSource(PLAIN, 5, CPU, "train").draw(48)


def test_points_lie_on_their_person(plain: PersonBatch) -> None:
    """A forearm's returns are near the bone from elbow to wrist (cloth and noise: 25 cm)."""
    for part, end in (("left_elbow", "left_wrist"), ("right_knee", "right_ankle")):
        a, b = plain.required("keypoints")[:, INDEX[part], None], plain.required("keypoints")[:, INDEX[end], None]
        along = ((plain.points - a) * (b - a)).sum(-1) / (b - a).square().sum(-1)
        distance = (plain.points - (a + along.clamp(0, 1)[..., None] * (b - a))).norm(dim=-1)
        on_part = plain.mask & (plain.required("parts") == INDEX[part])
        assert int(on_part.sum()) > 50
        assert float((distance[on_part] < 0.25).float().mean()) > 0.97


def test_the_sensor_sees_the_near_side(plain: PersonBatch) -> None:
    """Returns of the torso lie on the sensor's side of the person's axis."""
    toward = -plain.views / plain.views.norm(dim=-1, keepdim=True)
    middle = plain.required("keypoints")[:, [INDEX["left_hip"], INDEX["right_hip"]]].mean(1)
    for row in range(len(plain)):
        body = plain.points[row][plain.mask[row] & (plain.required("parts")[row] != BACKGROUND)]
        assert float(((body - middle[row]) @ toward[row]).mean()) > -0.1


def test_box_centre_is_the_bodys_middle(plain: PersonBatch) -> None:
    low, high = plain.required("keypoints").amin(1), plain.required("keypoints").amax(1)
    assert float(((low + high) / 2).abs().amax()) < 0.25  # head top, feet and hands reach past the keypoints
    assert plain.views[:, :2].norm(dim=-1).min() > 3.5
    assert plain.views[:, :2].norm(dim=-1).max() < 6.5


def test_bearings_go_all_round(plain: PersonBatch) -> None:
    quadrant = (torch.atan2(plain.views[:, 1], plain.views[:, 0]) // (torch.pi / 2)).long()
    assert set(quadrant.tolist()) == {-2, -1, 0, 1}


def test_same_seed_same_crops() -> None:
    first, second = (CropSource(PLAIN, 9, CPU, "train").draw(6) for _ in range(2))
    torch.testing.assert_close(first.points, second.points, rtol=0, atol=0)


def test_the_crops_to_validate_on_stay_the_same() -> None:
    """The accuracy figures of the documents hang on them: a change of the order of random draws would move them all."""
    batch = CropSource(CropConfig(), VALIDATION_SEED, CPU, "val").draw(12)
    assert batch.required("counts").tolist() == [33, 158, 58, 36, 90, 404, 499, 62, 132, 85, 39, 97]
    noses = [-0.102, -0.001, 0.035, 0.014, -0.135, -0.239, -0.196, 0.264, -0.131, 0.102, 0.295, 0.179]
    assert batch.required("keypoints")[:, 0, 0].tolist() == pytest.approx(noses, abs=1e-3)
    assert float(batch.points.abs().sum()) == pytest.approx(918.8, abs=0.1)


@pytest.mark.parametrize(("split", "height_m"), [("train", 0.3), ("val", 0.3), ("train", 2.5)])
def test_near_people_are_seen_by_low_and_high_sensors(split: str, height_m: float) -> None:
    """From a robot dog to a truck; a high sensor with a narrow field of view sees nobody of the nearest."""
    config = CropConfig(
        sensors=("spinner16",), validation_sensors=("spinner16",), range_m=(0.7, 1.5 if height_m < 1 else 8.0),
        mount_height_m=(height_m, height_m), surroundings=ALONE,
    )  # fmt: skip
    batch = CropSource(config, 1, CPU, split).draw(16)
    assert len(batch) == 16 and bool(batch.points.isfinite().all())
    feet = (batch.required("keypoints")[..., 2].amin(1) + batch.views[:, 2]).median()
    assert float(feet) == pytest.approx(-height_m, abs=0.25)
    distance = batch.views[:, :2].norm(dim=-1)
    assert float(distance.min()) < 1.0 if height_m < 1 else float(distance.min()) > 1.5


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_sensor_that_sees_nobody_is_an_error(split: str) -> None:
    far = CropConfig(sensors=("spinner16",), validation_sensors=("spinner16",), range_m=(400.0, 500.0))
    with pytest.raises(InputError, match="range_m"):
        CropSource(far, 1, CPU, split).draw(2)


def test_people_of_whom_nothing_returns_lose_nothing_more() -> None:
    nobody = torch.zeros(3, 0, dtype=torch.bool)
    assert augment.hide(torch.zeros(3, 0, 3), nobody, torch.Generator().manual_seed(0), 1.0, 0.3).shape == (3, 0)


def test_split_loses_nobody(plain: PersonBatch) -> None:
    parts = plain.split(10, torch.Generator().manual_seed(0))
    assert sum(map(len, parts)) == len(plain)
    heights = torch.cat([part.required("keypoints")[:, 0, 2] for part in parts]).sort().values
    torch.testing.assert_close(heights, plain.required("keypoints")[:, 0, 2].sort().values)
    assert all(part.points.shape[1] == int(part.mask.sum(1).max()) for part in parts)


def test_augmentations_remove_what_they_should() -> None:
    g = torch.Generator().manual_seed(0)
    mask = torch.ones(400, 100, dtype=torch.bool)
    kept = augment.thin(mask, g, 1.0, 0.2).float().mean(1)
    assert 0.55 < float(kept.mean()) < 0.65  # U(0.2, 1) has mean 0.6
    assert bool(augment.thin(mask, g, 0.0, 0.2).all())
    beams = torch.arange(100).expand(400, -1)
    left = augment.thin_beams(mask, beams, g, 1.0)
    gaps = [set(row.nonzero()[:, 0].diff().tolist()) for row in left]
    regular = torch.tensor([gap in ({2}, {3}) for gap in gaps])
    assert 150 < int(regular.sum()) < 250
    shares = left[~regular].float().mean(1)
    assert 0.34 < float(shares.mean()) < 0.41  # U(0.15, 0.6) has mean 0.375
    both = augment.thin_beams(mask, beams // 2, g, 1.0).view(400, 50, 2)
    assert bool((both[..., 0] == both[..., 1]).all())  # whole beams, not points
    points = torch.rand(400, 100, 3, generator=g)
    hidden = ~augment.hide(points, mask, g, 1.0, 0.3)
    for row in range(20):
        gone = points[row][hidden[row]]
        assert float(torch.cdist(gone, gone).amax() if len(gone) else 0) <= 0.6


def test_two_steps_then_resume_to_four(tmp_path: Path) -> None:
    config = Stage1Config(
        out=tmp_path, steps=2, batch_size=4, pool_batches=1, pool_passes=1, validate_every=2, validation_people=8,
        crops=replace(PLAIN, max_points=48, validation_sensors=("os1_64",)), network=TINY,
    )  # fmt: skip
    Stage1(config).run()
    assert load_network(tmp_path / "last.safetensors").config == TINY
    first = torch.load(tmp_path / "last.pt", weights_only=True)
    again = Stage1(replace(config, steps=4))
    again.resume()
    assert again.step == 2
    for name, value in again.network.state_dict().items():
        torch.testing.assert_close(value, first["network"][name], rtol=0, atol=0)
    again.run()
    last = torch.load(tmp_path / "last.pt", weights_only=True)
    assert last["step"] == 4
    assert any(not torch.equal(last["network"][k], v) for k, v in first["network"].items())
    assert len((tmp_path / "validation.jsonl").read_text().splitlines()) == 2
    assert load_network(tmp_path / "best.safetensors").config == TINY


def test_training_lowers_the_error() -> None:
    """A small network learns twelve fixed crops by heart."""
    config = Stage1Config(steps=10_000, warmup_steps=1, learning_rate=3e-3, crops=PLAIN, network=TINY)
    run, batch = Stage1(config), CropSource(PLAIN, 1, CPU, "train").draw(12)
    errors = [run.learn(batch)["mpjpe"] for _ in range(60)]
    assert errors[-1] < 0.5 * errors[0]


def test_calibration_finds_a_known_distortion() -> None:
    """Confidence calibrated on crops stays as it is when its logits were stretched before."""
    run = Stage1(Stage1Config(crops=PLAIN, network=TINY))
    batches = [CropSource(PLAIN, 2, CPU, "train").draw(32)]
    calibrate(run.averaged, batches)
    once = predict(run.averaged, batches)[1]
    last = run.averaged.confidence[-1]
    last.weight.data, last.bias.data = last.weight.data / 3, last.bias.data / 3 - 0.5
    calibrate(run.averaged, batches)
    assert abs(once - predict(run.averaged, batches)[1]).max() < 1e-2


def test_schedule_is_a_trapezoid() -> None:
    config = Stage1Config(steps=100, warmup_steps=10, decay_fraction=0.2)
    assert [config.schedule(step) for step in (0, 4, 9, 50, 80)] == pytest.approx([0.1, 0.5, 1, 1, 1])
    assert config.schedule(90) == pytest.approx(0.5)
    assert config.schedule(99) == pytest.approx(0.05)
