"""The network: invariances that its input's geometry demands, any number of points, and gradients everywhere."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gckpl_ros.estimate.checkpoint import SHIPPED, load_network
from gckpl_ros.estimate.network import KeypointNetwork, Prediction
from gckpl_ros.estimate.tokens import SIZES, Gathering, Hearing, PlacedAttention, TokenConfig, TokenNetwork


@pytest.fixture(scope="module")
def network() -> KeypointNetwork:
    torch.manual_seed(3)
    net = TokenNetwork(TokenConfig(width=32, point_width=16, heads=2, layers=2, free_tokens=3))
    for block in net.token_blocks:  # fresh networks do not move their tokens; these shall
        torch.nn.init.normal_(block.move.weight, std=0.05)
    return net.eval()


def people(b: int, n: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    points = 0.4 * torch.randn(b, n, 3, generator=g)
    views = torch.randn(b, 3, generator=g) * torch.tensor([6.0, 6.0, 0.3])
    return points, torch.ones(b, n, dtype=torch.bool), views


def close(a: Prediction, b: Prediction) -> None:
    for mine, other in zip(a, b, strict=True):
        torch.testing.assert_close(mine, other, atol=2e-4, rtol=1e-3)


@torch.no_grad()
def test_order_of_points_does_not_matter(network: KeypointNetwork) -> None:
    points, mask, views = people(2, 40)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(1))
    plain, shuffled = network(points, mask, views), network(points[:, order], mask, views)
    close(plain._replace(part_logits=plain.part_logits[:, order]), shuffled)


@torch.no_grad()
def test_padding_is_not_seen(network: KeypointNetwork) -> None:
    points, mask, views = people(2, 30)
    junk = torch.full((2, 9, 3), 7.0)
    padded = network(torch.cat([points, junk], 1), torch.cat([mask, torch.zeros(2, 9, dtype=torch.bool)], 1), views)
    close(network(points, mask, views), padded._replace(part_logits=padded.part_logits[:, :30]))


@settings(max_examples=10)
@given(angle=st.floats(-3.1, 3.1), seed=st.integers(0, 99))
@torch.no_grad()
def test_turning_the_world_about_the_sensor_turns_the_keypoints(
    network: KeypointNetwork, angle: float, seed: int
) -> None:
    points, mask, views = people(2, 25, seed)
    c, s = torch.cos(torch.tensor(angle)), torch.sin(torch.tensor(angle))
    turn = torch.tensor([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    plain, turned = network(points, mask, views), network(points @ turn.T, mask, views @ turn.T)
    close(plain._replace(keypoints=plain.keypoints @ turn.T, steps=plain.steps @ turn.T), turned)


@torch.no_grad()
def test_people_of_one_batch_do_not_mix(network: KeypointNetwork) -> None:
    points, mask, views = people(3, 20)
    alone = network(points[1:2], mask[1:2], views[1:2])
    together = network(points, mask, views)
    torch.testing.assert_close(together.keypoints[1:2], alone.keypoints, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("count", [0, 1, 3, 1024])
@torch.no_grad()
def test_any_number_of_points(network: KeypointNetwork, count: int) -> None:
    points, mask, views = people(2, max(count, 1))
    mask[0, count:] = False
    said = network(points, mask, views)
    assert said.keypoints.shape == (2, 14, 3)
    assert said.part_logits.shape == (2, max(count, 1), 15)
    assert all(bool(torch.isfinite(value).all()) for value in said)


@torch.no_grad()
def test_sizes_differ_in_size_alone_and_ship_under_their_names() -> None:
    """The smallest one looks for no neighbours: padding is not seen there either."""
    built = {name: TokenNetwork(config).eval() for name, config in SIZES.items()}
    counts = [sum(value.numel() for value in network.parameters()) for network in built.values()]
    assert list(built) == ["nano", "small", "base"] and counts == sorted(counts)
    assert all(load_network(name).config == SIZES[name] for name in SHIPPED)
    points, mask, views = people(2, 30)
    padded = torch.cat([mask, torch.zeros(2, 5, dtype=torch.bool)], 1)
    said = built["nano"](torch.cat([points, torch.ones(2, 5, 3)], 1), padded, views)
    close(built["nano"](points, mask, views), said._replace(part_logits=said.part_logits[:, :30]))


def test_every_parameter_learns() -> None:
    network = TokenNetwork(TokenConfig(width=16, point_width=8, heads=2, layers=2, free_tokens=2))
    for block in network.token_blocks:
        torch.nn.init.normal_(block.move.weight, std=0.1)
    said = network(*people(2, 30))
    (said.steps.square().sum() + said.part_logits.square().sum() + said.confidence_logit.sum()).backward()
    silent = [name for name, value in network.named_parameters() if value.grad is None or not value.grad.any()]
    assert silent == []


def test_confidence_does_not_teach_the_keypoints() -> None:
    network = TokenNetwork(TokenConfig(width=16, point_width=8, heads=2, layers=1, free_tokens=2))
    network(*people(2, 30)).confidence_logit.sum().backward()
    taught = {name.split(".")[0] for name, value in network.named_parameters() if value.grad is not None}
    assert taught == {"confidence"}


def attended(
    block: PlacedAttention, queries: torch.Tensor, query_places: torch.Tensor, keys: torch.Tensor, places: torch.Tensor
) -> torch.Tensor:
    """What one query of one person hears, head by head, as the definition says."""
    heads, width = block.heads, block.query.out_features // block.heads
    query = block.query(queries).view(heads, width)
    key, value = block.key_value(keys).view(len(keys), 2, heads, width).unbind(1)
    gathered, looked = [], []
    for head in range(heads):
        near = block.sharpness[head].exp() * (places - query_places).square().sum(-1)
        weight = (key[:, head] @ query[head] / width**0.5 - near).softmax(0)
        gathered.append(weight @ value[:, head])
        looked.append(weight @ places - query_places)
    return block.out(torch.cat([*gathered, *looked]))


@pytest.mark.parametrize(("kind", "widths"), [(Gathering, (12, 8)), (Hearing, (8, 12))])
@torch.no_grad()
def test_attention_is_as_defined(kind: type[Gathering | Hearing], widths: tuple[int, int]) -> None:
    torch.manual_seed(5)
    block = kind(*widths, heads=4)
    queries, places, keys, key_places = (
        torch.randn(2, n, c) for n, c in ((3, widths[0]), (3, 3), (7, widths[1]), (7, 3))
    )
    heard = block(queries, places, keys, key_places)
    for person in range(2):
        for place in range(3):
            expected = attended(block, queries[person, place], places[person, place], keys[person], key_places[person])
            torch.testing.assert_close(heard[person, place], expected, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_masked_keys_are_not_attended_to() -> None:
    torch.manual_seed(6)
    block = Gathering(12, 8, 4)
    queries, places, keys, key_places = (
        torch.randn(1, 3, 12),
        torch.randn(1, 3, 3),
        torch.randn(1, 7, 8),
        torch.randn(1, 7, 3),
    )
    mask = torch.arange(7)[None] < 5
    torch.testing.assert_close(
        block(queries, places, keys, key_places, mask), block(queries, places, keys[:, :5], key_places[:, :5])
    )
