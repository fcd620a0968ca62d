"""How the person detector learns, and what the one that ships finds on streets that it never saw."""

from pathlib import Path

import numpy as np
import pytest
import torch

from gckpl_ros.config import DetectConfig
from gckpl_ros.detect import Detector
from gckpl_ros.detect.network import PersonConfig, PersonNetwork, load_person, save_person
from gckpl_ros.errors import InputError
from gckpl_training.learn.look import LookTraining, LookTrainingConfig, taught, varied
from gckpl_training.learn.person import (
    PersonTraining,
    PersonTrainingConfig,
    Truth,
    augmented,
    lesson,
    losses,
    measured,
    scans,
)
from gckpl_training.simulate.scenes import SceneSource, save_shard
from gckpl_training.street import Street

SMALL = PersonConfig(width=8, dilations=(1,), point_width=8, points=16)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("scans")
    source = SceneSource("train", ())
    save_shard(path / "0000.npz", [scan for index in range(2) for scan in source.scene(index)])
    return path


def test_the_detector_that_ships_finds_the_people_of_a_new_street_and_hardly_anything_else() -> None:
    street = Street(seed=77, sensor_name="spinner32", seconds=0.5)
    detector, found, true, invented = Detector(DetectConfig()), 0, 0, 0
    for scan in street.scans():
        boxes = detector(scan.cloud, scan.T_odom_sensor)
        asked = (scan.points_per_person >= 20) & (np.linalg.norm(scan.boxes.centers[:, :2], axis=1) < 24)
        away = np.linalg.norm(scan.boxes.centers[:, None, :2] - boxes.centers[:, :2], axis=-1)
        hit = away.min(1, initial=9.0) < 0.5
        found, true = found + int((hit & asked).sum()), true + int(asked.sum())
        invented += int((away.min(0, initial=9.0) > 0.5).sum())
        heights = scan.boxes.sizes[hit, 2] - boxes.sizes[away[hit].argmin(1), 2]
        assert np.abs(heights).mean() < 0.2
    assert true > 10 and found / true > 0.75 and invented <= 2


def test_a_turned_and_mirrored_scan_keeps_people_in_their_boxes() -> None:
    """A cross of points stands for a box: its ends stay on the box's axes."""
    box = np.array([[6.0, 2.0, 0.0, 0.8, 0.4, 1.6, 0.5]], np.float32)
    cos, sin = np.cos(0.5), np.sin(0.5)
    ends = (np.array([[0.4 * cos, 0.4 * sin, 0], [-0.2 * sin, 0.2 * cos, 0], [0, 0, 0.8]]) + box[:, :3]).astype(
        np.float32
    )
    for seed in range(20):
        points, truth = augmented(ends, Truth(box, np.array([3])), np.random.default_rng(seed))
        center, size, yaw = truth.boxes[0, :3], truth.boxes[0, 3:6], truth.boxes[0, 6]
        scale = size[2] / 1.6
        axes = np.array([[np.cos(yaw), np.sin(yaw), 0], [-np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
        local = np.abs((points - center) @ axes.T)
        assert 0.93 < scale < 1.07
        for row in local:
            assert min(np.abs(row - end).max() for end in np.diag([0.4, 0.2, 0.8]) * scale) < 1e-4


def test_boxes_of_a_lesson_stand_on_the_ground_and_the_rim_does_not_count() -> None:
    rng = np.random.default_rng(0)
    ground = np.column_stack([rng.uniform(-26, 26, (40_000, 2)), np.full(40_000, -1.4)])
    posts = [[x, 0.0, z] for x in (8.0, 24.8) for z in np.linspace(-1.2, 0.3, 20)]
    boxes = np.array([[8, 0, -0.5, 0.5, 0.5, 1.8, 0], [24.8, 0, -0.5, 0.5, 0.5, 1.8, 0]], np.float32)
    seen, truth = lesson(np.concatenate([ground, posts]).astype(np.float32), Truth(boxes, np.array([20, 20])))
    assert len(seen) > 0 and truth.returns.tolist() == [20, 0]
    np.testing.assert_allclose(truth.boxes[:, 2], 0.9, atol=0.02)


def test_losses_fall_on_what_is_shown(folder: Path) -> None:
    torch.manual_seed(0)
    network, rng = PersonNetwork(SMALL), np.random.default_rng(0)
    batch = [lesson(points, truth) for points, truth in scans(folder / "0000.npz")][:2]
    optimizer, totals = torch.optim.Adam(network.parameters(), lr=1e-2), []
    for _ in range(12):
        total = torch.stack(list(losses(network, batch, rng).values())).sum()
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        totals.append(float(total.detach()))
    assert totals[-1] < 0.7 * totals[0]


def test_a_run_resumes_where_it_stopped_and_writes_what_it_measured(folder: Path, tmp_path: Path) -> None:
    config = PersonTrainingConfig(
        out=tmp_path / "run", scans=folder, validation=folder, steps=2, batch_size=1, validate_every=2, network=SMALL
    )
    PersonTraining(config).run()
    longer = PersonTraining(PersonTrainingConfig(**{**vars(config), "steps": 3}))
    figures = longer.run()
    assert longer.step == 3 and (tmp_path / "run/final.safetensors").exists()
    assert 0 <= figures["recall_at_97"] <= figures["proposed"] <= 1
    assert measured(longer.averaged, folder)[0] == figures


def test_without_scans_it_says_how_to_make_some(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gckpl_training\.simulate\.scenes"):
        PersonTraining(PersonTrainingConfig(out=tmp_path / "run", scans=tmp_path))


def test_crops_are_taught_as_what_stands_there_and_stay_so_when_they_are_varied(folder: Path) -> None:
    """Mirrored and shifted, the box that is asked for holds the same share of the points."""
    network, rng = PersonNetwork(PersonConfig(least=0.01)).eval(), np.random.default_rng(0)
    points, truth = max(scans(folder / "0000.npz"), key=lambda scan: int((scan[1].returns > 50).sum()))
    crops = taught(network, lesson(points, truth), rng)
    assert crops.person.sum() >= (truth.returns >= 50).sum() and not (crops.person & ~crops.boxed).any()
    again = varied(crops, rng)

    def inside(these: object) -> np.ndarray:
        shift, low, high = these.box[:, :2], these.box[:, 2], these.box[:, 3]
        reach = np.exp(these.box[:, 4:6]).max(1) / 2 + 0.15
        near = np.linalg.norm(these.points[..., :2] - shift[:, None], axis=-1) < reach[:, None]
        held = near & (these.points[..., 2] > low[:, None] - 0.15) & (these.points[..., 2] < high[:, None] + 0.15)
        return held[these.person].mean(1)

    assert inside(crops).mean() > 0.6
    np.testing.assert_allclose(inside(again).mean(), inside(crops).mean(), atol=0.1)


def test_the_second_stage_goes_on_alone_and_resumes(folder: Path, tmp_path: Path) -> None:
    start = tmp_path / "start.safetensors"
    save_person(start, PersonNetwork(SMALL), {})
    config = LookTrainingConfig(
        out=tmp_path / "look", start=start, scans=(folder,), validation=folder, steps=2, batch_size=8, draw_steps=2
    )
    LookTraining(config).run()
    longer = LookTraining(LookTrainingConfig(**{**vars(config), "steps": 3}))
    figures = longer.run()
    assert longer.step == 3 and 0 <= figures["ap"] <= 1
    before, after = load_person(start).state_dict(), load_person(tmp_path / "look/final.safetensors").state_dict()
    changed = {name.split(".")[0] for name, value in before.items() if not torch.equal(value, after[name])}
    assert {"look", "again", "decide"} <= changed <= {"look", "again", "decide", "calibration"}
    with pytest.raises(InputError, match=r"gckpl_training\.simulate\.scenes"):
        LookTraining(LookTrainingConfig(start=start, scans=(tmp_path / "none",)))
