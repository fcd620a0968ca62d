"""A small network, simulated truth, and people who walk past."""

import pytest
import torch
from walkers import crowd, labelled, observed

from gckpl_ros.adapt.guard import GUARD_EVERY, Anchors
from gckpl_ros.config import Config
from gckpl_ros.estimate.tokens import TokenConfig, TokenNetwork

FRAME_NS = 100_000_000
SMALL = TokenConfig(width=32, point_width=16, heads=2, layers=2, free_tokens=2, neighbours=4, fourier_bands=2)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return TokenNetwork(SMALL).eval()


@pytest.fixture(scope="session")
def anchors():
    batch = labelled(crowd(24, seed=9), 0.3)
    rows = torch.arange(len(batch))
    return Anchors(batch.rows(rows[rows % GUARD_EVERY > 0]), batch.rows(rows[rows % GUARD_EVERY == 0]))


@pytest.fixture
def config():
    """Quick to start and never in the guard's way, unless a test says otherwise."""

    def make(**values):
        quick = {"enabled": True, "tracklet_s": 0.4, "min_tracklets": 8, "batch_pairs": 4, "check_steps": 2}
        lenient = {"max_anchor_growth": 1.0, "max_holdout_growth": 1.0, "max_drift_m": 1.0}
        return Config.parse({"adapt": quick | lenient | values})

    return make


@pytest.fixture
def parade():
    """Shows so many frames from ``first`` on to who observes; four are a tracklet, 16 frames 64 tracklets."""

    def show(observe, frames, people=None, first=0):
        people = crowd(16, speed=2.0) if people is None else people
        for i in range(first, first + frames):
            observe(*observed(people, 0.1 * i, i * FRAME_NS))

    return show
