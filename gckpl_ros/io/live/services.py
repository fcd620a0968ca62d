"""What the services of the node and of `gckpl live` do, by their names in io/interface.py."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, NamedTuple, TypeAlias

from gckpl_ros.errors import InputError
from gckpl_ros.io.live.worker import Worker


class Answer(NamedTuple):
    """The response of a std_srvs/Trigger or SetBool."""

    success: bool
    message: str


Serve: TypeAlias = Callable[[Any], Answer]
Act: TypeAlias = Callable[[Worker, Any], str]


def served(worker: Worker) -> Mapping[str, Serve]:
    """What answers a request, by names of SERVICES; `enable` is left to whoever can shut the inputs."""
    return {name: partial(_answer, act, worker) for name, act in _ACTS.items()}


def _answer(act: Act, worker: Worker, request: Any) -> Answer:
    """Whoever asks is told why something cannot be done."""
    try:
        return Answer(True, act(worker, request))
    except InputError as error:
        return Answer(False, str(error))


def _reset_tracks(worker: Worker, request: Any) -> str:
    worker.reset()
    return "everybody is forgotten"


def _pause(worker: Worker, request: Any) -> str:
    if request.data:
        worker.adapter.pause()
        return "nothing is collected or learnt"
    worker.adapter.resume()
    return "adaptation goes on"


def _reset(worker: Worker, request: Any) -> str:
    worker.adapter.reset()
    return "back to the weights that were loaded; what was collected is forgotten"


def _save(worker: Worker, request: Any) -> str:
    return f"written to {worker.adapter.save()}"


def _load(worker: Worker, request: Any) -> str:
    worker.adapter.load()
    return "back to what was last written"


_ACTS: Final[Mapping[str, Act]] = {
    "reset_tracks": _reset_tracks,
    "pause_adaptation": _pause,
    "reset_adaptation": _reset,
    "save_adaptation": _save,
    "load_adaptation": _load,
}
