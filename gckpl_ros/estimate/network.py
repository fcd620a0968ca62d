"""What every keypoint network f(P) -> (Y, W) of GC-KPL (CVPR 2023, section 3.1) is, whatever its architecture."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from gckpl_ros.batch import PersonBatch


class Prediction(NamedTuple):
    """What the network says of b people; positions in metres in the input's frame."""

    keypoints: Float[Tensor, "b 14 3"]
    confidence_logit: Float[Tensor, "b 14"]
    part_logits: Float[Tensor, "b n 15"]
    steps: Float[Tensor, "l b 14 3"]
    """Keypoints after each layer, for deep supervision; the last equals ``keypoints``."""
    tokens: Float[Tensor, "b 14 c"]
    """What is known of each keypoint, for networks that look at several frames."""


@dataclass(frozen=True)
class Origin:
    """Where a network was read from, and what its file says of it; both empty where it was never in a file."""

    path: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


class KeypointNetwork(nn.Module, ABC):
    """Keypoints, their confidence, and the body part of every point; each architecture is one that registers itself."""

    Config: ClassVar[type[Any]]
    """Frozen dataclass of the architecture's shape, all of it with defaults; travels with the weights."""
    calibration: Tensor
    """Platt scaling fitted on held-out people after training: confidence = sigmoid(scale * logit + shift)."""

    def __init__(self, config: Any) -> None:
        """``config`` is of the class's own ``Config``."""
        super().__init__()
        self.config, self.origin = config, Origin()
        self.register_buffer("calibration", torch.tensor([1.0, 0.0]))

    @property
    @abstractmethod
    def token_width(self) -> int:
        """The c of its predictions' tokens."""

    def predict(self, people: PersonBatch) -> Prediction:
        """Predict for the people of one cloud, by what this architecture looks at; all who call a network call this."""
        said: Prediction = self(people.points, people.mask, people.views)
        return said

    @abstractmethod
    def forward(
        self, points: Float[Tensor, "b n 3"], mask: Bool[Tensor, "b n"], views: Float[Tensor, "b 3"]
    ) -> Prediction:
        """Predict from points (m, relative to any origin near the person) and the vector sensor -> that origin."""
