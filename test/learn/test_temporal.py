"""The temporal network: where nothing was learnt it says what single frames say; missed frames cannot matter."""

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from gckpl_ros.batch import PersonBatch
from gckpl_ros.errors import InputError
from gckpl_ros.estimate.checkpoint import fingerprint, load_network, save_network
from gckpl_ros.estimate.network import KeypointNetwork
from gckpl_ros.estimate.tokens import TokenConfig, TokenNetwork
from gckpl_ros.learn.teachers import (
    TemporalConfig,
    TemporalNetwork,
    TemporalTeacher,
    estimate,
    estimate_with_tokens,
    load_temporal,
    save_temporal,
)

TINY = TokenConfig(width=16, point_width=8, heads=2, layers=2, free_tokens=2)
SMALL = TemporalConfig(tokens=16, width=16, layers=2, heads=2, frames=5)
B, T, N = 3, 5, 16
SHIPPED = "838a94f62949bc8ce02f0b70193b00e358bb14e46a73bf7939b7702ce9306107"


def people() -> PersonBatch:
    g = torch.Generator().manual_seed(0)
    mask = torch.ones(B, T, N, dtype=torch.bool)
    mask[0, 2] = False
    points = torch.randn(B, T, N, 3, generator=g) * mask[..., None]
    return PersonBatch(points, mask, torch.randn(B, T, 3, generator=g) + 5, torch.randn(B, T, 3, generator=g) * 0.1)


@pytest.fixture(scope="module")
def network() -> KeypointNetwork:
    torch.manual_seed(0)
    return TokenNetwork(TINY).eval()


def learnt() -> TemporalNetwork:
    """With random weights where an untrained one has zeros."""
    torch.manual_seed(1)
    temporal = TemporalNetwork(SMALL)
    torch.nn.init.normal_(temporal.correct.weight, std=0.5)
    return temporal.eval()


def turned(tracklets: PersonBatch, yaw: torch.Tensor) -> PersonBatch:
    origins = tracklets.required("origins") @ yaw.T
    return replace(tracklets, points=tracklets.points @ yaw.T, views=tracklets.views @ yaw.T, origins=origins)


def test_untrained_it_corrects_nothing(network: KeypointNetwork) -> None:
    said = TemporalTeacher(TemporalNetwork(SMALL), network)(network, people())
    torch.testing.assert_close(said.keypoints, estimate(network, people()).keypoints, atol=1e-5, rtol=1e-5)


def test_a_missed_frame_is_not_looked_at(network: KeypointNetwork) -> None:
    temporal, tracklets = learnt(), people()
    single, tokens = estimate_with_tokens(network, tracklets)
    said = []
    for rubbish in (0.0, 7.0):
        strange, keypoints = tokens.clone(), single.required("keypoints").clone()
        strange[0, 2], keypoints[0, 2] = rubbish, rubbish
        with torch.inference_mode():
            said.append(temporal(replace(single, keypoints=keypoints), strange)[tracklets.seen])
    torch.testing.assert_close(*said, atol=1e-3, rtol=0)  # a looked-at 7 changes metres


def test_other_frames_do_matter(network: KeypointNetwork) -> None:
    tracklets, other = people(), people()
    other.points[1, 4] += 0.3
    a, b = (TemporalTeacher(learnt(), network)(network, some).keypoints for some in (tracklets, other))
    assert (a[1, 0] - b[1, 0]).abs().max() > 1e-4
    torch.testing.assert_close(a[2], b[2])


def test_a_turned_scene_gives_turned_keypoints(network: KeypointNetwork) -> None:
    c, s = torch.tensor(0.7).cos(), torch.tensor(0.7).sin()
    yaw = torch.tensor([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    teacher = TemporalTeacher(learnt(), network)
    expected = teacher(network, people()).keypoints @ yaw.T
    found = teacher(network, turned(people(), yaw)).keypoints
    seen = people().seen
    torch.testing.assert_close(found[seen], expected[seen], atol=1e-3, rtol=1e-3)


def test_weights_come_back_as_they_were_written(tmp_path: Path, network: KeypointNetwork) -> None:
    temporal, file = learnt(), tmp_path / "temporal.safetensors"
    save_temporal(file, temporal, {"step": "3"})
    a, b = (TemporalTeacher(one, network)(network, people()).keypoints for one in (temporal, load_temporal(file)))
    assert a.equal(b) and [path.name for path in tmp_path.iterdir()] == [file.name]


def test_the_one_that_ships_reads_the_network_that_ships(network: KeypointNetwork) -> None:
    shipped = load_temporal()
    assert shipped.reads == fingerprint(load_network()) == SHIPPED
    assert shipped.understands(load_network()) and not shipped.understands(network)


def test_whose_tokens_are_read_comes_back_from_the_file(tmp_path: Path, network: KeypointNetwork) -> None:
    save_temporal(tmp_path / "a.safetensors", TemporalNetwork(SMALL, fingerprint(network)), {"step": "3"})
    again = load_temporal(tmp_path / "a.safetensors")
    assert again.reads == fingerprint(network) and again.understands(network)
    assert again.origin.metadata["step"] == "3" and again.origin.metadata["fingerprint"] == fingerprint(again)


def test_another_networks_tokens_are_refused_at_the_start(tmp_path: Path, network: KeypointNetwork) -> None:
    """Of the same width, of another one, and of a file from before files told whose tokens they read."""
    torch.manual_seed(8)
    save_network(tmp_path / "other.safetensors", TokenNetwork(TINY), {})
    other = load_network(tmp_path / "other.safetensors")
    own = TemporalNetwork(SMALL, reads=fingerprint(network))
    mend = r"but .*other\.safetensors \(.*16 wide\) is loaded: train one with `gckpl train temporal --weights .*other"
    with pytest.raises(InputError, match=mend):
        TemporalTeacher(own, other)
    TemporalTeacher(TemporalNetwork(SMALL), other)
    with pytest.raises(InputError, match=r"unknown \(7 wide\), but .* or do without \(leave adapt\.teacher empty"):
        TemporalTeacher(TemporalNetwork(TemporalConfig(tokens=7)), other)


def test_weights_that_a_robot_adapted_count_as_those_it_began_with(tmp_path: Path, network: KeypointNetwork) -> None:
    changed = deepcopy(network)
    next(changed.parameters()).data.add_(0.01)
    temporal = TemporalNetwork(SMALL, reads=fingerprint(network))
    for origin, understood in ((fingerprint(network), True), (fingerprint(changed), False)):
        save_network(tmp_path / "adapted.safetensors", changed, {"adapted_from": origin})
        assert temporal.understands(load_network(tmp_path / "adapted.safetensors")) is understood


@pytest.mark.parametrize("content", [b"", b"rubbish", None])
def test_a_file_that_is_none_is_an_error(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "no.safetensors"
    if content is None:
        save_file({"a": torch.zeros(1)}, file)
    else:
        file.write_bytes(content)
    with pytest.raises(InputError, match=r"temporal network|cannot read weights"):
        load_temporal(file)


def sampled(dt_s: float | None, frames: int = T) -> PersonBatch:
    g = torch.Generator().manual_seed(3)
    points, views = torch.randn(1, 1, N, 3, generator=g), torch.randn(1, 1, 3, generator=g) + 5
    return PersonBatch(
        points.expand(1, frames, -1, -1),
        torch.ones(1, frames, N, dtype=torch.bool),
        views.expand(1, frames, -1),
        origins=torch.zeros(1, frames, 3),
        dt_s=None if dt_s is None else torch.full((1, frames), dt_s),
    )


def test_at_ten_hertz_each_frame_has_its_own_entry_of_the_table() -> None:
    """Whether the rate is said or not, and with what stamps jitter."""
    temporal = learnt()
    for people_at in (sampled(None), sampled(0.1), sampled(0.1027)):
        assert temporal._times(people_at.times)[0, :, 0].equal(temporal.time[:, 0])


def test_at_other_rates_the_table_is_read_between_its_entries() -> None:
    temporal = learnt()
    table = temporal.time[:, 0]
    twice = temporal._times(sampled(0.05, 9).times)[0, :, 0]
    torch.testing.assert_close(twice[::2], table)
    torch.testing.assert_close(twice[1::2], (table[1:] + table[:-1]) / 2)
    half = temporal._times(sampled(0.2, 4).times)[0, :, 0]
    torch.testing.assert_close(half, table[[0, 2, 4, 4]])


def test_the_rate_alone_changes_what_it_says_and_more_frames_than_entries_are_no_error(
    network: KeypointNetwork,
) -> None:
    teacher = TemporalTeacher(learnt(), network)
    told, unsaid, faster = (teacher(network, sampled(dt)).required("keypoints") for dt in (0.1, None, 0.05))
    assert told.equal(unsaid) and not torch.allclose(told, faster)
    assert teacher(network, sampled(0.05, 12)).required("keypoints").isfinite().all()
