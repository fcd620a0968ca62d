"""People out of recordings: whoever is tracked for long enough, where the boxes put them."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ros_messages import SCAN_NS, START_NS, TYPES, cloud, detections

from gckpl_ros import cli
from gckpl_ros.errors import InputError
from gckpl_ros.io.live.interface import INPUTS
from gckpl_ros.io.recording.bag import BagWriter
from gckpl_ros.io.recording.replay import CLOUD_TYPE
from gckpl_training.data.people import read_people, save_people
from gckpl_training.data.sequences import open_shard

CLOUDS, STEP_M = 9, 0.1
STARTS = np.array([[6.0, -2.0, 0.0], [8.0, 3.0, 0.0]])


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people who go ahead, 10 cm in each cloud."""
    path, rng = tmp_path_factory.mktemp("walk") / "walk.mcap", np.random.default_rng(0)
    shape = rng.uniform([-0.2, -0.2, -0.8], [0.2, 0.2, 0.8], (60, 3))
    with BagWriter(path, {"/lidar/points": CLOUD_TYPE, "/detections": INPUTS["detections"].type}) as writer:
        for i in range(CLOUDS):
            places = STARTS + np.array([STEP_M * i, 0, 0])
            boxes = [detections(i, "person", at=at).detections[0] for at in places]
            array = TYPES[INPUTS["detections"].type](header=detections(i).header, detections=boxes)
            points = np.concatenate([shape + at for at in places])
            for topic, message in (("/lidar/points", cloud(i, points)), ("/detections", array)):
                writer.write(topic, START_NS + i * SCAN_NS, message)
    return path


def test_tracked_people_become_crop_sequences(walk: Path) -> None:
    """Each is tracked from the second cloud on (track.confirm_hits), so eight clouds are two sequences of four."""
    people = read_people((walk,), frames=4)
    assert len(people) == 4 and people.frames == 4 and people.seen.all()
    steps = people.origins.diff(dim=1)
    torch.testing.assert_close(steps, torch.tensor([STEP_M, 0, 0]).expand_as(steps), atol=1e-3, rtol=0)
    torch.testing.assert_close(people.points[:, 0].mean(1)[:, :2], torch.zeros(4, 2), atol=0.1, rtol=0)
    assert sorted(people.views[:, 0, 1].round().tolist()) == [-2, -2, 3, 3]


def test_recordings_and_crop_files_are_joined(walk: Path, tmp_path: Path) -> None:
    few = read_people((walk,), frames=4)
    save_people(tmp_path / "crops.people", few)
    assert len(read_people((walk, tmp_path / "crops.people"), frames=4)) == 2 * len(few)
    assert len(read_people((walk, tmp_path / "crops.people"), frames=2)) == 4 * len(few)
    with pytest.raises(InputError, match=r"\[4, 8\] frames"):
        read_people((walk, tmp_path / "crops.people"), frames=8)


def test_whoever_has_few_points_is_left_out(walk: Path, tmp_path: Path) -> None:
    few = read_people((walk,), frames=4)
    mask = few.mask.clone()
    mask[0, :2, 7:] = False
    mask[1, :1, 7:] = False
    save_people(tmp_path / "crops.people", replace(few, mask=mask))
    assert len(read_people((tmp_path / "crops.people",), frames=4)) == len(few) - 1


def test_recordings_become_shards_that_are_made_once(
    walk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = [
        "gckpl",
        "data",
        "from-bag",
        str(walk),
        str(tmp_path / "no.mcap"),
        "--out",
        str(tmp_path),
        "--frames",
        "4",
    ]
    monkeypatch.setattr(sys, "argv", arguments)
    cli.main()
    shard = open_shard(tmp_path / "walk.people")
    torch.testing.assert_close(shard.batch().points, read_people((walk,), frames=4).points)
    assert len(shard) == 4 and len(set(shard["track_ids"].tolist())) == 2 and shard.about["source"] == "walk.mcap"
    ahead = shard["places"][:, 0] - STARTS[:, 0].min()
    assert (ahead > 0).all()
    made = (tmp_path / "walk.people").stat().st_mtime_ns
    cli.main()
    assert (tmp_path / "walk.people").stat().st_mtime_ns == made


def test_nobody_seen_for_long_enough_is_an_error(walk: Path) -> None:
    with pytest.raises(InputError, match="nobody to learn from"):
        read_people((walk,), frames=CLOUDS)
