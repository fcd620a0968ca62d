"""The keypoint network as ONNX, for other runtimes: `gckpl export onnx`, `estimate.backend`.

Inputs points (people, points, 3) float32, mask (people, points) bool, views (people, 3) float32, as a KeypointNetwork
takes them; outputs keypoints (people, 14, 3), confidence (people, 14) and parts (people, points, 15), both as logits.
Any number of people from 1 on, and of points from 16 on: pad with zeros whose mask is False.
"""

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import pad

from gckpl_ros.batch import PersonBatch
from gckpl_ros.errors import InputError
from gckpl_ros.estimate.checkpoint import fingerprint
from gckpl_ros.estimate.network import KeypointNetwork
from gckpl_ros.files import atomic_write

INPUTS: Final = ("points", "mask", "views")
OUTPUTS: Final = ("keypoints", "confidence", "parts")
LEAST_POINTS: Final = 16
Backend = Literal["onnxruntime", "openvino"]


class Said(NamedTuple):
    """Of a prediction what the estimator asks for."""

    keypoints: Float[Tensor, "b 14 3"]
    confidence_logit: Float[Tensor, "b 14"]
    part_logits: Float[Tensor, "b n 15"]


class _Asked(nn.Module):
    """A network that says no more than that."""

    def __init__(self, network: KeypointNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, points: Tensor, mask: Tensor, views: Tensor) -> Said:
        said = self.network(points, mask, views)
        return Said(said.keypoints, said.confidence_logit, said.part_logits)


def export_onnx(network: KeypointNetwork, path: Path) -> None:
    """Write a network as ONNX, whole or not at all; raises InputError without the extra, or where it cannot write."""
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise InputError(f"ONNX needs {error.name}: pip install 'gckpl_ros[onnx]'") from error
    people, points = torch.export.Dim("people", min=1, max=1 << 16), torch.export.Dim("points", min=LEAST_POINTS)
    shapes = ({0: people, 1: points}, {0: people, 1: points}, {0: people})
    # two rows of different length: what has size one would be taken for a constant
    mask = torch.arange(2 * LEAST_POINTS + 3) < torch.tensor([[2 * LEAST_POINTS], [LEAST_POINTS]])
    example = (torch.zeros(*mask.shape, 3), mask, torch.tensor([[5.0, 1.0, 0.0], [9.0, 0.0, 0.5]]))
    with warnings.catch_warnings(), atomic_write(path, "name another file with --out") as beside:
        warnings.simplefilter("ignore")
        torch.onnx.export(
            _Asked(network.cpu()).eval(), example, str(beside), input_names=INPUTS, output_names=OUTPUTS,
            dynamo=True, dynamic_shapes=shapes, external_data=False, verbose=False,
        )  # fmt: skip


class Runtime:
    """A network that another runtime executes on the CPU; exported once, and kept in the user's cache."""

    def __init__(self, network: KeypointNetwork, backend: Backend, threads: int = 0) -> None:
        """``threads`` 0: as many as the runtime likes. Raises InputError where the runtime is not installed."""
        self._execute = _SESSIONS[backend](network, threads)

    def predict(self, people: PersonBatch) -> Said:
        """As the network says it."""
        points, mask, views = people.points, people.mask, people.views
        n = points.shape[1]
        more = max(0, LEAST_POINTS - n)
        inputs = (pad(points, (0, 0, 0, more)), pad(mask, (0, more)), views)
        keypoints, confidence, parts = self._execute([np.ascontiguousarray(value.numpy()) for value in inputs])
        return Said(torch.from_numpy(keypoints), torch.from_numpy(confidence), torch.from_numpy(parts[:, :n]))


def exported(network: KeypointNetwork) -> Path:
    """The network as ONNX in the user's cache, by its fingerprint; written where it is not there yet."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gckpl_ros"
    path = cache / f"{fingerprint(network)}.onnx"
    if not path.exists():
        export_onnx(network, path)
    return path


Execute = Callable[[list[np.ndarray]], list[np.ndarray]]


def _onnxruntime(network: KeypointNetwork, threads: int) -> Execute:
    try:
        import onnxruntime
    except ImportError as error:
        raise InputError("estimate.backend onnxruntime needs it: pip install 'gckpl_ros[onnx]'") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(exported(network)), options, providers=["CPUExecutionProvider"])

    def execute(inputs: list[np.ndarray]) -> list[np.ndarray]:
        said: list[np.ndarray] = session.run(list(OUTPUTS), dict(zip(INPUTS, inputs, strict=True)))
        return said

    return execute


def _openvino(network: KeypointNetwork, threads: int) -> Execute:
    try:
        import openvino
    except ImportError as error:
        raise InputError("estimate.backend openvino needs it: pip install 'gckpl_ros[openvino]'") from error
    settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    settings |= {"INFERENCE_NUM_THREADS": threads} if threads else {}
    model = openvino.Core().compile_model(str(exported(network)), "CPU", settings)

    def execute(inputs: list[np.ndarray]) -> list[np.ndarray]:
        said = model(inputs)
        return [np.array(said[place]) for place in range(len(OUTPUTS))]

    return execute


_SESSIONS: Final[dict[Backend, Callable[[KeypointNetwork, int], Execute]]] = {
    "onnxruntime": _onnxruntime,
    "openvino": _openvino,
}
