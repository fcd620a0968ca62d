"""Person sequences on disk: values laid out by hand come back, faults are named, commands do what they say."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from people import STANDING

from gckpl_ros import cli
from gckpl_ros.batch import PersonBatch
from gckpl_ros.errors import InputError
from gckpl_training.data.overview import bones, postures
from gckpl_training.data.sequences import Sequences, open_shard, open_shards, shard_files, stored, write_shard

MS = 1_000_000


def two(tracks: tuple[int, int] = (7, 9)) -> Sequences:
    """Somebody in two frames (3 and 1 points), another in one frame (2 points)."""
    arrays = {
        "frame_start": np.array([0, 2, 3]),
        "point_start": np.array([0, 3, 4, 6]),
        "points": np.arange(18).reshape(6, 3) * 0.0125,
        "views": np.array([[5, 0, 0], [5, 1, 0], [0, 9, 0]]),
        "origins": np.array([[0, 0, 0], [0, 1, 0], [0, 0, 0]]),
        "track_ids": np.array(tracks),
        "stamps_ns": np.array([1000 * MS, 1100 * MS, 5 * MS]),
        "keypoints": np.stack([STANDING] * 3),
        "parts": np.array([0, 1, 2, 3, 4, 5]),
    }
    return Sequences(stored(arrays), {"source": "by hand"})


def test_sequences_of_any_length_become_one_batch() -> None:
    """Behind the shorter one comes a frame without points, long after."""
    people = two().batch()
    assert people.mask.tolist() == [[[True, True, True], [True, False, False]], [[True, True, False], [False] * 3]]
    torch.testing.assert_close(people.points[0, 1, 0], torch.tensor([9, 10, 11]) * 0.0125)
    torch.testing.assert_close(people.points[1, 0, 1], torch.tensor([15, 16, 17]) * 0.0125)
    torch.testing.assert_close(people.dt_s, torch.tensor([[0, 0.1], [0, 60]]))
    assert people.parts[1, 0].tolist() == [4, 5, 0] and people.ids.tolist() == [[7, 7], [9, 9]]
    assert people.views[1].tolist() == [[0, 9, 0]] * 2


def test_windows_are_cut_and_begin_anew() -> None:
    people = two().windows(1)
    assert len(people) == 3 and people.ids[:, 0].tolist() == [7, 7, 9]
    assert people.origins.eq(0).all() and people.dt_s.eq(0).all()
    assert len(two().windows(2)) == 1


def test_a_batch_comes_back_as_it_was(tmp_path: Path) -> None:
    """Through the disk, and to half a half millimetre."""
    people = two().batch()
    again = open_shard(write_shard(tmp_path / "a.people", Sequences.of(people))).batch()
    for name in ("points", "mask", "views", "origins", "dt_s", "ids", "keypoints", "parts"):
        torch.testing.assert_close(again.required(name), people.required(name), atol=2.5e-4, rtol=0)
    crops = PersonBatch(people.points[:, 0], people.mask[:, 0], people.views[:, 0])
    assert open_shard(write_shard(tmp_path / "b.people", Sequences.of(crops))).batch().mask.shape == (2, 1, 3)
    with pytest.raises(InputError, match="further than 16 m"):
        Sequences.of(PersonBatch(torch.full((1, 1, 3), 20.0), torch.ones(1, 1, dtype=torch.bool), torch.zeros(1, 3)))


def test_rows_and_joined_ones_are_those_of_the_whole() -> None:
    rows = two().rows([1])
    assert rows["track_ids"].tolist() == [9] and rows["parts"].tolist() == [4, 5]
    joined = Sequences.join([two().rows([0]), rows])
    assert all(np.array_equal(joined[name], two()[name]) for name in two().arrays)


def test_faults_are_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    good, flipped, short, newer = (write_shard(tmp_path / f"{n}.people", two()) for n in ("a", "b", "c", "d"))
    data = bytearray(flipped.read_bytes())
    data[-3] ^= 1
    flipped.write_bytes(data)
    short.write_bytes(good.read_bytes()[:-5])
    newer.write_bytes(good.read_bytes().replace(b'"version":"1"', b'"version":"2"'))
    (tmp_path / "e.people").write_bytes(b"something else")
    found = open_shards([tmp_path])
    assert found.files == (good,) and len(found) == 2
    told = {path.name: reason for path, reason in found.skipped.items()}
    assert "not as they were written" in told["b.people"] and "version 2" in told["d.people"]
    assert "damaged" in told["c.people"] and "damaged" in told["e.people"]
    with pytest.raises(InputError, match="version 2"):
        open_shards([newer])
    with pytest.raises(InputError, match="No space left"):
        write_shard(Path("/dev/full"), two())
    wrong = Sequences({**two().arrays, "views": np.zeros((2, 3), np.float32)})
    with pytest.raises(InputError, match="belong together"):
        open_shard(write_shard(tmp_path / "f.people", wrong))


def test_postures_and_bones_of_a_standing_and_a_lying_person() -> None:
    lying = STANDING[:, [2, 1, 0]]
    both, known = np.stack([STANDING, lying]), np.ones((2, 14), bool)
    assert postures(both, known) == {"upright": 0.5, "low": 0.0, "bent": 0.0, "lying": 0.5, "arm raised": 0.0}
    np.testing.assert_allclose(bones(both, known)["left_hip - left_knee"], [0.4, 0.4], atol=1e-6)


def test_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def gckpl(*arguments: object) -> int:
        monkeypatch.setattr(sys, "argv", ["gckpl", "data", *map(str, arguments)])
        try:
            cli.main()
        except SystemExit as ended:
            return int(ended.code or 0)
        return 0

    for number in range(4):
        write_shard(tmp_path / f"one/{number}.people", two((2 * number, 2 * number + 1)))
    write_shard(tmp_path / "two/0.people", two())
    assert gckpl("merge", tmp_path / "one", tmp_path / "two", "--out", tmp_path / "all") == 0
    assert [file.name for file in shard_files(tmp_path / "all")] == [
        *("1.people", "2.people", "3.people", "one-0.people", "two-0.people"),
    ]
    assert gckpl("split", tmp_path / "all", "--out", tmp_path / "dealt", "--shares", "train", 0.5, "val", 0.5) == 0
    sides = [open_shards([tmp_path / "dealt" / side]) for side in ("train", "val")]
    assert sum(map(len, sides)) == 10 and min(map(len, sides)) > 0
    assert gckpl("stats", tmp_path / "all", "--out", tmp_path / "stats") == 0
    figures = json.loads((tmp_path / "stats/stats.json").read_text())
    assert (figures["sequences"], figures["frames"], figures["points"]) == (10, 15, 30)
    assert figures["ranges_m"]["0.5"] == pytest.approx(np.sqrt(26), abs=1e-3)
    assert gckpl("show", tmp_path / "all", "--out", tmp_path / "people.png", "--people", 2) == 0
    assert (tmp_path / "people.png").stat().st_size > 2000
    (tmp_path / "all/1.people").write_bytes(b"")
    capsys.readouterr()
    assert gckpl("check", tmp_path / "all") == 2
    out = capsys.readouterr()
    assert "2 sequences, 3 frames, 6 points" in out.out and "1 of 5 shards cannot be used" in out.err
