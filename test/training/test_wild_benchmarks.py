"""The benchmarks of learning without labels, with little of everything: what they count, keep and mislead with."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import roma
import torch

from gckpl_ros.body.kinematics import JOINTS
from gckpl_ros.config import Config
from gckpl_ros.files import save_arrays
from gckpl_ros.pipeline import Pipeline
from gckpl_ros.types import Sample
from gckpl_training.bench import adaptation as online_gain
from gckpl_training.bench import labelfree
from gckpl_training.bench import labelfree as labelfree_runs
from gckpl_training.learn import stage2
from gckpl_training.motion.library import ProceduralMotions
from gckpl_training.simulate import wild

TINY = labelfree_runs.Scale(
    sizes=(2, 3), test_people=3, steps=2, ablation_steps=1, label_steps=1, weak_steps=2, temporal_people=4,
    temporal_steps=2, labelled=4, shares=(0.5,),
)  # fmt: skip


@pytest.fixture(scope="module")
def mocap(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of procedural walking under the names of clips for Stage I, to learn from and to measure on."""
    names = ("02_01", *wild.UNLABELLED[:2], *wild.TEST[:2])
    splits = ["train", *["val"] * 4]
    frames = ProceduralMotions().sample_sequences(len(names), 66, 1 / 30, torch.Generator().manual_seed(0))
    pose, place = (torch.stack([frame[part] for frame in frames], 1) for part in (0, 1))
    quat = roma.quat_xyzw_to_wxyz(roma.rotmat_to_unitquat(pose.flatten(0, 1)))
    file = tmp_path_factory.mktemp("mocap") / "walks.npz"
    arrays = {
        "quat_wxyz": quat.numpy(),
        "trans": (place + torch.tensor([0, 0, 0.95])).flatten(0, 1).numpy(),
        "start": 66 * np.arange(len(names) + 1),
        "name": np.array(names),
        "subject": np.array([name[:2] for name in names]),
        "split": np.array(splits),
        "fps": np.full(len(names), 30.0),
        "joint_names": np.array(JOINTS),
    }
    save_arrays(file, **arrays)
    return file


def test_people_to_learn_from_and_to_measure_on_share_no_clip() -> None:
    assert not set(wild.UNLABELLED) & set(wild.TEST)
    assert {"06", "11"} <= {name[:2] for name in wild.TEST} - {name[:2] for name in wild.UNLABELLED}


def test_labelfree_has_every_row_once_and_does_not_measure_twice(
    mocap: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(labelfree, "SMALL", TINY)
    monkeypatch.setattr(stage2, "POOL", 1)
    monkeypatch.setattr(labelfree, "ADDED", {"flow": 0.02, "joint_to_part": 2.0})
    result = labelfree.labelfree_result(mocap, ("strong",), small=True, folder=tmp_path)
    names = [row["row"] for row in result["rows"]]
    assert len(names) == len(set(names)) and {row["table"] for row in result["rows"]} == {"amount", "ablation"}
    assert {f"ablation, with {term}" for term in labelfree.ADDED} < set(names)
    found = {row["row"]: row for row in result["rows"]}
    assert result["strong"]["stage1_mpjpe_matched_cm"] == found["Stage I"]["mpjpe_matched_cm"]
    assert result["strong"]["stage2_mpjpe_matched_cm"] == found["Stage II, 3 people"]["mpjpe_matched_cm"]
    kept = sorted(tmp_path.rglob("*.json"))
    stamps = [path.stat().st_mtime_ns for path in kept]
    assert labelfree.labelfree_result(mocap, ("strong",), small=True, folder=tmp_path) == result
    assert [path.stat().st_mtime_ns for path in kept] == stamps
    assert json.loads(json.dumps(result)) == result


def test_measured_errors_are_centimetres_over_frames_with_points(mocap: Path) -> None:
    people = wild.test_people(mocap, 4)
    keypoints = people.required("keypoints") + torch.tensor([0.03, 0.04, 0.0])
    keypoints[~people.seen] = 100.0
    said = replace(people, keypoints=keypoints)
    errors = labelfree_runs.measure(said, people)
    assert errors["mpjpe_cm"] == pytest.approx(5.0) and errors["pa_mpjpe_cm"] == pytest.approx(0.0, abs=0.01)


@pytest.fixture(scope="module")
def scans(mocap: Path) -> Iterator[list[online_gain.Scan]]:
    """Two minutes of four seconds, as long as anybody looks at them."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(online_gain, "MINUTE", 40)
        yield online_gain.recording(mocap, seed=1, minutes=2)


def test_a_recording_has_people_in_its_boxes(scans: list[online_gain.Scan]) -> None:
    assert len(scans) == 80 and [scan.cloud.stamp_ns for scan in scans[:2]] == [100_000_000, 200_000_000]
    for scan in scans[::7]:
        inside = np.abs(scan.keypoints - scan.boxes.centers[:, None]) < 1.3
        assert inside.all() and 1 <= len(scan.boxes) <= online_gain.TOGETHER
        assert len(scan.cloud) >= 8 * len(scan.boxes)


def test_errors_of_the_last_minute_are_those_of_the_pipeline(scans: list[online_gain.Scan]) -> None:
    errors, _ = online_gain.last_minute(Config(), scans[-40:])
    assert len(errors) == sum(len(scan.boxes) for scan in scans[-40:])
    first = Pipeline(Config()).process(Sample(scans[-40].cloud, scans[-40].boxes)).tracks.skeletons.keypoints
    expected = np.linalg.norm(first - scans[-40].keypoints, axis=-1)
    np.testing.assert_allclose(errors.plain[: len(expected)], expected, atol=1e-5)


def test_what_misleads_leaves_the_last_minute_alone(scans: list[online_gain.Scan]) -> None:
    for name, mislead in online_gain.MISLEADING.items():
        changed = list(mislead(scans))
        assert len(changed) == len(scans), name
        for before, after in zip(scans[-40:], changed[-40:], strict=True):
            np.testing.assert_array_equal(before.boxes.centers, after.boxes.centers)
            np.testing.assert_array_equal(before.cloud.points, after.cloud.points)
    shifted = list(online_gain.wrong_boxes(scans))[5].boxes.centers - scans[5].boxes.centers
    np.testing.assert_allclose(shifted, np.tile([0.5, 0.3, 0.3], (len(shifted), 1)), atol=1e-5)
    loop = list(online_gain.one_person_standing(scans))[:40]
    assert all(len(scan.boxes) == 1 and scan.cloud.points is scans[0].cloud.points for scan in loop)
