"""Confidence worked out by hand: one point at each time."""

import math

import pytest
import torch
from figures import pair

from gckpl_ros.learn.flow import CYCLE_M, FAR_M2, LAND_M, squared_distances, with_flow


@pytest.mark.parametrize(
    ("forward", "backward", "log"),
    [
        (0.3, -0.3, 0.0),  # lands on the point and returns
        (0.3 - LAND_M, LAND_M - 0.3, -0.5),  # one width short, and back all the same
        (0.3, CYCLE_M - 0.3, -0.5),  # lands, and returns to one width from the start
        (0.3 - LAND_M, CYCLE_M + LAND_M - 0.3, -1.0),
    ],
)
def test_confidence_by_hand(forward: float, backward: float, log: float) -> None:
    pairs = pair(torch.zeros(1, 3), torch.tensor([[0.3, 0.0, 0.0]]))
    there, back = (torch.tensor([[[x, 0.0, 0.0]]]) for x in (forward, backward))
    found = with_flow(pairs, there, back)
    assert found.required("flow_confidence")[0, 0].item() == pytest.approx(math.exp(log), abs=1e-4)


def test_distances_are_those_of_torch() -> None:
    g = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 5, 3, generator=g), torch.randn(2, 4, 3, generator=g)
    mask_a, mask_b = torch.rand(2, 5, generator=g) < 0.7, torch.rand(2, 4, generator=g) < 0.7
    found, real = squared_distances(a, mask_a, b, mask_b), mask_a[:, :, None] & mask_b[:, None]
    torch.testing.assert_close(found[real], torch.cdist(a, b)[real].square(), atol=1e-5, rtol=1e-5)
    assert found[~real].min() > 0.99 * FAR_M2
