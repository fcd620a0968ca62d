"""The accuracy benchmark: low postures and headings by geometry, true boxes of streets, sets that are what they say."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from gckpl_ros.errors import InputError
from gckpl_ros.estimate.checkpoint import save_network
from gckpl_ros.estimate.tokens import TokenConfig, TokenNetwork
from gckpl_ros.skeleton import INDEX, NUM_KEYPOINTS
from gckpl_training.bench import accuracy
from gckpl_training.simulate.maker import CropConfig


def person(head_m: float, facing_rad: float) -> np.ndarray:
    """Somebody whose ankles stand on the ground: head this high, hips and shoulders across the heading."""
    keypoints = np.zeros((NUM_KEYPOINTS, 3), np.float32)
    left = np.array([-np.sin(facing_rad), np.cos(facing_rad), 0], np.float32)
    for side, sign in (("left", 1), ("right", -1)):
        for joint, height in (("hip", 0.5), ("shoulder", 0.8)):
            keypoints[INDEX[f"{side}_{joint}"]] = 0.2 * sign * left + [0, 0, height * head_m]
    keypoints[INDEX["head_center"], 2] = head_m
    return keypoints


def test_who_crouches_is_low_and_who_looks_back_is_turned() -> None:
    people = np.stack([person(1.19, 0.3), person(1.21, -2.0)])
    assert accuracy.low_postures(people).tolist() == [True, False]
    np.testing.assert_allclose(accuracy.headings(people), [0.3, -2.0], atol=1e-6)


def test_the_protocol_cuts_out_the_joints_and_20_cm_around_them() -> None:
    source = accuracy.ProtocolSource(CropConfig(range_m=(4.0, 8.0)))
    assert [model.name for model in source.sensors] == list(CropConfig().sensors)
    people = source.draw(8)
    joints = people.required("keypoints")
    # everything along the sensor's axes until the whole crop is turned: what lies outside lies outside of the sphere
    reach = (joints.amax(1) - joints.amin(1)).norm(dim=-1) / 2 + 0.2 * 3**0.5 + 0.2
    assert bool((people.points.norm(dim=-1).amax(1) <= reach).all())
    assert len({round(float(size), 3) for size in reach}) > 1


def test_streets_are_read_as_their_boxes_say_and_both_networks_are_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A street of two people, one with too few returns: the other's points and joints lie around its box's centre."""
    rng = np.random.default_rng(0)
    at = np.array([5.0, 2.0, -1.0], np.float32)
    points = at + rng.uniform(-0.3, 0.3, (60, 3))
    for name in accuracy.INDEPENDENT:
        (tmp_path / name).mkdir()
        np.savez(
            tmp_path / name / "street.npz",
            points_2mm=np.round(points * 500).astype(np.int16),
            frame_start=np.array([0, 60]),
            boxes=np.stack([[*at, 0.8, 0.8, 1.8, 0.0], [9.0, 0, 0, 1, 1, 2, 0]])[None].astype(np.float32),
            counts=np.array([[60, 19]]),
            keypoints=np.stack([person(1.7, 0.0) + at, person(1.7, 0.0)])[None],
        )
    (people,) = accuracy.independent_people(tmp_path / "test")
    assert len(people) == 1 and int(people.required("counts")[0]) == 60
    torch.testing.assert_close(people.required("keypoints")[0], torch.from_numpy(person(1.7, 0.0)), atol=1e-5, rtol=0)
    with pytest.raises(InputError, match="no street"):
        accuracy.independent_people(tmp_path)

    torch.manual_seed(0)
    save_network(tmp_path / "tiny.safetensors", TokenNetwork(TokenConfig(32, 16, 2, 2)), {})
    few = [accuracy.HeldOut("hard", "hard", [people]), accuracy.HeldOut("protocol", "protocol", [people])]
    few += [accuracy.HeldOut(f"independent {name}", "streets", [people]) for name in accuracy.INDEPENDENT]
    monkeypatch.setattr(accuracy, "held_out_sets", lambda *asked: few)
    result = json.loads(json.dumps(accuracy.accuracy_result(str(tmp_path / "tiny.safetensors"), None, tmp_path)))
    assert result["weights"] == "tiny" and result["hard"]["people"] == 1
    assert result["hard"]["all_cm"] == result["independent"]["test_cm"] == result["independent"]["full_cm"]
    assert result["hard"]["ge100_cm"] is None and 0 <= result["hard"]["turned_share"] <= 1
    assert {row["table"] for row in result["rows"]} == {"networks", "groups"}
