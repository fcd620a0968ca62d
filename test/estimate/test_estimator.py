"""Weights on disk and the estimator: round trips, wrong files, and where the skeletons end up."""

import hashlib
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from gckpl_ros.batch import PersonBatch
from gckpl_ros.config import EstimateConfig
from gckpl_ros.errors import InputError
from gckpl_ros.estimate.checkpoint import fingerprint, load_network, save_network, weights_file
from gckpl_ros.estimate.estimator import Estimator, choose_device
from gckpl_ros.estimate.registry import ARCHITECTURES, architecture, build
from gckpl_ros.estimate.tokens import TokenConfig, TokenNetwork

TINY = TokenConfig(width=16, point_width=8, heads=2, layers=1, free_tokens=2)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "tiny.safetensors"
    save_network(path, TokenNetwork(TINY), {"stage": "test"})
    return path


def crops(origin: tuple[float, float, float], counts: tuple[int, ...] = (40, 12)) -> PersonBatch:
    rng = np.random.default_rng(0)
    b, n = len(counts), max(counts)
    origins = np.tile(np.float32(origin), (b, 1))
    mask = np.arange(n) < np.array(counts)[:, None]
    points = (rng.normal(0, 0.3, (b, n, 3)) * mask[..., None]).astype(np.float32)
    index = np.where(mask, np.arange(n), -1)
    views, number = origins - np.float32([0, 0, 1]), np.array(counts)
    arrays = {"points": points, "mask": mask, "views": views, "origins": origins, "counts": number, "index": index}
    return PersonBatch(**{name: torch.from_numpy(array) for name, array in arrays.items()})


def test_a_saved_network_says_the_same(weights: Path) -> None:
    again = weights.with_name("again.safetensors")
    save_network(again, load_network(weights), {})
    batch = crops((5, 0, 0))
    first, second = (Estimator(load_network(path), torch.device("cpu"))(batch) for path in (weights, again))
    np.testing.assert_array_equal(first.skeletons.keypoints, second.skeletons.keypoints)
    assert [path.name for path in weights.parent.iterdir() if path.name.startswith(".")] == []


def test_skeletons_are_in_the_clouds_frame(weights: Path) -> None:
    estimator = Estimator.load(EstimateConfig(weights=str(weights), device="cpu"))
    near, origin = crops((5, 0, 0)), np.float32([100, 200, 3])
    far = replace(near, origins=near.required("origins") + torch.from_numpy(origin))
    moved = estimator(far).skeletons.keypoints - estimator(near).skeletons.keypoints
    np.testing.assert_allclose(moved, np.broadcast_to(origin, moved.shape), atol=1e-4)


def test_probabilities(weights: Path) -> None:
    estimate = Estimator.load(EstimateConfig(weights=str(weights), device="cpu"))(crops((5, 0, 0)))
    np.testing.assert_allclose(estimate.parts[0].sum(-1), 1, atol=1e-5)
    assert not estimate.parts[1, 12:].any()  # padding has no part
    np.testing.assert_allclose(estimate.skeletons.visibility, estimate.parts[..., :14].max(1), atol=1e-6)
    assert ((estimate.skeletons.confidence > 0) & (estimate.skeletons.confidence < 1)).all()


def test_nobody_in_nobody_out(weights: Path) -> None:
    estimate = Estimator.load(EstimateConfig(weights=str(weights), device="cpu"))(crops((5, 0, 0), (8,)))
    assert len(estimate.skeletons) == 1
    batch = crops((5, 0, 0), (8,))
    none = batch.rows(torch.zeros(0, dtype=torch.int64))
    assert len(Estimator.load(EstimateConfig(weights=str(weights), device="cpu"))(none).skeletons) == 0


def test_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read weights .*absent"):
        load_network(tmp_path / "absent.safetensors")


def test_a_file_that_is_no_weights_file(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"not weights at all")
    with pytest.raises(InputError, match="cannot read weights"):
        load_network(tmp_path / "a.safetensors")


def test_foreign_weights_are_refused(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(2)}, tmp_path / "a.safetensors")
    with pytest.raises(InputError, match="not of format"):
        load_network(tmp_path / "a.safetensors")


def test_weights_of_another_shape_are_refused(weights: Path) -> None:
    with safe_open(weights, "pt") as file:
        metadata = file.metadata()
    state = load_file(weights)
    state["tokens"] = state["tokens"][:-1].clone()
    save_file(state, weights, metadata)
    with pytest.raises(InputError, match="do not fit"):
        load_network(weights)


def changed(weights: Path, **metadata: str | None) -> None:
    """Write a file anew with other metadata; None leaves one out."""
    with safe_open(weights, "pt") as file:
        kept = file.metadata() | metadata
    save_file(load_file(weights), weights, {key: value for key, value in kept.items() if value is not None})


def test_weights_say_what_they_are(weights: Path) -> None:
    network = load_network(weights)
    said = network.origin.metadata
    assert network.origin.path == str(weights) and said["architecture"] == "tokens" and said["stage"] == "test"
    assert said["fingerprint"] == fingerprint(network)
    assert said["parameters"] == str(sum(value.numel() for value in TokenNetwork(TINY).parameters()))


def test_a_fingerprint_is_that_of_names_and_bytes() -> None:
    linear = torch.nn.Linear(1, 1)
    with torch.no_grad():
        linear.weight.fill_(1.0), linear.bias.fill_(-2.0)
    content = b"bias" + struct.pack("<f", -2) + b"weight" + struct.pack("<f", 1)
    assert fingerprint(linear) == hashlib.sha256(content).hexdigest()


def test_weights_from_before_architectures_had_keys_still_load(weights: Path) -> None:
    before = fingerprint(load_network(weights))
    changed(weights, architecture=None, fingerprint=None, parameters=None)
    assert fingerprint(load_network(weights)) == before
    assert "architecture" not in load_network().origin.metadata  # so are those that ship


def test_an_unknown_architecture_is_refused_with_those_that_are_known(weights: Path) -> None:
    changed(weights, architecture="pillars")
    with pytest.raises(InputError, match="are of architecture pillars, this version knows tokens"):
        load_network(weights)


def test_a_configuration_of_something_else_is_refused(weights: Path) -> None:
    changed(weights, network='{"pillars": 3}')
    with pytest.raises(InputError, match=r"describe no network of architecture tokens: .*pillars"):
        load_network(weights)


def test_weights_changed_behind_their_fingerprint_are_refused(weights: Path) -> None:
    with safe_open(weights, "pt") as file:
        metadata = file.metadata()
    state = load_file(weights)
    state["tokens"][0, 0] += 1
    save_file(state, weights, metadata)
    with pytest.raises(InputError, match="are not those of their fingerprint"):
        load_network(weights)


def test_each_architecture_is_built_by_its_configuration_and_found_by_its_key() -> None:
    for key, kind in ARCHITECTURES.items():
        network = build(kind.Config())
        assert type(network) is kind and architecture(network) == key
        points, mask = torch.zeros(2, 5, 3), torch.ones(2, 5, dtype=torch.bool)
        said = network.eval().predict(PersonBatch(points, mask, torch.tensor([[5.0, 0, 0]]).expand(2, 3)))
        shapes = [(2, 14, 3), (2, 14), (2, 5, 15), (said.steps.shape[0], 2, 14, 3), (2, 14, network.token_width)]
        assert [tuple(value.shape) for value in said] == shapes
        assert said.steps[-1].equal(said.keypoints)


def test_products_on_a_cpu_stay_those_of_float32() -> None:
    torch.manual_seed(0)
    factors = torch.rand(512, 64), torch.rand(64, 128)
    Estimator.load(EstimateConfig(device="cpu"))
    exact = factors[0].double() @ factors[1].double()
    torch.testing.assert_close((factors[0] @ factors[1]).double(), exact, atol=0, rtol=1e-5)  # bfloat16: 4e-3


def test_devices() -> None:
    assert choose_device("cpu").type == "cpu"
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(InputError, match="cannot be used"):
        choose_device("abacus")


def test_networks_that_ship_are_known_by_name_and_a_gpu_takes_the_larger(tmp_path):
    small, base = load_network("small"), load_network("base")
    assert fingerprint(small) == fingerprint(load_network()) != fingerprint(base)
    assert sum(p.numel() for p in base.parameters()) > 3 * sum(p.numel() for p in small.parameters())
    assert weights_file(device="cuda:1") == weights_file("base") != weights_file(device="cpu") == weights_file("small")
    assert weights_file(tmp_path / "base", "cuda") == tmp_path / "base"
