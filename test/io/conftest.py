import pytest
import torch

from gckpl_ros.estimate.checkpoint import save_network
from gckpl_ros.estimate.tokens import TokenConfig, TokenNetwork


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """An untrained network: where its keypoints lie is not what these tests are about."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "untrained.safetensors"
    save_network(path, TokenNetwork(TokenConfig(width=32, point_width=16, layers=1)), {})
    return path
