"""The loop with a real pipeline (untrained network): who sees what, and when."""

import numpy as np
import pytest
import torch
from scenes import CENTERS, FRAME_NS, boxes, cloud, sample
from walkers import crowd, labelled

from gckpl_ros.adapt import Activity, AdaptationState, load_adapter
from gckpl_ros.adapt import guard as anchors_module
from gckpl_ros.adapt.guard import save_anchors
from gckpl_ros.config import Config
from gckpl_ros.errors import InputError
from gckpl_ros.estimate.checkpoint import save_network
from gckpl_ros.estimate.estimator import Estimator
from gckpl_ros.estimate.tokens import TokenConfig, TokenNetwork
from gckpl_ros.people.crop import crop
from gckpl_ros.pipeline import Pipeline
from gckpl_ros.runner import Observer, Runner
from gckpl_ros.types import Sample


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "untrained.safetensors"
    save_network(path, TokenNetwork(TokenConfig(width=32, point_width=16, layers=1)), {})
    return str(path)


class Diary(Observer):
    """Writes down what happens; gives the networks it has, one before each frame."""

    def __init__(self, *networks):
        self.seen, self.networks = [], list(networks)

    def update(self):
        return self.networks.pop(0) if self.networks else None

    def observe(self, sample, frame):
        self.seen.append((sample, frame))

    def end_tracks(self):
        self.seen.append("end")


class Taker:
    """A sink that takes what it is told to."""

    def __init__(self, *names):
        self.names, self.taken = names, []

    def wanted(self):
        return self.names

    def write(self, sample, frame):
        self.taken.append(frame)


def config(weights, **sections):
    return Config.parse({"estimate": {"weights": weights, "device": "cpu"}, "track": {"smoothing": 0.0}} | sections)


def test_every_sample_is_shown_to_all_observers_and_taken_by_all_sinks(weights):
    observers, sinks = [Diary(), Diary()], [Taker(), Taker("parts", "markers")]
    runner = Runner(Pipeline(config(weights)), observers, sinks)
    samples = [sample(i) for i in range(3)]
    run = list(runner.run(samples))
    assert [given for given, _ in run] == samples
    for observer in observers:
        assert [given for given, _ in observer.seen] == samples
    for sink in sinks:
        assert [frame.stamp_ns for frame in sink.taken] == [i * FRAME_NS for i in range(3)]
        assert all(frame.parts is not None for frame in sink.taken), "one of them takes parts: they are made"
    assert list(run[0][1].timings_ms) == ["decode", "detect", "crop", "estimate", "track", "encode"]


def test_what_nobody_takes_is_not_made(weights):
    runner = Runner(Pipeline(config(weights)), [], [Taker("skeletons")])
    assert runner.step(sample(0)).parts is None


def test_when_time_restarts_nobody_goes_on(weights):
    diary = Diary()
    runner = Runner(Pipeline(config(weights)), [diary])
    frames = [runner.step(given) for given in (sample(50), sample(51), sample(2, restarted=True))]
    assert [frame.tracks.ids.tolist() for frame in frames] == [[0, 1, 2], [0, 1, 2], [3, 4, 5]]
    assert [entry == "end" for entry in diary.seen] == [False, False, True, False]


def test_a_network_of_an_observer_estimates_from_the_next_frame_on(weights):
    other = TokenNetwork(TokenConfig(width=16, point_width=8, heads=2, layers=1)).eval()
    runner = Runner(Pipeline(config(weights)), [Diary(None, other)])
    before, *after = [runner.step(sample(i)).tracks.skeletons.confidence for i in range(3)]
    crops, _, _ = crop(cloud(1), boxes(), Config().crop)
    expected = Estimator(other, torch.device("cpu"))(crops).skeletons.confidence
    assert not np.array_equal(before, expected)
    for found in after:
        np.testing.assert_array_equal(found, expected)


@pytest.fixture
def learning(weights, tmp_path, monkeypatch):
    """A runner whose pipeline adapts, with few anchors, and the adapter, which works when it is told to."""
    save_anchors(tmp_path / "anchors.npz", labelled(crowd(8), 0.0))
    monkeypatch.setattr(anchors_module, "shipped_anchors", lambda: tmp_path / "anchors.npz")

    def make(**values):
        settings = config(weights, adapt={"enabled": True, "tracklet_s": 0.2, "min_tracklets": 1} | values)
        pipeline = Pipeline(settings)
        adapter = load_adapter(settings, pipeline.network)
        return Runner(pipeline, [adapter]), adapter

    return make


def test_without_adaptation_there_is_an_adapter_that_is_off(weights):
    settings = config(weights)
    off = load_adapter(settings, Pipeline(settings).network)
    assert off.status == AdaptationState(Activity.DISABLED)
    assert len(Runner(Pipeline(settings), [off]).step(sample(0)).tracks) == 3


def test_the_adapter_sees_tracked_people_only_in_the_fixed_frame(learning):
    runner, adapter = learning()
    T = np.eye(4)
    T[:3, 3] = [1, 2, 0]
    for i in range(3):
        runner.step(sample(i, T))
    seen = adapter._collector.take(10)
    assert sorted(one.person for one in seen) == [0, 1, 2], "two looks at each: the first time everybody was new"
    places = {one.person: one.place for one in seen}
    np.testing.assert_allclose([places[i] for i in range(3)], CENTERS + T[:3, 3], atol=1e-6)


def test_time_that_restarts_ends_the_adapters_tracklets(learning):
    runner, adapter = learning()
    for i in range(2):
        runner.step(sample(i))
    runner.reset()
    for i in (2, 3):
        runner.step(sample(i))
    assert len(adapter._collector) == 0, "one look at each person before, one after"
    runner.step(sample(4))
    assert len(adapter._collector) == 3


def test_values_are_taken_over_between_two_clouds_by_pipeline_and_adapter(learning, weights):
    runner, adapter = learning(steps_per_cloud=2.0)
    steps = []
    adapter.work = steps.append
    adapter.keep_pace()
    adapt = {"enabled": True, "steps_per_cloud": 5.0}
    runner.configure(config(weights, adapt=adapt, crop={"min_points": 1000}))
    adapter.keep_pace()
    assert steps == [2, 5]
    assert runner.step(sample(0)).dropped == {"few_points": 3}


def test_adaptation_without_anchors_is_the_users_error(weights, monkeypatch, tmp_path):
    monkeypatch.setattr(anchors_module, "shipped_anchors", lambda: tmp_path / "none.npz")
    settings = config(weights, adapt={"enabled": True})
    with pytest.raises(InputError, match=r"cannot read anchors .*none\.npz"):
        load_adapter(settings, Pipeline(settings).network)


def test_a_sample_without_a_fixed_frame_lies_where_its_cloud_does():
    np.testing.assert_array_equal(Sample(cloud()).pose, np.eye(4))
