"""Weights on disk: safetensors with the network's configuration inside, written whole or not at all."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from gckpl_ros.errors import InputError
from gckpl_ros.estimate.network import KeypointNetwork, NetworkConfig
from gckpl_ros.files import write_file
from gckpl_ros.skeleton import KEYPOINTS

FORMAT = "gckpl-1"


def save_network(path: Path, network: KeypointNetwork, provenance: Mapping[str, str]) -> None:
    """Write weights, network configuration and provenance, whole or not at all; raises InputError where it cannot."""
    metadata = {"format": FORMAT, "keypoints": json.dumps(KEYPOINTS), "network": json.dumps(asdict(network.config))}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    write_file(path, save(tensors, metadata={**provenance, **metadata}))


def load_network(path: str | Path = "", device: str = "cpu") -> KeypointNetwork:
    """Read a network in evaluation mode; an empty path reads the one that ships. Raises InputError."""
    source = Path(path) if path else shipped_weights()
    try:
        with safe_open(source, framework="pt", device="cpu") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise InputError(f"cannot read weights {source}: {error}; give a .safetensors file of this project") from error
    network = KeypointNetwork(_config(metadata, source))
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise InputError(f"weights {source} do not fit the network that they describe: {error}") from error
    return network.to(device).eval()


def shipped_weights() -> Path:
    """The network that ships with the package."""
    return Path(str(files("gckpl_ros.weights") / "stage1.safetensors"))


def _config(metadata: Mapping[str, str], source: Path) -> NetworkConfig:
    if metadata.get("format") != FORMAT:
        found = metadata.get("format", "none")
        raise InputError(f"weights {source} are not of format {FORMAT} (found: {found}); train or export them anew")
    if tuple(json.loads(metadata["keypoints"])) != KEYPOINTS:
        raise InputError(f"weights {source} were trained for other keypoints: {metadata['keypoints']}")
    return NetworkConfig(**json.loads(metadata["network"]))
