"""The command `gckpl echo`: skeletons on a ROS 2 network as text, without ROS."""

import json
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from math import isfinite
from queue import Empty, SimpleQueue
from time import monotonic, time_ns
from typing import Annotated, Any, Final, NamedTuple

import numpy as np
import tyro
from rich.console import Console

from gckpl_ros.io.dds.participant import SENSOR, Participant
from gckpl_ros.io.dds.stop import Stop
from gckpl_ros.io.live.interface import OUTPUTS, resolve
from gckpl_ros.io.messages.skeletons import from_skeleton_array
from gckpl_ros.skeleton import KEYPOINTS
from gckpl_ros.types import Frame, TrackState

TYPE: Final = OUTPUTS["skeletons"].type
_TOPIC: Final = resolve(OUTPUTS["skeletons"].topic)
_TIMES: Final = 20
_POLL_S: Final = 0.1
_PATIENCE_S: Final = 5.0


class Received(NamedTuple):
    """A frame, when it came (monotonic, s), and how old its cloud was then (ms)."""

    frame: Frame
    at_s: float
    age_ms: float


def main(
    topic: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="TOPIC", help="SkeletonArray topic")] = _TOPIC,
    once: Annotated[bool, tyro.conf.arg(help="end after one message")] = False,
    count: Annotated[int, tyro.conf.arg(help="end after so many messages; 0: never")] = 0,
    as_json: Annotated[bool, tyro.conf.arg(name="json", help="one JSON object for each message")] = False,
    local: Annotated[bool, tyro.conf.arg(help="this machine only: always works, if all programs say it")] = False,
) -> None:
    """Print skeletons as they come, with their rate and how long after the cloud they come, until Ctrl-C."""
    topic = resolve(topic)
    queue: SimpleQueue[Received] = SimpleQueue()
    times_s: deque[float] = deque(maxlen=_TIMES)
    with Stop(early=once or count > 0) as stop, Participant(local) as network:
        network.subscribe(topic, TYPE, lambda message: queue.put(_received_now(message)), SENSOR)
        for received in islice(_messages(queue, stop, topic, network), 1 if once else count or None):
            times_s.append(received.at_s)
            sys.stdout.write(to_json(received) if as_json else to_text(received, rate_hz(times_s)))
            sys.stdout.flush()


def to_text(received: Received, rate_hz: float) -> str:
    """A line for the cloud, then one for each person: id, state, position (m), mean confidence of the joints."""
    frame, tracks = received.frame, received.frame.tracks
    rate = f"{rate_hz:.1f} Hz, {received.age_ms:.0f} ms after the cloud"
    lines = [f"{frame.stamp_ns / 1e9:.3f} {frame.frame_id}: {len(tracks)} people, {rate}"]
    for person, (x, y, z) in enumerate(tracks.boxes.centers.tolist()):
        confidence = float(np.mean(tracks.skeletons.confidence[person]))
        state = _state(int(tracks.states[person]))
        lines.append(f"  id {tracks.ids[person]:<4} {state:<7} ({x:6.2f}, {y:6.2f}, {z:6.2f}) m  {confidence:4.0%}")
    return "\n".join(lines) + "\n"


def to_json(received: Received) -> str:
    """A line with everything: names as in the message, joints in the order of ``joint_names``; not a number is null."""
    frame, tracks = received.frame, received.frame.tracks
    columns = {
        "id": tracks.ids,
        "state": tracks.states,
        "score": tracks.boxes.scores,
        "center": tracks.boxes.centers,
        "size": tracks.boxes.sizes,
        "yaw": tracks.boxes.yaws,
        "velocity": tracks.velocities,
        "positions": tracks.skeletons.keypoints,
        "confidences": tracks.skeletons.confidence,
        "visibilities": tracks.skeletons.visibility,
    }
    people = [{name: _plain(rows[person].tolist()) for name, rows in columns.items()} for person in range(len(tracks))]
    head = {"stamp_ns": frame.stamp_ns, "frame_id": frame.frame_id, "age_ms": received.age_ms}
    return json.dumps({**head, "joint_names": KEYPOINTS, "skeletons": people}) + "\n"


def rate_hz(times_s: Sequence[float]) -> float:
    """Messages a second, by the times when they came."""
    span_s = times_s[-1] - times_s[0]
    return (len(times_s) - 1) / span_s if span_s else 0.0


def _received_now(message: Any) -> Received:
    frame = from_skeleton_array(message)
    return Received(frame, monotonic(), (time_ns() - frame.stamp_ns) / 1e6)


def _messages(queue: "SimpleQueue[Received]", stop: Stop, topic: str, network: Participant) -> Iterator[Received]:
    """What comes, until the end is asked for; says once why nothing may come."""
    patience_until_s = monotonic() + _PATIENCE_S
    while not stop.wait(0.0):
        try:
            yield queue.get(timeout=_POLL_S)
            patience_until_s = float("inf")
        except Empty:
            if monotonic() > patience_until_s:
                patience_until_s = float("inf")
                Console(stderr=True).print(_hint(topic, network), highlight=False, soft_wrap=True)


def _hint(topic: str, network: Participant) -> str:
    others = [name for name in network.published(TYPE) if name != topic]
    found = f"skeletons are on {', '.join(others)}" if others else "nobody publishes skeletons"
    return (
        f"nothing on {topic} yet; {found}. Does `gckpl live` run and get clouds, with the same ROS_DOMAIN_ID, and"
        " --local on all sides or none?"
    )


def _state(number: int) -> str:
    return TrackState(number).name.lower() if number in set(TrackState) else str(number)


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not isfinite(value) else value
