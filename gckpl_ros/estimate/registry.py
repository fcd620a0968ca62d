"""The architectures of keypoint networks: a new one is a file with its network, and its line here."""

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from gckpl_ros.estimate.network import KeypointNetwork
from gckpl_ros.estimate.tokens import SIZES, TokenConfig, TokenNetwork

ARCHITECTURES: Final[Mapping[str, type[KeypointNetwork]]] = {"tokens": TokenNetwork}
"""By the key that their weights carry."""

NetworkConfig: TypeAlias = TokenConfig
"""The configuration of any of them: `gckpl train stage1 --network` offers what stands in this union."""

Size: TypeAlias = Literal["", "nano", "small", "base"]


def of_size(size: Size, otherwise: NetworkConfig) -> NetworkConfig:
    """The configuration of a size by its name; empty: the other one."""
    return SIZES[size] if size else otherwise


def architecture(network: KeypointNetwork) -> str:
    """The key of a network's architecture."""
    return next(key for key, kind in ARCHITECTURES.items() if type(network) is kind)


def build(config: NetworkConfig) -> KeypointNetwork:
    """An untrained network of the architecture that a configuration is of."""
    return next(kind for kind in ARCHITECTURES.values() if kind.Config is type(config))(config)
