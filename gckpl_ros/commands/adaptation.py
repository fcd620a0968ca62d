"""The command `gckpl adaptation`: asks a node or `gckpl live` what it learns, and steers that; without ROS."""

import json
import sys
from collections.abc import Mapping
from queue import Empty, SimpleQueue
from typing import Annotated, Any, Final, Literal, TypeAlias

import tyro

from gckpl_ros.adapt import AdaptationState
from gckpl_ros.errors import InputError
from gckpl_ros.io.dds.participant import RELIABLE, Participant
from gckpl_ros.io.dds.services import NOBODY, call
from gckpl_ros.io.live.interface import OUTPUTS, SERVICES, resolve
from gckpl_ros.io.live.status import figures, from_adaptation_status, to_dict

Action: TypeAlias = Literal["status", "pause", "resume", "reset", "save", "load"]

# The service of each action, and what is asked.
_ASKED: Final[Mapping[str, tuple[str, Mapping[str, bool]]]] = {
    "pause": ("pause_adaptation", {"data": True}),
    "resume": ("pause_adaptation", {"data": False}),
    "reset": ("reset_adaptation", {}),
    "save": ("save_adaptation", {}),
    "load": ("load_adaptation", {}),
}


def main(
    action: Annotated[Action, tyro.conf.Positional],
    name: Annotated[str, tyro.conf.arg(help="name of the node, or of what `gckpl live --name` was given")] = "gckpl",
    as_json: Annotated[bool, tyro.conf.arg(name="json", help="the status as one JSON object")] = False,
    timeout_s: Annotated[float, tyro.conf.arg(help="how long to wait for an answer")] = 5.0,
    local: Annotated[bool, tyro.conf.arg(help="this machine only: always works, if all programs say it")] = False,
) -> None:
    """Ask a running node or `gckpl live` what it learns; pause, resume or reset that, save or load its weights."""
    with Participant(local) as network:
        if action == "status":
            state = status(network, name, timeout_s)
            sys.stdout.write(to_json(state) if as_json else to_text(state))
        else:
            sys.stdout.write(f"{ask(network, action, name, timeout_s)}\n")


def ask(network: Participant, action: str, name: str, timeout_s: float) -> str:
    """What a service answers; raises InputError where it refuses or nobody answers."""
    key, request = _ASKED[action]
    service = SERVICES[key]
    response = call(network, resolve(service.topic, name), service.type, timeout_s, **request)
    if not response.success:
        raise InputError(response.message)
    return str(response.message)


def status(network: Participant, name: str, timeout_s: float) -> AdaptationState:
    """What the next report says; raises InputError where none comes in time."""
    topic = resolve(OUTPUTS["adaptation"].topic, name)
    reports: SimpleQueue[Any] = SimpleQueue()
    network.subscribe(topic, OUTPUTS["adaptation"].type, reports.put, RELIABLE)
    try:
        return from_adaptation_status(reports.get(timeout=timeout_s))
    except Empty:
        raise InputError(f"nothing on {topic}. {NOBODY}") from None


def to_text(state: AdaptationState) -> str:
    """A line for each figure."""
    return "".join(f"{key}: {value}\n" for key, value in figures(state).items())


def to_json(state: AdaptationState) -> str:
    """One line with everything."""
    return json.dumps(to_dict(state)) + "\n"
