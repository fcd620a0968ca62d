"""Far training: stored crops come back as they were, a resumed run draws the same, a teacher and hard crops count."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from gckpl_ros.batch import PersonBatch
from gckpl_ros.errors import InputError
from gckpl_ros.estimate.checkpoint import save_network
from gckpl_ros.estimate.tokens import TokenConfig, TokenNetwork
from gckpl_ros.skeleton import MIRROR
from gckpl_training.commands.data import Simulate
from gckpl_training.data import crops as stored
from gckpl_training.data.crops import Hardness, StoredCrops, save_crops
from gckpl_training.learn.far import FarConfig, FarTraining
from gckpl_training.simulate.augment import cut_off
from gckpl_training.simulate.maker import CropConfig
from gckpl_training.simulate.people import CropSource
from gckpl_training.simulate.varied import CROPS

CPU = torch.device("cpu")
TINY = TokenConfig(width=16, point_width=8, heads=2, layers=2, free_tokens=2, neighbours=2, fourier_bands=2)


@pytest.fixture(scope="module")
def crops() -> PersonBatch:
    return CropSource(CropConfig(range_m=(4.0, 8.0)), 1, CPU, "train").draw(40)


@pytest.fixture(scope="module")
def folder(crops: PersonBatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    found: Path = tmp_path_factory.mktemp("shards")
    for place, rows in enumerate(torch.arange(40).split(20)):
        save_crops(found / f"{place:04d}.npz", crops.rows(rows))
    return found


def config(folder: Path, out: Path, **changes: object) -> FarConfig:
    plain = FarConfig(
        out=out, shards=folder, steps=2, batch_size=4, network=TINY, precision="float32", validate_every=100,
        validation_people=4, crops=CropConfig(range_m=(4.0, 8.0), validation_sensors=("os1_64",)),
    )  # fmt: skip
    return replace(plain, **changes)  # type: ignore[arg-type]


def test_crops_come_back_thinned_mirrored_and_scaled(
    crops: PersonBatch, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Undone by hand, every crop is the stored one; its joints as exactly as float32, its points to half a mm."""
    monkeypatch.setattr(stored, "THINNED", (30, 60))
    kept, g = StoredCrops(folder), torch.Generator().manual_seed(0)
    assert len(kept) == 40 and kept.shard(1).tolist() == list(range(20, 40))
    seen, flips = [], 0
    for batch in kept.batches(torch.arange(40), 8, g):
        for row, number in enumerate(batch.required("ids").tolist()):
            scale = float(batch.views[row].norm() / crops.views[number].norm())
            assert 0.93 <= scale <= 1.07
            flipped = bool(batch.views[row, 1] * crops.views[number, 1] < 0)
            side = torch.tensor([scale, -scale if flipped else scale, scale])
            joints = batch.required("keypoints")[row] / side
            joints = joints[list(MIRROR)] if flipped else joints
            torch.testing.assert_close(joints, crops.required("keypoints")[number], atol=1e-5, rtol=0)
            n = int(batch.mask[row].sum())
            assert n == min(int(crops.mask[number].sum()), n) and n < 60
            torch.testing.assert_close(batch.points[row, :n] / side, crops.points[number, :n], atol=3e-4, rtol=0)
            flips += flipped
            seen.append(number)
    assert sorted(seen) == list(range(40)) and 8 < flips < 32


def test_a_broken_shard_and_an_empty_folder_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="gckpl data simulate"):
        StoredCrops(tmp_path)
    (tmp_path / "0000.npz").write_bytes(b"PK, but no archive")
    with pytest.raises(InputError, match="simulate it anew"):
        StoredCrops(tmp_path)


def test_hard_crops_are_drawn_more_often_and_again_after_a_restart() -> None:
    hard = Hardness(100)
    hard.note(torch.arange(50), torch.full((50,), 0.3))
    hard.note(torch.arange(50, 90), torch.full((40,), 0.1))
    weights = hard.weights(1.0)
    mean = (50 * 0.3 + 40 * 0.1) / 90
    torch.testing.assert_close(weights[[0, 60, 95]], torch.tensor([0.3 / mean, 0.1 / mean, 1.0]))
    hard.note(torch.arange(50), torch.full((50,), 0.1))
    again = Hardness(120)  # more was simulated since
    again.load_state_dict(hard.state_dict())
    torch.testing.assert_close(again.weights(1.0)[:100], weights, rtol=2e-3, atol=0)
    torch.testing.assert_close(again.weights(1.0)[:100], hard.weights(1.0), rtol=2e-3, atol=0)


def test_the_field_of_view_ends_where_a_plane_through_the_sensor_does() -> None:
    g = torch.Generator().manual_seed(0)
    points = torch.randn(200, 80, 3, generator=g) * 0.3 + torch.tensor([2.0, 1.0, -0.5])
    mask = torch.ones(200, 80, dtype=torch.bool)
    assert bool(cut_off(points, mask, g, 0.0).all())
    stays = cut_off(points, mask, g, 1.0)
    assert 40 <= int(stays.sum(1).min()) < 60 and 0.7 < float(stays.float().mean()) < 0.8  # half of U(0, 1) goes
    bearing = torch.atan2(points[..., 1], points[..., 0])
    elevation = points[..., 2] / points[..., :2].norm(dim=-1)
    for row in range(200):
        gone, left = ~stays[row], stays[row]
        if gone.any():
            apart = [
                float(a[row][gone].min()) > float(a[row][left].max())
                for a in (bearing, -bearing, elevation, -elevation)
            ]
            assert any(apart)


def test_a_run_resumes_as_if_it_had_not_stopped(folder: Path, tmp_path: Path) -> None:
    """Also with hard crops drawn more often, and from settings written before some of them existed."""
    whole = FarTraining(config(folder, tmp_path / "whole", mined=1.0, steps=14))
    stopped = FarTraining(config(folder, tmp_path / "stopped", mined=1.0, steps=14))
    for _ in range(14):
        whole.train_step()
        whole.step += 1
    for _ in range(12):
        stopped.train_step()
        stopped.step += 1
    (tmp_path / "stopped").mkdir()
    stopped.save()
    held = torch.load(tmp_path / "stopped/last.pt", weights_only=True)
    old = held["made_of"].replace('"size": "", ', "").replace("{", '{"shards": "another digest", ', 1)
    torch.save({**held, "made_of": old}, tmp_path / "stopped/last.pt")
    resumed = FarTraining(config(folder, tmp_path / "stopped", mined=1.0, steps=14))
    resumed.resume()
    for _ in range(2):
        resumed.train_step()
        resumed.step += 1
    for name, value in whole.network.state_dict().items():
        torch.testing.assert_close(value, resumed.network.state_dict()[name], rtol=1e-4, atol=1e-5)
    with pytest.raises(InputError, match="learning_rate"):
        FarTraining(config(folder, tmp_path / "stopped", learning_rate=1.0)).resume()


def test_a_teacher_is_followed_where_it_is_sure(folder: Path, tmp_path: Path) -> None:
    torch.manual_seed(1)
    teacher = TokenNetwork(TINY)
    save_network(tmp_path / "teacher.safetensors", teacher, {})
    run = FarTraining(config(folder, tmp_path, teacher=str(tmp_path / "teacher.safetensors"), teacher_weight=2.0))
    batch = run.batches.next(0)
    with torch.no_grad():
        said, taught = run.network.predict(batch), teacher.eval().predict(batch)
    figures = run.losses(said, batch)
    sure = taught.confidence_logit.sigmoid()
    by_hand = ((said.steps - taught.keypoints).norm(dim=-1) * sure).sum(-1).mean()
    torch.testing.assert_close(figures["taught"], by_hand)
    alone = 0.5 * figures["keypoints"] + figures["parts"] + figures["confidence"]
    torch.testing.assert_close(figures["loss"], alone + 0.5 * 2.0 * by_hand)


def test_shards_are_simulated_once(tmp_path: Path) -> None:
    Simulate(tmp_path, shards=2, crops=6).run()
    first, second = sorted(tmp_path.glob("*.npz"))
    before = first.read_bytes()
    second.unlink()
    Simulate(tmp_path, shards=2, crops=6).run()
    assert first.read_bytes() == before and second.exists()
    kept = StoredCrops(tmp_path)
    assert len(kept) == 12
    (batch,) = kept.batches(torch.arange(12), 12, torch.Generator().manual_seed(0), cut=1.0)
    assert bool((batch.mask.sum(1) >= CROPS.min_points).all()) and int(batch.required("parts").max()) <= 14
