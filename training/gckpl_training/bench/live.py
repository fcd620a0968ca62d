"""What `gckpl benchmark live` times: a sensor of 120,000 points at 10 Hz, through the network, to skeletons."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from statistics import median
from threading import Lock
from time import sleep, time_ns
from typing import Any, Final

import numpy as np
from jaxtyping import Float32
from rich.progress import track

from gckpl_ros.errors import InputError
from gckpl_ros.io.dds.participant import SENSOR, Participant, Profile
from gckpl_ros.io.live.interface import INPUTS, OUTPUTS
from gckpl_ros.io.messages.detections import to_detection_array
from gckpl_ros.io.messages.pointcloud2 import from_points
from gckpl_ros.io.messages.skeletons import stamp_ns, to_header
from gckpl_ros.io.messages.typestore import typestore
from gckpl_ros.types import Boxes, Cloud
from gckpl_training.bench.speed import crowd
from gckpl_training.lidar import sensor

LIDAR: Final = "os1_128"
POINTS: Final = 120_000
WALL_M: Final = 20.0
PERIOD_S: Final = 0.1
CASES: Final = ((10, True), (10, False), (30, True), (30, False))
TYPES = typestore().types
_OUTPUTS: Final = ("skeletons", "markers", "tf", "diagnostics")
_START_S: Final = 60.0


def live_rows(seconds: float = 20.0, weights: str = "", external: bool = False) -> list[dict[str, Any]]:
    """One row for each crowd, its boxes given or not: share of clouds with a result, and times in ms.

    ``message_to_skeletons`` is from publishing the cloud to having the skeletons back in this process; the stages are
    what the node reports. ``external``: measure the node /gckpl that runs already, with ROS or without.
    """
    with nullcontext() if external else _live(weights), Participant(local=True) as network:
        receiver = Receiver(network)
        sender = Sender(network)
        sender.wait_for_a_subscriber()
        return [_row(sender, receiver, people, given, seconds) for people, given in CASES]


class Sender:
    """Publishes clouds and boxes."""

    def __init__(self, network: Participant) -> None:
        profile = Profile(depth=1)
        self._clouds = network.publisher("/points", INPUTS["points"].type, profile)
        self._boxes = network.publisher("/detections", INPUTS["detections"].type, profile)

    def wait_for_a_subscriber(self) -> None:
        """Until the node has subscribed; raises InputError if none does."""
        for _ in range(int(_START_S / PERIOD_S)):
            if self._clouds.subscribers:
                return
            sleep(PERIOD_S)
        raise InputError("no node subscribes to /points: is it active, with the same CYCLONEDDS_URI and ROS_DOMAIN_ID?")

    def send(self, cloud: Cloud, boxes: Boxes | None) -> int:
        """Publish a cloud with the stamp of now, then its boxes; returns the stamp."""
        header = to_header(stamp := time_ns(), cloud.frame_id, TYPES)
        intensity = np.ones(len(cloud), np.float32)
        self._clouds.publish(from_points(cloud.points, header, TYPES, {"intensity": intensity}))
        if boxes is not None:
            self._boxes.publish(to_detection_array(header, boxes, TYPES))
        return stamp


class Receiver:
    """Notes when the skeletons of each cloud come, how many, and what the node last reported of its stages."""

    def __init__(self, network: Participant) -> None:
        self._lock = Lock()
        self.results: dict[int, tuple[int, int]] = {}
        self.diagnostics: dict[str, str] = {}
        receivers = {"skeletons": self._skeletons, "diagnostics": self._diagnostics}
        for name in _OUTPUTS:
            output = OUTPUTS[name]
            topic = output.topic.replace("~", "/gckpl")
            network.subscribe(topic, output.type, receivers.get(name, lambda message: None), SENSOR)

    def _skeletons(self, message: Any) -> None:
        with self._lock:
            self.results[stamp_ns(message.header.stamp)] = time_ns(), len(message.skeletons)

    def _diagnostics(self, message: Any) -> None:
        self.diagnostics = {each.key: each.value for each in message.status[0].values}


def _row(sender: Sender, receiver: Receiver, people: int, given: bool, seconds: float) -> dict[str, Any]:
    cloud, boxes = dense_crowd(people)
    sent = list(_sent(sender, cloud, boxes if given else None, seconds, f"{people} people"))
    sleep(1.0)
    sent = sent[len(sent) // 4 :]  # after the start: the detector makes sure, the device gets warm
    delays_ms = [(receiver.results[stamp][0] - stamp) / 1e6 for stamp in sent if stamp in receiver.results]
    if not delays_ms:
        raise InputError("not one of the clouds has a result: what does the node say on /diagnostics?")
    stages = {
        name: float(receiver.diagnostics.get(f"{name} (ms)", 0))
        for name in ("wait", "decode", "detect", "crop", "estimate")
    }
    stages |= {name: float(receiver.diagnostics.get(f"{name} (ms)", 0)) for name in ("track", "encode")}
    beside = sum(stages[name] for name in ("decode", "crop", "track", "encode"))
    return {
        "people": people,
        "boxes": "given" if given else "found",
        "skeletons": median(receiver.results[stamp][1] for stamp in sent if stamp in receiver.results),
        "clouds_with_result_%": round(100 * len(delays_ms) / len(sent), 1),
        "message_to_skeletons_ms": round(median(delays_ms), 1),
        "95_%_ms": round(float(np.percentile(delays_ms, 95)), 1),
        **{f"{name}_ms": value for name, value in stages.items()},
        "decode_crop_track_encode_ms": round(beside, 1),
    }


def _sent(sender: Sender, cloud: Cloud, boxes: Boxes | None, seconds: float, what: str) -> Iterator[int]:
    next_ns = time_ns()
    for _ in track(range(round(seconds / PERIOD_S)), what, transient=True):
        yield sender.send(cloud, boxes)
        next_ns += round(1e9 * PERIOD_S)
        sleep(max(0.0, (next_ns - time_ns()) / 1e9))


def dense_crowd(people: int) -> tuple[Cloud, Boxes]:
    """A crowd on flat ground within a round wall, as 120,000 of the returns of a 128-beam sensor, with its boxes."""
    cloud, boxes = crowd(people, lidar=LIDAR)
    near = cloud.points[np.linalg.norm(cloud.points[:, :2], axis=1) < WALL_M]
    wall = wall_returns(POINTS - len(near))
    return Cloud(np.concatenate([near, wall]), cloud.stamp_ns, cloud.frame_id), boxes


def wall_returns(count: int) -> Float32[np.ndarray, "n 3"]:
    """This many returns of the sensor's beams from a round wall."""
    model, rng = sensor(LIDAR), np.random.default_rng(0)
    lowest = np.arctan2(-model.mount_height_m, WALL_M)
    elevation = np.tan(rng.choice([e for e in np.radians(model.elevations_deg) if e > lowest], count))
    azimuth = rng.integers(0, model.columns, count) * model.azimuth_step
    return (WALL_M * np.stack([np.cos(azimuth), np.sin(azimuth), elevation], 1)).astype(np.float32)


@contextmanager
def _live(weights: str) -> Iterator[None]:
    command = [sys.executable, "-m", "gckpl_ros", "live", "--local", "--set", f"estimate.weights='{weights}'"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait()
