"""Thinning by cells: what it keeps is known where the points lie on a lattice."""

import numpy as np
import pytest
import torch

from gckpl_ros.people.crop import CELL_M, evenly, thinned


def lattice(copies: list[int]) -> torch.Tensor:
    """Cells in a row along x; cell i holds copies[i] points."""
    cell = torch.repeat_interleave(torch.arange(len(copies)), torch.tensor(copies))
    return torch.stack([(cell + 0.5) * CELL_M, torch.zeros(len(cell)), torch.zeros(len(cell))], -1)[None]


def cells(points: torch.Tensor, index: torch.Tensor) -> list[int]:
    return torch.bincount((points[0, index[0], 0] / CELL_M).floor().long()).tolist()


def test_sparse_cells_keep_all_and_dense_ones_share_the_rest() -> None:
    points = lattice([50, 2, 1, 50])
    mask = torch.ones(1, 103, dtype=torch.bool)
    for generator in (None, torch.Generator().manual_seed(1)):
        assert cells(points, evenly(points, mask, 11, generator)) == [4, 2, 1, 4]
        assert sorted(evenly(points, mask, 103, generator)[0].tolist()) == list(range(103))


def test_more_cells_than_points_wanted_are_spread_over_the_scan() -> None:
    points, mask = lattice([1] * 100), torch.ones(1, 100, dtype=torch.bool)
    index = evenly(points, mask, 20)[0].sort().values
    assert int(index.diff().max()) <= 8  # evenly would be 5
    assert torch.equal(index, evenly(points, mask, 20)[0].sort().values)
    chosen = {tuple(evenly(points, mask, 2, torch.Generator().manual_seed(seed))[0].tolist()) for seed in range(20)}
    assert len(chosen) > 15


def test_missing_points_come_last() -> None:
    points = lattice([4, 4]).expand(2, -1, -1)
    mask = torch.tensor([[True] * 8, [False] * 5 + [True] * 3])
    index = evenly(points, mask, 6)
    assert mask.gather(1, index).sum(1).tolist() == [6, 3]
    assert mask.gather(1, index)[1, :3].all()


@pytest.mark.parametrize("sizes", [[50, 300, 192, 193, 700], [1000], [7000, 200, 5000], [5]])
def test_many_people_at_once_are_thinned_as_one_by_one(sizes: list[int]) -> None:
    rng = np.random.default_rng(len(sizes))
    points = rng.normal(0, 0.3, (10_000, 3)).astype(np.float32)
    rows = [np.sort(rng.choice(10_000, size, replace=False)) for size in sizes]
    for row, chosen in zip(rows, thinned(points, rows, 192), strict=True):
        inside = torch.from_numpy(points[row] - points[row].mean(0))[None]
        one = evenly(inside, torch.ones(1, len(row), dtype=torch.bool), 192)[0].sort().values
        assert chosen.tolist() == row[one.numpy()].tolist()


def test_nobody_is_thinned() -> None:
    assert thinned(np.zeros((0, 3), np.float32), [], 192) == []
