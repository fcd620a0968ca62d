"""Replays that learn: a crowd on its way, and a small network that is sure of whatever it says."""

import json

import numpy as np
import pytest
import torch
from ros_messages import SCAN_NS, START_NS, TYPES, cloud, detections

from gckpl_ros.adapt import Activity
from gckpl_ros.commands.replay import main
from gckpl_ros.config import Config
from gckpl_ros.errors import InputError
from gckpl_ros.estimate.checkpoint import load_network, save_network
from gckpl_ros.estimate.tokens import TokenConfig, TokenNetwork
from gckpl_ros.io.live.interface import INPUTS
from gckpl_ros.io.recording.bag import BagWriter
from gckpl_ros.io.recording.replay import CLOUD_TYPE, replay

PEOPLE, CLOUDS, STEP_M = 12, 17, 0.3
ADAPT = {
    "enabled": True,
    "tracklet_s": 0.2,
    "min_tracklets": 10,
    "batch_pairs": 4,
    "check_steps": 2,
    "steps_per_cloud": 1.0,
}


@pytest.fixture(scope="module")
def sure(tmp_path_factory):
    """Weights of an untrained network that is sure, and takes every point for a body's."""
    torch.manual_seed(0)
    network = TokenNetwork(TokenConfig(width=32, point_width=16, layers=1))
    with torch.no_grad():
        network.calibration[1] = 5.0
        network.parts.bias[-1] = -20.0
    path = tmp_path_factory.mktemp("sure") / "sure.safetensors"
    save_network(path, network, {})
    return path


def places(i):
    """People in a row across, on their way ahead."""
    return [np.array([6.0 + STEP_M * i, 3.0 * (person - PEOPLE / 2), 0.0]) for person in range(PEOPLE)]


@pytest.fixture(scope="module")
def crowd(tmp_path_factory):
    """A recording of clouds and boxes."""
    path, rng = tmp_path_factory.mktemp("crowd") / "crowd.mcap", np.random.default_rng(0)
    with BagWriter(path, {"/lidar/points": CLOUD_TYPE, "/detections": INPUTS["detections"].type}) as writer:
        for i in range(CLOUDS):
            points = [at + rng.uniform([-0.2, -0.2, -0.8], [0.2, 0.2, 0.8], (40, 3)) for at in places(i)]
            boxes = [detections(i, "person", at=at).detections[0] for at in places(i)]
            array = TYPES[INPUTS["detections"].type](header=detections(i).header, detections=boxes)
            for topic, message in (("/lidar/points", cloud(i, np.concatenate(points))), ("/detections", array)):
                writer.write(topic, START_NS + i * SCAN_NS, message)
    return path


def config(weights, **adapt):
    values = {"weights": str(weights), "device": "cpu"}
    return Config.parse({"estimate": values, "track": {"confirm_hits": 1}, "adapt": ADAPT | adapt})


def weights_of(path):
    return load_network(path).state_dict()


@pytest.fixture(scope="module")
def still(tmp_path_factory, crowd, sure):
    """What comes out where nothing is learnt."""
    out = tmp_path_factory.mktemp("still") / "still.mcap"
    replay(crowd, out, config(sure, enabled=False))
    return out.read_bytes()


def taught(folder, crowd, sure):
    """Summary, output and weights, within so wide bounds that updates are accepted, wherever keypoints lie."""
    out, weights = folder / "taught.mcap", folder / "taught.safetensors"
    settings = config(sure, max_anchor_growth=1.0, max_holdout_growth=1.0, max_drift_m=1.0)
    summary = replay(crowd, out, settings, save_weights=weights)
    return summary, out.read_bytes(), weights_of(weights)


@pytest.fixture(scope="module")
def learning(tmp_path_factory, crowd, sure):
    return taught(tmp_path_factory.mktemp("taught"), crowd, sure)


def test_the_same_recording_teaches_the_same(tmp_path, crowd, sure, learning):
    (one, out, learnt), (other, out_other, learnt_other) = learning, taught(tmp_path, crowd, sure)
    assert one.adaptation == other.adaptation
    assert out == out_other
    assert all(torch.equal(learnt[name], learnt_other[name]) for name in learnt)
    assert one.adaptation.state == Activity.TRAINING
    assert 1 <= one.adaptation.accepted <= one.adaptation.step / 2 and one.adaptation.step <= CLOUDS
    before = weights_of(sure)
    assert any(not torch.equal(learnt[name], before[name]) for name in learnt)


def test_what_is_learnt_is_estimated_with_at_once(still, learning):
    assert learning[1] != still


def test_a_guard_that_allows_nothing_leaves_the_network_as_it_was(tmp_path, crowd, sure, still):
    weights, strict = tmp_path / "learnt.safetensors", config(sure, max_drift_m=0.0)
    summary = replay(crowd, tmp_path / "out.mcap", strict, save_weights=weights)
    assert summary.adaptation.accepted == 0 < summary.adaptation.rolled_back
    assert "cm" in summary.adaptation.reason
    assert (tmp_path / "out.mcap").read_bytes() == still
    before, after = weights_of(sure), weights_of(weights)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_the_command_tells_what_was_learnt(tmp_path, crowd, sure, capsys):
    said = tmp_path / "summary.json"
    overrides = (f"estimate.weights={sure}", *(f"adapt.{key}={json.dumps(value)}" for key, value in ADAPT.items()))
    main(crowd, tmp_path / "out.mcap", overrides=overrides, summary=said, save_weights=tmp_path / "w.safetensors")
    table, adaptation = capsys.readouterr().out, json.loads(said.read_text())["adaptation"]
    assert "adaptation, rolled back" in table and "adaptation, drift (m)" in table
    assert adaptation["state"] == "training" and adaptation["step"] > 0
    assert adaptation["accepted"] + adaptation["rolled_back"] == adaptation["step"] // 2
    assert (tmp_path / "w.safetensors").exists()


def test_nothing_can_be_saved_of_a_replay_that_does_not_learn(tmp_path, crowd, sure, capsys):
    with pytest.raises(InputError, match="--save-weights: nothing is learnt"):
        replay(crowd, tmp_path / "out.mcap", config(sure, enabled=False), save_weights=tmp_path / "w.safetensors")
    assert list(tmp_path.iterdir()) == []
    main(crowd, tmp_path / "out.mcap", overrides=(f"estimate.weights={sure}",))
    assert "adaptation" not in capsys.readouterr().out
