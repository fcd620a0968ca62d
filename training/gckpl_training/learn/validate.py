"""Measures a network on people, motions and sensors that training never saw, and calibrates its confidence."""

import numpy as np
import torch
from torch import Tensor

from gckpl_ros.batch import PersonBatch
from gckpl_ros.estimate.network import KeypointNetwork
from gckpl_ros.evaluate.metrics import keypoint_table
from gckpl_training.simulate.maker import CropConfig
from gckpl_training.simulate.people import CropSource

VALIDATION_SEED = 20_231
CALIBRATION_SEED = 20_232


def held_out(crops: CropConfig, people: int, device: torch.device, seed: int) -> list[PersonBatch]:
    """Crops of the validation split: same seed, same crops, whatever the training does."""
    source = CropSource(crops, seed, device, split="val")
    return source.draw(people).split(256, source.generator)


class Validation:
    """Measures networks on one fixed set of held-out crops."""

    def __init__(self, crops: CropConfig, people: int, device: torch.device) -> None:
        self.batches = held_out(crops, people, device, VALIDATION_SEED)

    def __call__(self, network: KeypointNetwork) -> dict[str, float]:
        """The figures of ``keypoint_table`` (metres), and part accuracy over all points."""
        keypoints, logits, right, points = predict(network, self.batches)
        truth = torch.cat([batch.required("keypoints") for batch in self.batches]).cpu().numpy()
        counts = torch.cat([batch.required("counts") for batch in self.batches]).cpu().numpy()
        table = keypoint_table(keypoints, truth, counts, 1 / (1 + np.exp(-logits)))
        return {**flat(table), "part_accuracy": right / max(points, 1)}


@torch.inference_mode()
def predict(network: KeypointNetwork, batches: list[PersonBatch]) -> tuple[np.ndarray, np.ndarray, int, int]:
    """Keypoints, confidence logits, points whose part is right, and points whose part is known, over all batches."""
    keypoints, logits, right, points = [], [], 0, 0
    for batch in batches:
        prediction = network.predict(batch)
        keypoints.append(prediction.keypoints.float().cpu())
        logits.append(prediction.confidence_logit.float().cpu())
        if batch.parts is not None:
            same = prediction.part_logits.argmax(-1) == batch.parts
            right, points = right + int((same & batch.mask).sum()), points + int(batch.mask.sum())
    return torch.cat(keypoints).numpy(), torch.cat(logits).numpy(), right, points


def calibrate(network: KeypointNetwork, batches: list[PersonBatch], within_m: float = 0.1) -> Tensor:
    """Fit Platt scaling (scale, shift) of the confidence on held-out crops and put it into the network.

    Source: Platt 1999; minimises the cross-entropy of "within ``within_m`` of the truth" by L-BFGS.
    """
    network.calibration.copy_(torch.tensor([1.0, 0.0]))
    keypoints, raw, _, _ = predict(network, batches)
    truth = torch.cat([batch.required("keypoints") for batch in batches]).cpu().numpy()
    hit = torch.from_numpy(np.linalg.norm(keypoints - truth, axis=-1) < within_m).double()
    logits, fit = torch.from_numpy(raw).double(), torch.tensor([1.0, 0.0], dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS([fit], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        solver.zero_grad()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits * fit[0] + fit[1], hit)
        loss.backward()
        return loss

    solver.step(closure)
    network.calibration.copy_(fit.detach().float())
    return network.calibration


def flat(table: dict, prefix: str = "") -> dict[str, float]:
    """A nested table as one level of names joined by '/', numbers only."""
    rows: dict[str, float] = {}
    for key, value in table.items():
        name = f"{prefix}{key}"
        rows |= flat(value, f"{name}/") if isinstance(value, dict) else {name: float(value)}
    return rows
