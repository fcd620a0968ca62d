"""What live processing is doing: rate, latencies, and what was left out and why. Fed by threads, read by reports."""

from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import Any, Final

import numpy as np
import torch

from gckpl_ros.adapt import Activity, AdaptationState
from gckpl_ros.io.live.interface import OUTPUTS
from gckpl_ros.io.messages.skeletons import to_header
from gckpl_ros.io.messages.typestore import MessageTypes
from gckpl_ros.reasons import DROPPED, MENDED, SKIPPED, of_kind, shortened
from gckpl_ros.types import Frame

_WINDOW_S: Final = 5.0
_WINDOW_FRAMES: Final = 200
_RECENT_REASONS: Final = 1000
_SILENT_S: Final = 1.0
_PAGE_BYTES: Final = 4096

# diagnostic_msgs/DiagnosticStatus's constants.
_OK: Final = 0
_WARN: Final = 1


@dataclass(frozen=True)
class Report:
    """The last seconds (rate, people, times in ms as median and 95th percentile), and counts since the start.

    ``skipped``: clouds without a result, ``dropped``: people, detections and messages, ``mended``: what was used
    nevertheless, by reason; ``examples``: the latest of each. ``recently_skipped``: of the last seconds. ``silent_s``:
    since the last cloud came, None before the first. ``memory_mb``: of the process, ``device_memory_mb``: of torch on
    CUDA. Not ``enabled``: clouds are ignored, as somebody wished.
    """

    rate_hz: float
    people: int
    stages_ms: Mapping[str, Mapping[str, float]]
    clouds: int
    frames: int
    skipped: Mapping[str, int]
    dropped: Mapping[str, int]
    mended: Mapping[str, int]
    examples: Mapping[str, str]
    recently_skipped: Mapping[str, int]
    silent_s: float | None
    memory_mb: float
    device_memory_mb: float
    enabled: bool = True


class Status:
    """Counts since the start, latencies of the last seconds; safe to use from several threads."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        """``clock``: seconds by which rates and silence are measured."""
        self._clock = clock
        self._lock = Lock()
        self._clouds = self._frames = self._people = 0
        self._enabled = True
        self._numbers: Counter[str] = Counter()
        self._examples: dict[str, str] = {}
        self._recently_skipped: deque[tuple[float, str, int]] = deque(maxlen=_RECENT_REASONS)
        self._cloud_came_s: float | None = None
        self._recent: deque[tuple[float, Mapping[str, float]]] = deque(maxlen=_WINDOW_FRAMES)

    def received(self) -> None:
        """A cloud came."""
        with self._lock:
            self._clouds += 1
            self._cloud_came_s = self._clock()

    def enable(self, enabled: bool) -> None:
        """Whether clouds are taken at all."""
        with self._lock:
            self._enabled = enabled

    def count(self, reason: str, number: int = 1, example: str = "") -> None:
        """What has no result, was left out or mended."""
        if not number:
            return
        with self._lock:
            self._numbers[reason] += number
            if example:
                self._examples[reason] = shortened(example)
            if reason in SKIPPED:
                self._recently_skipped.append((self._clock(), reason, number))

    def add(self, frame: Frame, latency_ms: float) -> None:
        """A result was published, this long after its cloud had come; the frame's timings are its stages."""
        for reason, number in frame.dropped.items():
            self.count(reason, number)
        with self._lock:
            self._frames += 1
            self._people = len(frame.tracks)
            self._recent.append((self._clock(), {**frame.timings_ms, "latency": latency_ms}))

    def report(self) -> Report:
        """How things are now."""
        now = self._clock()
        with self._lock:
            recent = [(at, timings) for at, timings in self._recent if now - at <= _WINDOW_S]
            span_s = now - recent[0][0] if recent else 0.0
            return Report(
                rate_hz=(len(recent) - 1) / span_s if len(recent) > 1 else 0.0,
                people=self._people if recent else 0,
                stages_ms=_stages([timings for _, timings in recent]),
                clouds=self._clouds,
                frames=self._frames,
                skipped=of_kind(SKIPPED, self._numbers),
                dropped=of_kind(DROPPED, self._numbers),
                mended=of_kind(MENDED, self._numbers),
                examples=dict(self._examples),
                recently_skipped=self._skipped_since(now - _WINDOW_S),
                silent_s=None if self._cloud_came_s is None else now - self._cloud_came_s,
                memory_mb=_memory_mb(),
                device_memory_mb=torch.cuda.memory_allocated() / 1e6,
                enabled=self._enabled,
            )

    def _skipped_since(self, start_s: float) -> Counter[str]:
        """By reason; the caller holds the lock."""
        recent: Counter[str] = Counter()
        for at_s, reason, number in self._recently_skipped:
            if at_s >= start_s:
                recent[reason] += number
        return recent


def to_diagnostic_status(report: Report, name: str, types: MessageTypes) -> Any:
    """A diagnostic_msgs/DiagnosticStatus: OK, or WARN where no clouds come or none of them has a result."""
    level, message = _health(report)
    key_value = types["diagnostic_msgs/msg/KeyValue"]
    return types["diagnostic_msgs/msg/DiagnosticStatus"](
        level=level,
        name=f"{name}: skeletons",
        message=message,
        hardware_id="",
        values=[key_value(key=key, value=value) for key, value in _values(report).items()],
    )


def _health(report: Report) -> tuple[int, str]:
    if not report.enabled:
        return _OK, "disabled"
    if report.silent_s is None or report.silent_s > _SILENT_S:
        since = "yet" if report.silent_s is None else f"for {report.silent_s:.0f} s"
        return _WARN, f"no clouds {since}"
    if not report.rate_hz:
        return _WARN, f"clouds come, but none has a result: {what_is_wrong(report) or 'the first is in work'}"
    return _OK, f"{report.rate_hz:.1f} Hz, {report.people} people"


def what_is_wrong(report: Report) -> str:
    """Why most of the clouds that were skipped in the last seconds were, with an example; empty if none was."""
    reasons = report.recently_skipped
    reason = max(reasons, key=reasons.__getitem__, default="")
    return f"{reason} ({report.examples[reason]})" if reason in report.examples else reason


def _values(report: Report) -> dict[str, str]:
    values = {"rate (Hz)": f"{report.rate_hz:.1f}", "people": str(report.people)}
    values |= {f"{stage} (ms)": f"{times['median']:.1f}" for stage, times in report.stages_ms.items()}
    values |= {f"{stage}, 95 % (ms)": f"{times['p95']:.1f}" for stage, times in report.stages_ms.items()}
    values |= {"clouds": str(report.clouds), "frames": str(report.frames)}
    for kind, numbers in (("skipped", report.skipped), ("dropped", report.dropped), ("mended", report.mended)):
        for reason, number in numbers.items():
            values[f"{kind}: {reason}"] = str(number)
            if reason in report.examples:
                values[f"{kind}: {reason}, latest"] = report.examples[reason]
    return values | {"memory (MB)": f"{report.memory_mb:.0f}", "device memory (MB)": f"{report.device_memory_mb:.0f}"}


def _stages(timings: list[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    names = dict.fromkeys(name for frame in timings for name in frame)
    values = {name: [frame[name] for frame in timings if name in frame] for name in names}
    return {n: {"median": float(np.median(v)), "p95": float(np.percentile(v, 95))} for n, v in values.items()}


def _memory_mb(statm: Path = Path("/proc/self/statm")) -> float:
    """Resident memory of this process; 0 where the system does not tell."""
    try:
        return int(statm.read_text().split()[1]) * _PAGE_BYTES / 1e6
    except OSError:
        return 0.0


# What is told from time to time, not of a cloud: /diagnostics, and what the online adapter is doing.


def reports(
    status: Status, adaptation: AdaptationState, name: str, stamp_ns: int, types: MessageTypes, wanted: Collection[str]
) -> Iterator[tuple[str, Any]]:
    """Name and message of each wanted report of a node (its name with namespaces); ``stamp_ns``: now."""
    name = name.strip("/")
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
        restarts=adaptation.restarts,
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
        restarts=int(message.restarts),
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
        "restarts": str(adaptation.restarts),
    }
    return state | counts | {f"loss: {name}": f"{value:.4g}" for name, value in adaptation.losses.items()}


def to_dict(adaptation: AdaptationState) -> dict[str, Any]:
    """Everything as plain values, for JSON; losses that are not finite are None."""
    losses = {name: value if isfinite(value) else None for name, value in adaptation.losses.items()}
    return {**vars(adaptation), "state": adaptation.state.name.lower(), "losses": losses}
