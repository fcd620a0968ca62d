"""The person network: what it says and what boxes mean, by geometry; its files."""

import numpy as np
import pytest
import torch

from gckpl_ros.detect.network import (
    PersonConfig,
    PersonNetwork,
    Sparse,
    apart,
    boxes,
    load_person,
    said_of,
    save_person,
)
from gckpl_ros.detect.pillars import pillars
from gckpl_ros.errors import InputError
from gckpl_ros.estimate.checkpoint import weights_file

RNG = np.random.default_rng(0)


def scene(points=600):
    xyz = np.concatenate([RNG.uniform(-6, 6, (2, points)), RNG.uniform(-1.3, 0.4, (1, points))]).astype(np.float32)
    return pillars(xyz, xyz[2] + np.float32(1.5), 25.0)


def test_a_box_says_where_it_lies_against_the_line_of_sight():
    """Seen along +y: 0.3 m behind the place, 0.1 m to the left (-x), from the ground to 1.8 m, along the sight."""
    said = np.array([[0.3, 0.1, 0.0, 1.8, np.log(0.5), np.log(0.6), 1.0, 0.0]], np.float32)
    found = boxes(np.array([[0.0, 8.0]], np.float32), said)
    np.testing.assert_allclose(found, [[-0.1, 8.3, 0.9, 0.5, 0.6, 1.8, np.pi / 2]], atol=1e-6)


def test_boxes_and_what_is_said_of_them_are_inverse():
    places = RNG.uniform(-20, 20, (50, 2)).astype(np.float32)
    truth = np.column_stack([places + RNG.uniform(-0.4, 0.4, (50, 2)), RNG.uniform(0.5, 0.9, 50)])
    truth = np.column_stack([truth, RNG.uniform(0.3, 1.8, (50, 3)), RNG.uniform(-1.5, 1.5, 50)]).astype(np.float32)
    truth[:, 2] = truth[:, 5] / 2 + 0.02
    again = boxes(places, said_of(places, truth))
    np.testing.assert_allclose(again[:, :6], truth[:, :6], atol=2e-5)
    np.testing.assert_allclose(np.sin(again[:, 6] - truth[:, 6]), 0, atol=2e-5)  # an axis has no front


def test_places_that_are_kept_lie_apart_and_the_first_wins():
    places = np.array([[0, 0], [0.1, 0], [0.35, 0], [0.5, 0], [3, 3]], np.float32)
    assert apart(places, 0.3).tolist() == [0, 2, 4]
    assert apart(places, 0.3, 2).tolist() == [0, 2] and apart(places[:0], 0.3).tolist() == []


def test_a_sparse_convolution_is_the_dense_one_where_cells_are_occupied():
    seen, layer = scene(), Sparse(3, 5)
    layer.norm = torch.nn.Identity()
    value = torch.randn(len(seen), 3)
    dense = torch.zeros(seen.width**2, 3)
    dense[torch.from_numpy(seen.cells)] = value
    kernel = layer.mix.weight.view(5, 3, 3, 3).permute(0, 3, 1, 2)
    image = dense.view(1, seen.width, seen.width, 3).permute(0, 3, 1, 2)
    whole = torch.nn.functional.conv2d(image, kernel, dilation=2, padding=2)
    expected = whole[0].permute(1, 2, 0).reshape(-1, 5)[torch.from_numpy(seen.cells)]
    torch.testing.assert_close(layer(value, torch.from_numpy(seen.beside(2))), expected, atol=1e-5, rtol=1e-4)


def test_who_is_found_does_not_depend_on_the_order_of_the_points():
    torch.manual_seed(0)
    network = PersonNetwork(PersonConfig(least=0.01, points=2000)).eval()
    xyz = np.concatenate([RNG.uniform(-6, 6, (2, 900)), RNG.uniform(-1.3, 0.4, (1, 900))]).astype(np.float32)
    mixed = xyz[:, RNG.permutation(900)]
    first, logits = network(pillars(xyz, xyz[2] + np.float32(1.5), 25.0))
    again, logits_again = network(pillars(mixed, mixed[2] + np.float32(1.5), 25.0))
    assert len(first) > 0
    np.testing.assert_allclose(first, again, atol=1e-4)
    np.testing.assert_allclose(logits, logits_again, atol=1e-4)


def test_nothing_in_nobody_out():
    none = np.zeros((3, 0), np.float32)
    found, logits = PersonNetwork().eval()(pillars(none, none[0], 25.0))
    assert found.shape == (0, 7) and logits.shape == (0,)


def test_a_file_gives_back_the_network(tmp_path):
    network = PersonNetwork(PersonConfig(width=8, dilations=(1, 3), point_width=16, proposals=7)).eval()
    save_person(tmp_path / "p.safetensors", network, {"stage": "person"})
    again = load_person(tmp_path / "p.safetensors")
    assert again.config == network.config
    for one, two in zip(network.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=0)


def test_weights_of_something_else_are_refused(tmp_path):
    with pytest.raises(InputError, match="no person detector"):
        load_person(weights_file())
    with pytest.raises(InputError, match="cannot read"):
        load_person(tmp_path / "absent.safetensors")
