"""Bodies: what whoever gives people a body offers to the pipeline, and nobody who does."""

from typing import Protocol, runtime_checkable

from gckpl_ros.config import BodyConfig
from gckpl_ros.types import Frame, Sample


@runtime_checkable
class Bodily(Protocol):
    """Gives people bodies; keeps state between frames."""

    def __call__(self, sample: Sample, frame: Frame, meshes: bool = False) -> Frame:
        """The frame with bodies; ``meshes``: and their skins."""
        ...

    def configure(self, config: BodyConfig) -> None:
        """Take over other values; bodies stay."""
        ...

    def reset(self) -> None:
        """Forget everybody."""
        ...


class NoBodies:
    """Nobody gets a body."""

    def __call__(self, sample: Sample, frame: Frame, meshes: bool = False) -> Frame:
        """As it is."""
        return frame

    def configure(self, config: BodyConfig) -> None:
        """Nothing to take over."""

    def reset(self) -> None:
        """Nobody to forget."""
