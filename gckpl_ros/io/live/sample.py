"""One input of the pipeline, recorded or live: a cloud with its detections and its place in the fixed frame."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float64

from gckpl_ros.types import Boxes, Cloud

# A cloud this much older than the one before means that time starts anew, not that a message was late.
RESTART_NS: Final = 1_000_000_000
NOT_NEWER: Final = "cloud that is not newer than the one before"
NO_POINTS: Final = "cloud without a finite point"
NO_DETECTIONS_OF_ITS_TIME: Final = "cloud without detections of its time"


@dataclass(frozen=True)
class Sample:
    """One input of the pipeline; ``restarted``: the time has jumped back, nothing from before counts.

    ``wait_ms``: how long the cloud waited for what belongs to it and for the cloud before; 0 in a recording.
    """

    cloud: Cloud
    boxes: Boxes | None
    T_fixed_cloud: Float64[np.ndarray, "4 4"] | None
    restarted: bool
    decode_ms: float
    wait_ms: float = 0.0


class SkippedError(Exception):
    """This cloud cannot be used; ``reason`` is the same for all clouds with the same fault."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(detail or reason)
        self.reason = reason


def no_transform(source: str, target: str) -> str:
    """The reason to skip a cloud whose place in another frame is not known."""
    return f"no transform from {source} to {target} at its time"
