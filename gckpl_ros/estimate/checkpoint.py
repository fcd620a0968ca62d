"""Weights on disk: safetensors with the network's configuration inside, written whole or not at all."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from gckpl_ros.errors import InputError
from gckpl_ros.estimate.network import KeypointNetwork, NetworkConfig
from gckpl_ros.skeleton import KEYPOINTS

FORMAT = "gckpl-1"


def save_network(path: Path, network: KeypointNetwork, provenance: Mapping[str, str]) -> None:
    """Write weights, network configuration and provenance (beside, then rename): whole, whenever power fails."""
    metadata = {"format": FORMAT, "keypoints": json.dumps(KEYPOINTS), "network": json.dumps(asdict(network.config))}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    beside = path.with_name(f".{path.name}.tmp")
    save_file(tensors, beside, metadata={**provenance, **metadata})
    put_in_place(beside, path)


def put_in_place(beside: Path, path: Path) -> None:
    """Give a finished file its name, flushed to the disk: killed at any moment, the old file is there or the new."""
    _flush(beside)
    beside.replace(path)
    _flush(path.parent)


def _flush(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


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
