"""The adapter step by step, as a replay uses it, and over a restart."""

from dataclasses import replace

import pytest
import torch
from walkers import crops, crowd, observed

from gckpl_ros.adapt import Activity, AdaptationState, Adapter, AdapterProcess, NoAdapter
from gckpl_ros.adapt.storage import LEARNER_FILE, WEIGHTS_FILE
from gckpl_ros.config import Config
from gckpl_ros.errors import InputError
from gckpl_ros.estimate.checkpoint import fingerprint, load_network
from gckpl_ros.estimate.tokens import TokenNetwork
from gckpl_ros.learn.teachers import SmoothingTeacher

CPU = torch.device("cpu")


@pytest.fixture
def adapter(network, anchors, config):
    def make(teacher=None, loaded=network, **values):
        return Adapter(config(**values), loaded, CPU, teacher or SmoothingTeacher(), anchors)

    return make


@pytest.fixture
def learnt(adapter, parade):
    """An adapter that has seen a crowd and accepted a network."""

    def make(**values):
        made = adapter(**values)
        for first in (0, 16):
            parade(made.observe, 16, first=first)
            made.work(4)
        assert made.status.accepted > 0
        return made

    return make


class Failing(SmoothingTeacher):
    def __call__(self, network, tracklets):
        raise RuntimeError("no device left")


def test_it_collects_then_trains_and_gives_each_network_once(adapter, parade, network):
    watched = adapter()
    assert watched.status == AdaptationState(Activity.COLLECTING)
    parade(watched.observe, 8)
    watched.work(3)
    assert watched.status.state == Activity.COLLECTING and watched.update() is None
    for first in (8, 20):
        parade(watched.observe, 12, first=first)
        watched.work(8)
    status = watched.status
    assert status.state == Activity.TRAINING and status.step > 2 and status.accepted == status.step // 2
    assert status.losses["total"] > 0 and status.drift_m > 0
    fresh = watched.update()
    assert fingerprint(fresh) != fingerprint(network) and watched.update() is None


def test_replay_is_deterministic_bit_for_bit(adapter, parade):
    def run():
        replayed = adapter(steps_per_cloud=0.5)
        for i in range(40):
            parade(replayed.observe, 1, first=i)
            replayed.keep_pace()
        return fingerprint(replayed.update()), replayed.status

    first, second = run(), run()
    assert first == second and first[1].accepted > 0


def test_steps_per_cloud_add_up(learnt):
    replayed = learnt(steps_per_cloud=0.4)
    before = replayed.status.step
    for _ in range(5):
        replayed.keep_pace()
    assert replayed.status.step == before + 2


def test_paused_it_neither_collects_nor_learns(learnt, parade):
    paused = learnt()
    before = paused.status
    paused.pause()
    parade(paused.observe, 8, first=100)
    paused.work(3)
    assert (paused.status.state, paused.status.reason, paused.status.step) == (
        Activity.PAUSED,
        "on request",
        before.step,
    )
    paused.resume()
    assert paused.status == before
    paused.work(1)
    assert paused.status.step == before.step + 1


def test_reset_gives_the_loaded_weights_back(learnt, network):
    forgetful = learnt()
    forgetful.update()
    forgetful.reset()
    assert forgetful.status == AdaptationState(Activity.COLLECTING)
    assert fingerprint(forgetful.update()) == fingerprint(network)


def test_a_failure_is_told_and_ends_learning_until_a_reset(adapter, parade):
    failed = adapter(Failing())
    parade(failed.observe, 8)
    failed.work(5)
    assert (failed.status.state, failed.status.reason) == (Activity.FAILED, "RuntimeError: no device left")
    parade(failed.observe, 8)
    assert failed.update() is None
    failed.reset()
    assert failed.status.state == Activity.COLLECTING


def test_observing_never_raises(adapter):
    watched = adapter()
    sample, frame = observed(crowd(2), 0.0, 0)
    watched.observe(sample, replace(frame, people=crops(crowd(3), 0.0)))
    assert watched.status.state == Activity.FAILED and watched.status.reason.startswith("IndexError")


def test_a_restart_goes_on_where_it_was(learnt, adapter, tmp_path):
    first = learnt(folder=str(tmp_path))
    first.stop()
    again = adapter(folder=str(tmp_path))
    for name in ("step", "accepted", "rolled_back", "drift_m"):
        assert getattr(again.status, name) == getattr(first.status, name)
    fresh, written = first.update(), load_network(tmp_path / WEIGHTS_FILE)
    assert fingerprint(again.update()) == fingerprint(fresh) == fingerprint(written)
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted([WEIGHTS_FILE, LEARNER_FILE])


def test_weights_that_do_not_fit_are_left_alone_with_a_reason(learnt, adapter, network, tmp_path):
    learnt(folder=str(tmp_path)).stop()
    torch.manual_seed(1)
    other = TokenNetwork(network.config).eval()
    anew = adapter(loaded=other, folder=str(tmp_path))
    assert anew.status.step == 0 and anew.update() is None
    assert anew.status.reason.startswith("began anew: weights ") and "were not adapted from" in anew.status.reason


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04"])
def test_a_broken_state_begins_anew(learnt, adapter, tmp_path, content):
    learnt(folder=str(tmp_path)).stop()
    (tmp_path / LEARNER_FILE).write_bytes(content)
    anew = adapter(folder=str(tmp_path))
    assert anew.status.step == 0 and anew.status.reason.startswith("began anew: cannot read the learner's state")
    (tmp_path / LEARNER_FILE).unlink()
    assert fingerprint(adapter(folder=str(tmp_path)).update()) == fingerprint(load_network(tmp_path / WEIGHTS_FILE))


def test_weights_are_saved_to_a_file_and_loaded_from_it(learnt, adapter, tmp_path):
    saved = learnt().save(tmp_path / "mine.safetensors")
    reader = adapter()
    reader.load(saved)
    assert fingerprint(reader.update()) == fingerprint(load_network(saved))
    assert [file.name for file in tmp_path.iterdir()] == ["mine.safetensors"]


def test_weights_that_the_guard_refuses_are_not_loaded(learnt, adapter, tmp_path):
    saved = learnt().save(tmp_path / "drifted.safetensors")
    strict = adapter(max_anchor_growth=0.0)
    strict._trainer.guard._anchor_error_m = 0.0
    with pytest.raises(InputError, match=r"drifted\.safetensors are refused: error on anchors"):
        strict.load(saved)
    assert strict.update() is None


def test_without_a_folder_commands_say_so_and_stopping_writes_nothing(learnt, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    homeless = learnt()
    for command in (homeless.save, homeless.load):
        with pytest.raises(InputError, match=r"set adapt\.folder"):
            command()
    homeless.stop()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_told_and_learning_goes_on(learnt, tmp_path):
    (tmp_path / "file").write_text("no folder")
    stubborn = learnt(folder=str(tmp_path / "file" / "adapted"))
    stubborn.stop()
    assert stubborn.status.state == Activity.TRAINING
    assert f"cannot write {tmp_path / 'file' / 'adapted' / WEIGHTS_FILE}" in stubborn.status.reason


def test_no_adapter_does_nothing_and_says_so():
    off = NoAdapter()
    assert off.status == AdaptationState(Activity.DISABLED) and off.update() is None
    off.observe(*observed(crowd(1), 0.0, 0))
    off.configure(Config())
    off.work(3)
    assert not off.advance()
    for quiet in (off.start, off.keep_pace, off.end_tracks, off.stop):
        quiet()
    for command in (off.pause, off.resume, off.reset, off.save, off.load):
        with pytest.raises(InputError, match=r"set adapt\.enabled"):
            command()


def test_it_has_the_same_methods_as_the_null_object():
    def public(kind):
        return {name for name in dir(kind) if not name.startswith("_")}

    assert public(Adapter) | public(AdapterProcess) == public(NoAdapter)
