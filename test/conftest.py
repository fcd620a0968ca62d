"""What every test runs under: one thread, fixed seeds; pyproject.toml has shapes and types of both packages checked."""

import os

import numpy as np
import pytest
import torch
from hypothesis import settings

torch.set_num_threads(1)
# Time limits of hypothesis fail on a busy machine; in CI the same examples are tried every time.
settings.register_profile("gckpl", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("gckpl")


@pytest.fixture(autouse=True)
def _seeds() -> None:
    torch.manual_seed(0)
    np.random.seed(0)
