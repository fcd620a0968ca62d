"""The demo street as a live sensor on a ROS 2 network: `gckpl sim --live`."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import count
from time import monotonic, time_ns

from rich.console import Console

from gckpl_ros.errors import InputError
from gckpl_ros.io.dds.participant import LATCHED, RELIABLE, Participant, Publisher
from gckpl_ros.io.dds.stop import Stop
from gckpl_ros.io.live.network import domain_id
from gckpl_ros.io.messages.typestore import typestore
from gckpl_ros.types import Boxes
from gckpl_training.street.recording import STATIC, messages, static_transforms, topics
from gckpl_training.street.street import Scan

_MOST_HZ = 100.0


def play(scans: Iterable[tuple[Scan, Boxes | None]], rate: float, loops: int, local: bool) -> None:
    """Publish scans with what was found in them, as if they came now, over and over, until Ctrl-C or so many times.

    All scans are made before the first is sent; stamps are the present time. Raises InputError for a rate (Hz) or a
    number of times that cannot be.
    """
    if not 0 < rate <= _MOST_HZ or loops < 0:
        raise InputError(f"rate {rate}, loops {loops}: a rate is more than 0 and at most {_MOST_HZ:g}, loops 0 or more")
    domain_id()
    scans = list(scans)
    with Stop(early=loops > 0) as stop, Participant(local) as network:
        publishers = {
            topic: network.publisher(topic, msgtype, LATCHED if topic == STATIC else RELIABLE)
            for topic, msgtype in topics(detections=scans[0][1] is not None).items()
        }
        publishers[STATIC].publish(static_transforms(_now(scans[0][0]), typestore().types))
        text = f"publishing {', '.join(publishers)} at {rate:g} Hz, until Ctrl-C"
        Console(stderr=True).print(text, highlight=False, soft_wrap=True)
        start_s = monotonic()
        for number in count() if not loops else range(loops * len(scans)):
            if stop.wait(start_s + number / rate - monotonic()):
                return
            _publish(publishers, *scans[number % len(scans)])


def _publish(publishers: Mapping[str, Publisher], scan: Scan, found: Boxes | None) -> None:
    for topic, message in messages(_now(scan), found, typestore().types):
        publishers[topic].publish(message)


def _now(scan: Scan) -> Scan:
    return replace(scan, cloud=replace(scan.cloud, stamp_ns=time_ns()))
