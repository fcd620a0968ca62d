from pathlib import Path

import numpy as np
import pytest
import torch

from gckpl_ros.geometry import in_box
from gckpl_training.scene import solids, streetside, things
from gckpl_training.scene.plan import Ground
from gckpl_training.simulate import scenes
from gckpl_training.simulate.scenes import POSTURES, SceneScan, SceneSource

STREETSIDE = {*streetside.FRONTS, *streetside.ALONE, *streetside.WIDE}
KINDS = sorted(
    {*things.UPRIGHT, *things.LOW, *things.LARGE, *things.INDOOR, *things.HELD_OUT, *STREETSIDE},
    key=lambda f: f.__name__,
)
WITH_PEOPLE = [things.pram, things.trolley, things.umbrella]


@pytest.fixture(scope="module")
def source() -> SceneSource:
    return SceneSource("train", ())


@pytest.fixture(scope="module")
def scans(source: SceneSource) -> list[SceneScan]:
    return [scan for index in range(3) for scan in source.scene(index)]


def volume(solid: solids.Solid) -> float:
    """By the divergence theorem: positive where faces are counter-clockwise seen from outside."""
    a, b, c = solid.vertices[solid.faces].astype(float).transpose(1, 0, 2)
    return float((a * np.cross(b, c)).sum() / 6)


@pytest.mark.parametrize("maker", [*KINDS, *WITH_PEOPLE], ids=lambda f: f.__name__)
def test_things_are_seen_from_outside_and_stand_on_the_ground(maker: things.Maker) -> None:
    for seed in range(5):
        solid = maker(np.random.default_rng(seed))
        assert np.isfinite(solid.vertices).all() and solid.faces.max() < len(solid.vertices)
        assert volume(solid) > -1e-6  # leaves have two sides and no volume
        assert -1 < solid.vertices[:, 2].min() < 0.3


def test_a_box_and_a_rod_have_their_volumes() -> None:
    assert volume(solids.blocks((1, 2, 3, 2, 3, 4, 0.7))) == pytest.approx(24)
    rod = solids.rods((0, 0, 0, 1, 2, 2, 0.1), points=64)
    assert volume(rod) == pytest.approx(np.pi * 0.01 * 3, rel=0.01)
    assert volume(solids.lathe((0, 0.5), (2, 0.5), points=64)) == pytest.approx(np.pi * 0.5, rel=0.01)


def test_lumps_never_turn_inside_out() -> None:
    lump = solids.lumpy(solids.lathe((0, 0.5), (2, 0.5), points=64), 1.0, np.random.default_rng(0))
    assert np.isfinite(lump.vertices).all() and (lump.vertices[:, 2] >= 0).all()


def test_heights_are_those_of_the_grounds_triangles() -> None:
    rng = np.random.default_rng(3)
    for _ in range(3):
        ground = Ground(rng, level=False)
        corners = ground.solid.vertices[ground.solid.faces].astype(float)
        for face in rng.integers(len(corners), size=100):
            shares = rng.dirichlet([1, 1, 1])
            x, y, z = shares @ corners[face]
            steep = np.ptp(corners[face][:, 0]) < 0.1  # within a kerb float32 decides about the height
            assert steep or ground.height(x, y) == pytest.approx(z, abs=2e-3)


def test_boxes_hold_their_owners_points(scans: list[SceneScan]) -> None:
    held = []
    for scan in scans:
        assert scan.owner.max() < len(scan.boxes) and scan.owner.min() == scenes.NOBODY
        assert np.array_equal(scan.returns, np.bincount(scan.owner[scan.owner >= 0], minlength=len(scan.boxes)))
        assert (np.linalg.norm(scan.points[:, :2], axis=1) < scenes.RANGE_M).all()
        for row, box in enumerate(scan.boxes):
            points = scan.points[scan.owner == row]
            inside = in_box((points - box[:3])[None], box[None, 3:6] + 0.3, box[None, 6])[0]
            if POSTURES[scan.postures[row]] in ("sitting", "lying", "crawling", "crouching", "bending"):
                assert inside.mean() > 0.99 if len(points) else True  # they carry nothing
            held.extend(inside)
    assert np.mean(held) > 0.9


def test_people_are_of_a_persons_size_and_stand_near_the_ground(scans: list[SceneScan]) -> None:
    boxes = np.concatenate([scan.boxes for scan in scans])
    assert len(boxes) > 20
    assert (boxes[:, 3:5] > 0.15).all() and (boxes[:, 3:5] < 2.3).all()
    assert (boxes[:, 5] > 0.12).all() and (boxes[:, 5] < 2.6).all()


def test_the_same_seed_makes_the_same_scene_and_another_index_another(
    source: SceneSource, scans: list[SceneScan]
) -> None:
    again = source.scene(1)[0]
    assert all(np.array_equal(a, b) for a, b in zip(again[:5], scans[2][:5], strict=True))
    assert not np.array_equal(scans[0].boxes, scans[2].boxes)
    assert not np.array_equal(SceneSource("train", (), seed=1).scene(1)[0].boxes, again.boxes)


def test_splits_share_neither_subjects_nor_sensors(tmp_path: Path) -> None:
    file = tmp_path / "mocap.npz"
    quat = np.zeros((40, 22, 4), np.float16)
    quat[..., 0] = 1
    np.savez(
        file, quat_wxyz=quat, trans=np.zeros((40, 3)), start=[0, 10, 20, 40], fps=[30, 30, 30],
        name=["a", "b", "c"], subject=["1", "2", "3"], split=["train", "val", "train"],
        joint_names=list(scenes.JOINT), text=["", "", ""],
    )  # fmt: skip
    sources = {split: SceneSource(split, (file,)) for split in ("train", "val", "test")}
    subjects = {split: {clip.subject for clip in source.poses.library.clips} for split, source in sources.items()}
    assert subjects == {"train": {"1", "3"}, "val": {"2"}, "test": {"2"}}
    g, rng = torch.Generator().manual_seed(0), np.random.default_rng(0)
    sensors = {split: {scenes._sensor(split, rng, g).name for _ in range(40)} for split in sources}
    assert sensors["val"] == sensors["test"] == {"spinner32", "wavy40"}
    assert not sensors["train"] & sensors["val"]


def test_a_shard_gives_back_its_scans(tmp_path: Path, scans: list[SceneScan]) -> None:
    scenes.save_shard(tmp_path / "0000.npz", scans)
    found = list(scenes.load_scans(tmp_path / "0000.npz"))
    assert len(found) == len(scans)
    for one, other in zip(found, scans, strict=True):
        assert np.abs(one.points - other.points).max() <= scenes.POINT_M / 2 + 1e-5
        assert np.array_equal(one.owner, other.owner) and np.array_equal(one.boxes, other.boxes)
        assert np.array_equal(one.returns, other.returns) and one.sensor == other.sensor
