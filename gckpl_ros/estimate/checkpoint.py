"""Weights on disk: safetensors with architecture, configuration, fingerprint and provenance inside."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from gckpl_ros.errors import InputError
from gckpl_ros.estimate.network import KeypointNetwork, Origin
from gckpl_ros.estimate.registry import ARCHITECTURES, architecture
from gckpl_ros.files import write_file
from gckpl_ros.skeleton import KEYPOINTS

FORMAT: Final = "gckpl-1"
ADAPTED_FROM: Final = "adapted_from"
"""Where a robot learnt from a network, the fingerprint of that one stands here."""
SHIPPED: Final[Mapping[str, str]] = {"small": "stage1.safetensors", "base": "base.safetensors"}
"""The networks that ship, by size."""
_FIRST: Final = "tokens"
"""The architecture of weights from before they carried a key."""


@dataclass(frozen=True)
class Weights:
    """A weights file as it was read."""

    path: Path
    metadata: Mapping[str, str]
    tensors: Mapping[str, Tensor]

    @staticmethod
    def read(path: Path) -> "Weights":
        """Raises InputError where that is no weights file."""
        try:
            with safe_open(path, framework="pt", device="cpu") as file:
                return Weights(path, file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise InputError(
                f"cannot read weights {path}: {error}; give a .safetensors file of this project"
            ) from error

    def fill(self, network: nn.Module) -> None:
        """Give a network these weights; raises InputError where they are not of its shape, or were changed since."""
        try:
            network.load_state_dict(dict(self.tensors))
        except RuntimeError as error:
            raise InputError(f"weights {self.path} do not fit the network that they describe: {error}") from error
        if self.metadata.get("fingerprint", fingerprint(network)) != fingerprint(network):
            raise InputError(f"weights {self.path} are not those of their fingerprint: get or save them anew")


def write_weights(path: Path, network: nn.Module, metadata: Mapping[str, str]) -> None:
    """Write weights with metadata and fingerprint, whole or not at all; raises InputError where it cannot."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    write_file(path, save(tensors, metadata={**metadata, "fingerprint": fingerprint(network)}))


def fingerprint(network: nn.Module) -> str:
    """SHA-256 of all weights by name, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def save_network(path: Path, network: KeypointNetwork, provenance: Mapping[str, str]) -> None:
    """Write a keypoint network, what it is and where it comes from; raises InputError where it cannot."""
    described = {
        "format": FORMAT,
        "architecture": architecture(network),
        "network": json.dumps(asdict(network.config)),
        "keypoints": json.dumps(KEYPOINTS),
        "parameters": str(sum(value.numel() for value in network.parameters())),
    }
    write_weights(path, network, {**provenance, **described})


def load_network(path: str | Path = "", device: str = "cpu") -> KeypointNetwork:
    """Read a network in evaluation mode: a file, or one that ships (see ``weights_file``). Raises InputError."""
    weights = Weights.read(weights_file(path, device))
    network = _described(weights)
    weights.fill(network)
    network.origin = Origin(str(weights.path), weights.metadata)
    return network.to(device).eval()


def weights_file(weights: str | Path = "", device: str = "cpu") -> Path:
    """A file, or one that ships by its name; empty: the base network on a GPU, the small one elsewhere."""
    name = str(weights) or ("base" if device.startswith("cuda") else "small")
    return Path(str(files("gckpl_ros.weights") / SHIPPED[name])) if name in SHIPPED else Path(weights)


def _described(weights: Weights) -> KeypointNetwork:
    """An untrained network as the file describes it."""
    source, metadata = weights.path, weights.metadata
    if metadata.get("format") != FORMAT:
        found = metadata.get("format", "none")
        raise InputError(f"weights {source} are not of format {FORMAT} (found: {found}); train or export them anew")
    if tuple(json.loads(metadata["keypoints"])) != KEYPOINTS:
        raise InputError(f"weights {source} were trained for other keypoints: {metadata['keypoints']}")
    kind = ARCHITECTURES.get(key := metadata.get("architecture", _FIRST))
    if kind is None:
        known = ", ".join(ARCHITECTURES)
        raise InputError(f"weights {source} are of architecture {key}, this version knows {known}: update gckpl_ros")
    try:
        return kind(kind.Config(**json.loads(metadata["network"])))
    except (TypeError, ValueError) as error:
        raise InputError(f"weights {source} describe no network of architecture {key}: {error}") from error
