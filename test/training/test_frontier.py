"""The peers of the frontier: what holds for any keypoint network, work counted as by hand, a run of any of them."""

from pathlib import Path

import pytest
import torch

from gckpl_ros.estimate.network import KeypointNetwork
from gckpl_training.bench import frontier
from gckpl_training.learn.peers import PEERS, PaperConfig, PaperNetwork, PointNetConfig, nearest


@pytest.mark.parametrize("name", PEERS)
@torch.no_grad()
def test_padding_and_bearing_change_nothing(name: str) -> None:
    torch.manual_seed(0)
    network: KeypointNetwork = PEERS[name]().eval()
    points, mask, views = 0.4 * torch.randn(2, 40, 3), torch.ones(2, 40, dtype=torch.bool), 5 * torch.randn(2, 3)
    said = network(points, mask, views)
    assert said.keypoints.shape == (2, 14, 3) and said.part_logits.shape == (2, 40, 15)
    more = torch.cat([mask, torch.zeros(2, 6, dtype=torch.bool)], 1)
    padded = network(torch.cat([points, torch.full((2, 6, 3), 9.0)], 1), more, views)
    torch.testing.assert_close(padded.keypoints, said.keypoints, atol=1e-4, rtol=1e-4)
    turn = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    turned = network(points @ turn.T, mask, views @ turn.T)
    torch.testing.assert_close(turned.keypoints, said.keypoints @ turn.T, atol=1e-4, rtol=1e-4)


def test_neighbours_are_the_nearest_that_exist() -> None:
    points = torch.tensor([[[0.0, 0, 0], [1, 0, 0], [3, 0, 0], [0.1, 0, 0]]])
    mask = torch.tensor([[True, True, True, False]])
    near = nearest(points[:, :1], points, mask, 4)
    assert near.tolist() == [[[0, 1, 2, 0]]]


def test_work_is_counted_as_by_hand() -> None:
    """A transformer's layer, n times: 4 c^2 to ask and to say, 8 c^2 to think, 2 n c to look."""
    n, c = frontier.POINTS + 14, 64
    one, two = (frontier.gmac(PaperNetwork(PaperConfig(width=c, layers=k)).eval(), frontier.POINTS) for k in (1, 2))
    assert two - one == pytest.approx(n * (12 * c * c + 2 * n * c) / 1e9, rel=1e-3)


def test_costs_alone_need_no_crops(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    small = {"PointNet": lambda: PEERS["PointNet"](PointNetConfig((16, 16, 32), (16,)))}
    monkeypatch.setattr(frontier, "NETWORKS", small)
    (row,) = frontier.frontier_rows(tmp_path / "none", tmp_path, budget_s=0.0)
    assert row["network"] == "PointNet" and 0 < row["GMAC_192_points"] < row["GMAC_1024_points"]
    assert row["core_ms_10_people"] > 0 and "hard_cm" not in row
