"""The estimator: all people of a frame in one batch through the network."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32

from gckpl_ros.batch import PersonBatch
from gckpl_ros.config import EstimateConfig
from gckpl_ros.errors import InputError
from gckpl_ros.estimate.checkpoint import load_network
from gckpl_ros.estimate.network import KeypointNetwork
from gckpl_ros.skeleton import BACKGROUND, NUM_PARTS
from gckpl_ros.types import Skeletons


@dataclass(frozen=True)
class Estimate:
    """Skeletons in the cloud's frame, and the part probabilities of every point of every crop."""

    skeletons: Skeletons
    parts: Float32[np.ndarray, "b n 15"]


class Estimator:
    """Runs a network on crops."""

    def __init__(self, network: KeypointNetwork, device: torch.device) -> None:
        self.network = network.to(device).eval()
        self.device = device

    @staticmethod
    def load(config: EstimateConfig) -> "Estimator":
        """Build from the configuration; raises InputError where weights or device cannot be had."""
        device = choose_device(config.device)
        if config.threads:
            torch.set_num_threads(config.threads)
        return Estimator(load_network(config.weights), device)

    @torch.inference_mode()
    def __call__(self, crops: PersonBatch) -> Estimate:
        """Estimate everybody at once; nobody in, nobody out."""
        if len(crops) == 0:
            return Estimate(Skeletons.empty(), np.zeros((0, crops.points.shape[1], NUM_PARTS), np.float32))
        points, mask, views = (value.to(self.device) for value in crops.inputs)
        prediction = self.network(points, mask, views)
        parts = prediction.part_logits.softmax(-1).masked_fill(~mask[..., None], 0.0)
        skeletons = Skeletons(
            keypoints=prediction.keypoints.float().cpu().numpy() + crops.required("origins").numpy()[:, None],
            confidence=prediction.confidence_logit.sigmoid().cpu().numpy(),
            visibility=parts[..., :BACKGROUND].amax(1).cpu().numpy(),
        )
        return Estimate(skeletons, parts.cpu().numpy())


def choose_device(name: str) -> torch.device:
    """Torch device for ``auto``, ``cpu``, ``cuda`` or ``cuda:<n>``; raises InputError where it does not exist."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device '{name}' cannot be used: {error}; choose auto, cpu or cuda:<n>") from error
    return device
