"""ONNX and other runtimes: the same answers as torch for any number of people and points; who lacks them is told."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from gckpl_ros.adapt import load_adapter
from gckpl_ros.batch import PersonBatch
from gckpl_ros.config import Config, EstimateConfig
from gckpl_ros.errors import InputError
from gckpl_ros.estimate import onnx as other
from gckpl_ros.estimate.estimator import Estimator
from gckpl_ros.estimate.tokens import TokenConfig, TokenNetwork


@pytest.fixture(scope="module")
def network() -> TokenNetwork:
    torch.manual_seed(0)
    made = TokenNetwork(TokenConfig(width=32, point_width=16, heads=2, layers=3, free_tokens=3, neighbours=4))
    for block in made.token_blocks:  # fresh networks do not move their tokens; these shall
        torch.nn.init.normal_(block.move.weight, std=0.05)
    return made.eval()


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Of the user: both runtimes take the one export from it."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_other_runtimes_say_what_torch_says(backend: other.Backend, network: TokenNetwork, cache: Path) -> None:
    for needed in (backend, "onnx", "onnxscript"):
        pytest.importorskip(needed)
    runtime = other.Runtime(network, backend, 1)
    (file,) = cache.rglob("*.onnx")
    assert other.exported(network) == file
    generator = torch.Generator().manual_seed(1)
    for people, points in ((1, 5), (3, 16), (7, 192), (1, 300)):
        mask = torch.arange(points) < torch.randint(4, points + 1, (people, 1), generator=generator)
        cloud = 0.4 * torch.randn(people, points, 3, generator=generator) * mask[..., None]
        views = 5 * torch.randn(people, 3, generator=generator)
        with torch.inference_mode():
            mine, said = network(cloud, mask, views), runtime.predict(PersonBatch(cloud, mask, views))
        torch.testing.assert_close(said.keypoints, mine.keypoints, atol=1e-4, rtol=0)
        torch.testing.assert_close(said.confidence_logit, mine.confidence_logit, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(said.part_logits[mask], mine.part_logits[mask], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_who_lacks_a_runtime_is_told_what_to_install(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, backend, None)
    with pytest.raises(InputError, match=r"pip install 'gckpl_ros\[(onnx|openvino)\]'"):
        Estimator.load(EstimateConfig(device="cpu", backend=backend))  # type: ignore[arg-type]


def test_what_learns_on_the_robot_needs_torch(network: TokenNetwork) -> None:
    config = Config.parse({"estimate": {"backend": "onnxruntime"}, "adapt": {"enabled": True}})
    with pytest.raises(InputError, match=r"estimate\.backend to torch"):
        load_adapter(config, network)
