"""The null object for an adapter that is off."""

from pathlib import Path
from typing import Final, NoReturn

import numpy as np
from jaxtyping import Float64, Int64

from gckpl_ros.adapt.online.state import Activity, AdaptationState
from gckpl_ros.config import Config
from gckpl_ros.errors import InputError
from gckpl_ros.estimate.network import KeypointNetwork
from gckpl_ros.types import Crops

_OFF: Final = "adaptation is off: set adapt.enabled"


class NoAdapter:
    """Stands in for the adapter when it is off: learns nothing, and answers every command with InputError."""

    status: Final = AdaptationState(Activity.DISABLED)

    def observe(
        self, crops: Crops, ids: Int64[np.ndarray, " b"], stamp_ns: int, T_fixed_cloud: Float64[np.ndarray, "4 4"]
    ) -> None:
        """Looks at nothing."""

    def end_tracks(self) -> None:
        """Nothing to end."""

    def update(self) -> KeypointNetwork | None:
        """Never."""
        return None

    def configure(self, config: Config) -> None:
        """Nothing to take over."""

    def work(self, steps: int) -> None:
        """No steps."""

    def keep_pace(self) -> None:
        """No steps."""

    def start(self) -> None:
        """No thread."""

    def stop(self) -> None:
        """No thread, nothing to save."""

    def pause(self) -> NoReturn:
        """Raises InputError: it is off."""
        raise InputError(_OFF)

    def resume(self) -> NoReturn:
        """Raises InputError: it is off."""
        raise InputError(_OFF)

    def reset(self) -> NoReturn:
        """Raises InputError: it is off."""
        raise InputError(_OFF)

    def save(self, path: Path | None = None) -> Path:
        """Raises InputError: it is off."""
        raise InputError(_OFF)

    def load(self, path: Path | None = None) -> NoReturn:
        """Raises InputError: it is off."""
        raise InputError(_OFF)
