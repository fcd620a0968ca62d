"""Why a cloud cannot be used, recorded or live."""

from typing import Final

# A cloud this much older than the one before means that time starts anew, not that a message was late.
RESTART_NS: Final = 1_000_000_000
NOT_NEWER: Final = "cloud that is not newer than the one before"
NO_POINTS: Final = "cloud without a finite point"
NO_DETECTIONS_OF_ITS_TIME: Final = "cloud without detections of its time"


class SkippedError(Exception):
    """This cloud cannot be used; ``reason`` is the same for all clouds with the same fault."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(detail or reason)
        self.reason = reason


def no_transform(source: str, target: str) -> str:
    """The reason to skip a cloud whose place in another frame is not known."""
    return f"no transform from {source} to {target} at its time"
