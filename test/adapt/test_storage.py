"""What is kept on disk: read back, refused where it does not belong, and whole whenever the process is killed."""

import os
import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from gckpl_ros.adapt.storage import Progress, Storage
from gckpl_ros.errors import InputError
from gckpl_ros.estimate.checkpoint import fingerprint, load_network, save_network
from gckpl_ros.estimate.tokens import TokenConfig, TokenNetwork
from gckpl_ros.learn.learner import Learner, LearnerConfig

CPU = torch.device("cpu")
PROGRESS = Progress(step=50, accepted=3, rolled_back=2, drift_m=0.01, reason="a reason", losses={"total": 1.0})


@pytest.fixture
def storage(network):
    return Storage(network, "")


@pytest.fixture
def adapted(network):
    other = deepcopy(network)
    with torch.no_grad():
        next(other.parameters()).add_(0.1)
    return other


def test_adapted_weights_estimate_by_themselves_and_say_where_they_come_from(storage, network, adapted, tmp_path):
    path = tmp_path / "new" / "adapted.safetensors"
    storage.save_weights(path, adapted, PROGRESS)
    for read in (load_network(path), storage.load_weights(path, CPU)):
        assert fingerprint(read) == fingerprint(adapted) != fingerprint(network)
    with safe_open(path, framework="pt") as file:
        said = file.metadata()
    expected = {"stage": "2 online", "adapted_from": fingerprint(network), "weights": "stage1.safetensors"}
    assert expected | {"step": "50", "accepted": "3", "rolled_back": "2"} == {
        name: said[name] for name in (*expected, "step", "accepted", "rolled_back")
    }
    assert said["commit"] and said["date"].startswith("20")
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    (tmp_path / "plain").touch()
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_the_learner_goes_on_where_it_was(storage, network, tmp_path):
    learner = Learner(network, LearnerConfig())
    learner.step_count = 7
    storage.save_learner(tmp_path / "learner.pt", PROGRESS, learner.state_dict())
    progress, state = storage.load_learner(tmp_path / "learner.pt", CPU)
    assert progress == Progress(step=50, accepted=3, rolled_back=2, drift_m=0.01)
    again = Learner(network, LearnerConfig())
    again.load_state_dict(state)
    assert again.step_count == 7


def test_what_was_adapted_from_other_weights_is_refused(storage, adapted, tmp_path):
    foreign = Storage(adapted, "")
    foreign.save_weights(tmp_path / "weights.safetensors", adapted, PROGRESS)
    foreign.save_learner(tmp_path / "learner.pt", PROGRESS, {})
    with pytest.raises(InputError, match=r"weights .*weights\.safetensors were not adapted from .*stage1\.safetensors"):
        storage.load_weights(tmp_path / "weights.safetensors", CPU)
    with pytest.raises(InputError, match=r"state .*learner\.pt was not adapted from"):
        storage.load_learner(tmp_path / "learner.pt", CPU)


def test_weights_that_were_not_adapted_at_all_are_refused(storage, network, tmp_path):
    save_network(tmp_path / "plain.safetensors", network, {})
    with pytest.raises(InputError, match="were not adapted from"):
        storage.load_weights(tmp_path / "plain.safetensors", CPU)


def test_another_architecture_is_refused(storage, tmp_path):
    other = TokenNetwork(TokenConfig(width=16, point_width=8, heads=2, layers=1))
    Storage(other, "").save_weights(tmp_path / "other.safetensors", other, PROGRESS)
    with pytest.raises(InputError, match=r"other\.safetensors are of another architecture"):
        storage.load_weights(tmp_path / "other.safetensors", CPU)


@pytest.mark.parametrize("content", [b"", b"rubbish", b"PK\x03\x04"])
def test_broken_files_are_refused(storage, tmp_path, content):
    for name in ("broken.safetensors", "broken.pt"):
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=r"cannot read weights .*broken\.safetensors"):
        storage.load_weights(tmp_path / "broken.safetensors", CPU)
    with pytest.raises(InputError, match=r"cannot read the learner's state .*broken\.pt"):
        storage.load_learner(tmp_path / "broken.pt", CPU)


def test_a_place_that_cannot_be_written_is_the_users_error(storage, network, tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(InputError, match=r"cannot write .*adapted\.safetensors: .*; name a place"):
        storage.save_weights(tmp_path / "file" / "adapted.safetensors", network, PROGRESS)
    with pytest.raises(InputError, match=r"cannot write .*learner\.pt: .*; set adapt\.folder to a folder"):
        storage.save_learner(tmp_path / "file" / "learner.pt", PROGRESS, {})


def test_killed_at_any_moment_it_leaves_files_that_load(tmp_path):
    script = Path(__file__).with_name("killed_saver.py")
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    ended = subprocess.run(
        [sys.executable, script, tmp_path], capture_output=True, text=True, env=environment, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, "50 times\n"), ended.stderr
