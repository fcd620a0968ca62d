"""The estimator: all people of a frame in one batch through the network."""

import ctypes
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from jaxtyping import Float32

from gckpl_ros.batch import PersonBatch
from gckpl_ros.config import EstimateConfig
from gckpl_ros.errors import InputError
from gckpl_ros.estimate.checkpoint import load_network
from gckpl_ros.estimate.network import KeypointNetwork
from gckpl_ros.estimate.onnx import Runtime
from gckpl_ros.skeleton import BACKGROUND, NUM_PARTS
from gckpl_ros.types import Skeletons

# Of glibc's malloc.h.
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3


@dataclass(frozen=True)
class Estimate:
    """Skeletons in the cloud's frame, and the part probabilities of every point of every crop."""

    skeletons: Skeletons
    parts: Float32[np.ndarray, "b n 15"]


class Estimator:
    """Runs a network on crops."""

    def __init__(self, network: KeypointNetwork, device: torch.device, runtime: Runtime | None = None) -> None:
        """``runtime`` executes the network in torch's place."""
        self.network = network.to(device).eval()
        self.device, self._runtime = device, runtime

    @staticmethod
    def load(config: EstimateConfig) -> "Estimator":
        """Build from the configuration; raises InputError where weights or device cannot be had.

        On a CPU it also sets how this process multiplies and keeps memory: faster, with the same results.
        """
        device = choose_device(config.device)
        if config.threads:
            torch.set_num_threads(config.threads)
        if device.type == "cpu":
            multiply_fast()
            _keep_memory()
        network = load_network(config.weights, str(device))
        if config.backend == "torch":
            return Estimator(network, device)
        if device.type != "cpu":
            raise InputError(f"estimate.backend {config.backend} runs on the CPU: set estimate.device to cpu")
        return Estimator(network, device, Runtime(network, config.backend, config.threads))

    @torch.inference_mode()
    def __call__(self, crops: PersonBatch) -> Estimate:
        """Estimate everybody at once; nobody in, nobody out."""
        if len(crops) == 0:
            return Estimate(Skeletons.empty(), np.zeros((0, crops.points.shape[1], NUM_PARTS), np.float32))
        people = crops.to(self.device)
        prediction = (self._runtime or self.network).predict(people)
        parts = prediction.part_logits.softmax(-1).masked_fill(~people.mask[..., None], 0.0)
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


def multiply_fast() -> None:
    """By oneDNN instead of MKL, which on AMD takes twice as long; unless that rounds factors to bfloat16 here (AMX).

    Rounded, the mean error stays, but one keypoint in a hundred moves by more than 4 cm.
    """
    torch.set_float32_matmul_precision("medium")
    factors = torch.full((512, 64), 1 + 2**-12)
    products = factors @ factors[:128].T, factors.view(8, 64, 64) @ factors.view(8, 64, 64)
    if any(bool((product <= 64).any()) for product in products):
        torch.set_float32_matmul_precision("highest")


def _keep_memory() -> None:
    """Freed memory is kept for the next cloud: glibc gives it back, and thousands of pages come anew each time."""
    with suppress(OSError, AttributeError):  # another libc
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, 32 << 20)  # the most that it takes
        libc.mallopt(_M_TRIM_THRESHOLD, 64 << 20)
