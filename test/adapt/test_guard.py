"""The guard refuses what it must, with networks that are made worse on purpose."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from walkers import into

from gckpl_ros.adapt.collector import Collector, counting
from gckpl_ros.adapt.guard import Guard, anchor_error, finite
from gckpl_ros.learn.teachers import SmoothingTeacher
from gckpl_ros.people.tracklets import labelled, unpack


@pytest.fixture
def held_out(network, parade):
    collector = Collector(counting(4))
    parade(into(collector), 4)
    seen = collector.take(100)
    return labelled(seen, SmoothingTeacher()(network, unpack(seen)))


@pytest.fixture
def guard(network, anchors, config, held_out):
    def make(examples=held_out, **values):
        strict = {"max_anchor_growth": 0.02, "max_holdout_growth": 0.02, "max_drift_m": 0.05}
        made = Guard(network, anchors.guard, config(**strict | values).adapt)
        made.renew(examples)
        return made

    return make


def noisy(network, scale, seed=0):
    """The network with noise on every weight."""
    g, other = torch.Generator().manual_seed(seed), deepcopy(network)
    with torch.no_grad():
        for value in other.parameters():
            value += scale * torch.randn(value.shape, generator=g)
    return other


def shifted(network, metres):
    """The network with all keypoints moved up: its tokens start elsewhere, and nothing else sees that."""
    other = deepcopy(network)
    other.register_forward_hook(lambda module, args, said: said._replace(keypoints=said.keypoints + up))
    up = torch.tensor([0, 0, metres])
    return other


def test_the_same_network_is_accepted_and_has_not_drifted(guard, network):
    assert vars(guard().judge(deepcopy(network), network)) == {"accepted": True, "reason": "", "drift_m": 0.0}


def test_anchor_error_is_the_mean_distance_to_the_truth(network, anchors):
    batch = anchors.guard
    said = network.predict(batch).keypoints.detach()
    expected = np.linalg.norm(said.numpy() - batch.keypoints.numpy(), axis=2).mean()
    assert anchor_error(network, batch) == pytest.approx(expected, rel=1e-5)


def test_a_poisoned_network_is_refused_for_its_anchors(guard, network):
    verdict = guard().judge(noisy(network, 0.5), network)
    assert not verdict.accepted and verdict.reason.startswith("error on anchors")
    assert verdict.drift_m > 0.05


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(guard, network, value):
    broken = deepcopy(network)
    with torch.no_grad():
        next(broken.parameters()).view(-1)[0] = value
    assert not finite(broken) and finite(network)
    verdict = guard(max_anchor_growth=1, max_holdout_growth=1, max_drift_m=1).judge(broken, network)
    assert (verdict.accepted, verdict.reason) == (False, "weights that are not finite")


def test_keypoints_that_are_not_finite_are_refused_though_the_weights_are(guard, network):
    verdict = guard(max_anchor_growth=1, max_holdout_growth=1, max_drift_m=1).judge(
        shifted(network, float("nan")), network
    )
    assert not verdict.accepted and "nan" in verdict.reason


def test_drift_is_measured_in_metres_and_bounded(guard, network):
    lenient = {"max_anchor_growth": 1.0, "max_holdout_growth": 1.0}
    raised = shifted(network, 0.03)
    verdict = guard(**lenient).judge(raised, network)
    assert verdict.drift_m == pytest.approx(0.03, abs=1e-5) and verdict.accepted
    refused = guard(**lenient, max_drift_m=0.02).judge(raised, network)
    assert refused.reason == "keypoints 3.0 cm from those of the loaded network"


def test_a_network_that_gets_worse_on_people_held_out_is_refused(guard, network):
    strict = guard(max_anchor_growth=1.0, max_drift_m=1.0)
    verdict = strict.judge(shifted(network, 0.2), network)
    assert not verdict.accepted and verdict.reason.startswith("loss on people held out")


def test_small_losses_do_not_add_up(guard, network):
    judge = guard(max_anchor_growth=1.0, max_drift_m=1.0).judge
    worst, steps = network, 0
    while judge(candidate := shifted(network, 0.001 * (steps + 1)), worst).accepted:
        worst, steps = candidate, steps + 1
    assert not judge(candidate, network).accepted, "what the loaded network would refuse, none in between lets in"


def test_without_enough_people_held_out_nothing_is_accepted(guard, network, held_out):
    verdict = guard(held_out[:7]).judge(network, network)
    assert (verdict.accepted, verdict.reason) == (False, "fewer than 8 tracklets are held out to judge by")
    assert guard(held_out[:8]).judge(network, network).accepted


def test_it_judges_by_one_pair_of_each_person_held_out(guard, network, held_out):
    people = unpack(held_out)
    middle = [one.frames_with_next[1] for one in held_out]
    moved = noisy(network, 0.02)
    apart = []
    for row, frame in enumerate(middle):
        crops = people.rows(torch.tensor([row])).span(int(frame), int(frame) + 2).flat()
        apart.append((moved.predict(crops).keypoints - network.predict(crops).keypoints).norm(dim=-1).mean().item())
    assert guard().drift_m(moved) == pytest.approx(np.mean(apart), rel=1e-4)
