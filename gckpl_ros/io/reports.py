"""What is told from time to time, not of a cloud: /diagnostics, and what the online adapter is doing."""

from collections.abc import Collection, Iterator, Sequence
from math import isfinite
from typing import Any, Final

import numpy as np

from gckpl_ros.adapt.online import Activity, AdaptationState
from gckpl_ros.io.interface import OUTPUTS
from gckpl_ros.io.messages import to_header
from gckpl_ros.io.status import Status, to_diagnostic_status
from gckpl_ros.io.typestore import MessageTypes

_OK: Final = 0
_WARN: Final = 1


def reports(
    status: Status, adaptation: AdaptationState, name: str, stamp_ns: int, types: MessageTypes, wanted: Collection[str]
) -> Iterator[tuple[str, Any]]:
    """Name and message of each wanted report of a node; ``stamp_ns``: now."""
    if "adaptation" in wanted:
        yield "adaptation", to_adaptation_status(adaptation, stamp_ns, types)
    if "diagnostics" in wanted:
        entries = [
            to_diagnostic_status(status.report(), name, types),
            to_adaptation_diagnostic(adaptation, name, types),
        ]
        yield "diagnostics", to_diagnostics(entries, stamp_ns, types)


def to_diagnostics(entries: Sequence[Any], stamp_ns: int, types: MessageTypes) -> Any:
    """A diagnostic_msgs/DiagnosticArray."""
    return types[OUTPUTS["diagnostics"].type](header=to_header(stamp_ns, "", types), status=list(entries))


def to_adaptation_status(adaptation: AdaptationState, stamp_ns: int, types: MessageTypes) -> Any:
    """A gckpl_ros/AdaptationStatus; losses in their order of computation."""
    return types[OUTPUTS["adaptation"].type](
        header=to_header(stamp_ns, "", types),
        state=int(adaptation.state),
        step=adaptation.step,
        loss_names=list(adaptation.losses),
        loss_values=np.fromiter(adaptation.losses.values(), np.float32),
        accepted=adaptation.accepted,
        rolled_back=adaptation.rolled_back,
        reason=adaptation.reason,
        drift=adaptation.drift_m,
    )


def from_adaptation_status(message: Any) -> AdaptationState:
    """What a gckpl_ros/AdaptationStatus says."""
    return AdaptationState(
        state=Activity(message.state),
        step=int(message.step),
        losses=dict(zip(message.loss_names, map(float, message.loss_values), strict=True)),
        accepted=int(message.accepted),
        rolled_back=int(message.rolled_back),
        reason=message.reason,
        drift_m=float(message.drift),
    )


def to_adaptation_diagnostic(adaptation: AdaptationState, name: str, types: MessageTypes) -> Any:
    """A diagnostic_msgs/DiagnosticStatus: OK, or WARN when the adapter has failed."""
    key_value = types["diagnostic_msgs/msg/KeyValue"]
    return types["diagnostic_msgs/msg/DiagnosticStatus"](
        level=_WARN if adaptation.state == Activity.FAILED else _OK,
        name=f"{name}: adaptation",
        message=in_words(adaptation),
        hardware_id="",
        values=[key_value(key=key, value=value) for key, value in figures(adaptation).items()],
    )


def in_words(adaptation: AdaptationState) -> str:
    """One line for people, such as "training: step 120, 3 updates accepted, 1 refused"."""
    state, reason = adaptation.state.name.lower(), f" ({adaptation.reason})" if adaptation.reason else ""
    if adaptation.state == Activity.DISABLED:
        return state
    updates = f"{adaptation.accepted} updates accepted, {adaptation.rolled_back} refused"
    return f"{state}: step {adaptation.step}, {updates}{reason}"


def figures(adaptation: AdaptationState) -> dict[str, str]:
    """Everything by name, as text; nothing but the state where adaptation is off."""
    state = {"state": adaptation.state.name.lower()}
    if adaptation.state == Activity.DISABLED:
        return state
    counts = {
        "step": str(adaptation.step),
        "accepted": str(adaptation.accepted),
        "rolled back": str(adaptation.rolled_back),
        "drift (m)": f"{adaptation.drift_m:.3f}",
        "reason": adaptation.reason,
    }
    return state | counts | {f"loss: {name}": f"{value:.4g}" for name, value in adaptation.losses.items()}


def to_dict(adaptation: AdaptationState) -> dict[str, Any]:
    """Everything as plain values, for JSON; losses that are not finite are None."""
    losses = {name: value if isfinite(value) else None for name, value in adaptation.losses.items()}
    return {**vars(adaptation), "state": adaptation.state.name.lower(), "losses": losses}
