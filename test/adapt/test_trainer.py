"""Learning step by step: what is accepted, what is taken back, and what never gets through."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from walkers import into

from gckpl_ros.adapt.collector import Collector, counting
from gckpl_ros.adapt.guard import anchor_error, finite
from gckpl_ros.adapt.trainer import LABELLED_BESIDE, LABELLED_FIRST, Trainer, default_teacher
from gckpl_ros.errors import InputError
from gckpl_ros.estimate.checkpoint import fingerprint, load_network, save_network
from gckpl_ros.learn.teachers import SmoothingTeacher, TemporalConfig, TemporalNetwork, TemporalTeacher, save_temporal

CPU = torch.device("cpu")


class Poison(SmoothingTeacher):
    """Says nonsense, and is sure of it."""

    def __init__(self, value, confidence=1.0):
        super().__init__()
        self.value, self.confidence = value, confidence

    def __call__(self, network, tracklets):
        said = super().__call__(network, tracklets)
        return replace(
            said,
            keypoints=torch.full_like(said.keypoints, self.value),
            confidence=torch.full_like(said.confidence, self.confidence),
        )


@pytest.fixture
def trained(network, anchors, config, parade):
    """A trainer that was shown a crowd, and has learnt so many steps."""

    def make(steps, teacher=None, **values):
        collector = Collector(counting(4))
        trainer = Trainer(config(**values).adapt, network, CPU, teacher or SmoothingTeacher(), anchors)
        assert not trainer.ready and trainer.wants() == LABELLED_FIRST
        for first in (0, 16):
            parade(into(collector), 16, first=first)
            trainer.show(collector.take(1000))
        for _ in range(steps):
            trainer.learn()
        return trainer

    return make


def weights(network):
    return fingerprint(network)


def test_it_learns_and_hands_over_what_the_guard_accepts(trained, network):
    before = weights(network)
    trainer = trained(2)
    assert trainer.ready and trainer.wants() == LABELLED_BESIDE
    progress = trainer.progress
    assert (progress.step, progress.accepted, progress.rolled_back, progress.reason) == (2, 1, 0, "")
    assert set(progress.losses) == {"segmentation", "teacher", "replay", "total"}
    assert sum(v for n, v in progress.losses.items() if n != "total") == pytest.approx(progress.losses["total"])
    assert 0 < progress.drift_m < 1
    assert weights(trainer.network) != before == weights(network), "what was given is left alone"
    assert not trainer.network.training and not any(p.requires_grad for p in trainer.network.parameters())


def test_nothing_is_handed_over_between_two_checks(trained, network):
    assert weights(trained(3, check_steps=4).network) == weights(network)


def test_rehearsal_alone_lowers_the_error_where_the_truth_is_known(trained, anchors, network):
    trainer = trained(30, check_steps=10, learning_rate=0.003)
    assert trainer.progress.accepted > 0
    assert anchor_error(trainer.network, anchors.guard) < anchor_error(network, anchors.guard)


def test_two_runs_give_the_same_bytes(trained):
    first, second = trained(4), trained(4)
    assert weights(first.network) == weights(second.network)
    assert first.progress == second.progress
    assert weights(trained(4, seed=1).network) != weights(first.network)


def test_poison_is_taken_back_and_learning_begins_again_from_what_is_in_use(trained, network, monkeypatch):
    # Every keypoint 3 m from everybody, and no truth beside it.
    trainer = trained(0, Poison(3.0), check_steps=5, learning_rate=0.03, max_anchor_growth=0.02)
    monkeypatch.setattr(trainer, "_rehearsal", lambda: None)
    for _ in range(10):
        trainer.learn()
    assert (trainer.progress.accepted, trainer.progress.rolled_back) == (0, 2)
    assert weights(trainer.network) == weights(network)
    assert trainer.progress.reason.startswith("error on anchors") and trainer.progress.drift_m == 0
    state = trainer.learner_state()
    assert state["step_count"] == 0 and state["optimizer"]["state"] == {}


def test_a_teacher_that_says_nan_teaches_nothing(trained):
    trainer = trained(0, Poison(float("nan")))
    assert not trainer.ready


def test_nan_in_a_pair_never_gets_through(trained, monkeypatch, network):
    trainer = trained(2, check_steps=1000)
    monkeypatch.setattr(trainer, "_pairs", broken(trainer._pairs))
    for _ in range(3):
        trainer.learn()
    assert np.isnan(trainer.progress.losses["total"])
    assert finite(trainer._learner.network) and finite(trainer._learner.averaged)
    assert weights(trainer.network) == weights(network)


def broken(draw):
    """Pairs as they come, but with one point that is not a number."""

    def drawn():
        pairs = draw()
        pairs.points[0, 0, 0] = float("nan")
        return pairs

    return drawn


def test_weights_that_broke_in_learning_are_taken_back(trained, network):
    trainer = trained(1)
    with torch.no_grad():
        next(trainer._learner.network.parameters()).fill_(float("nan"))
    trainer.learn()
    assert (trainer.progress.rolled_back, trainer.progress.reason) == (1, "weights that are not finite")
    assert weights(trainer.network) == weights(network)
    trainer.learn()
    trainer.learn()
    assert trainer.progress.accepted == 1 and finite(trainer.network)


def test_reset_goes_back_to_the_loaded_weights_and_repeats(trained, network):
    trainer, first = trained(4), trained(4)
    trainer.reset()
    assert weights(trainer.network) == weights(network) and not trainer.ready
    assert trainer.progress.counts() == {"step": 0, "accepted": 0, "rolled_back": 0}
    assert weights(first.network) != weights(network)


def test_other_values_count_from_the_next_step_on(trained, config):
    trainer = trained(2, check_steps=1000)
    trainer.configure(config(check_steps=3, max_drift_m=0.0, learning_rate=0.001).adapt)
    trainer.learn()
    assert trainer.progress.rolled_back == 1 and "of the loaded network" in trainer.progress.reason


def saved(path, network, **provenance):
    save_network(path, network, provenance)
    return load_network(path)


def teacher(config, network, name=""):
    return default_teacher(config(teacher=str(name)), network)


def test_the_teacher_that_ships_reads_the_network_that_ships_and_what_was_adapted_from_it(config, network, tmp_path):
    shipped = load_network()
    adapted = deepcopy(shipped)
    next(adapted.parameters()).data.add_(1e-3)
    others = (("adapted", fingerprint(shipped)), ("further", fingerprint(adapted)))
    adapted, further = (saved(tmp_path / f"{name}.safetensors", adapted, adapted_from=of) for name, of in others)
    for loaded, kind in ((shipped, TemporalTeacher), (adapted, TemporalTeacher)):
        assert type(teacher(config, loaded)) is kind
    for loaded in (further, network):
        assert type(teacher(config, loaded)) is SmoothingTeacher


def test_a_named_teacher_that_reads_other_tokens_is_the_users_error(config, network, tmp_path):
    loaded, file = saved(tmp_path / "own.safetensors", network), tmp_path / "temporal.safetensors"
    shape = TemporalConfig(tokens=loaded.token_width, width=16, layers=1, heads=2, frames=4)
    save_temporal(file, TemporalNetwork(shape, reads=fingerprint(network)), {})
    assert type(teacher(config, loaded, file)) is TemporalTeacher
    save_temporal(file, TemporalNetwork(shape, reads=fingerprint(load_network())), {})
    with pytest.raises(
        InputError, match=r"temporal\.safetensors reads .*own\.safetensors .* is loaded: train one with"
    ):
        teacher(config, loaded, file)


def test_a_teacher_that_looks_at_people_for_less_time_is_the_users_error(config):
    with pytest.raises(InputError, match=r"adapt\.tracklet_s is 1\.2, but the temporal network looks at 1 s at most"):
        default_teacher(config(tracklet_s=1.2), load_network())
