"""What `gckpl live` runs: the inputs and outputs of io/interface.py on a ROS 2 network, around the pipeline."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import partial
from time import time_ns
from typing import Any, Final

from gckpl_ros.adapt import AdaptationState, start_adapter
from gckpl_ros.config import Config
from gckpl_ros.io.dds.participant import LATCHED, RELIABLE, TRANSFORMS, Participant, Profile, Publisher
from gckpl_ros.io.dds.services import Service
from gckpl_ros.io.live.interface import INPUTS, OUTPUTS, SERVICES, resolve
from gckpl_ros.io.live.live_input import LiveInput
from gckpl_ros.io.live.status import Status, reports
from gckpl_ros.io.live.worker import Worker, served
from gckpl_ros.io.messages.outputs import Outputs
from gckpl_ros.io.messages.tf import TransformBuffer
from gckpl_ros.io.messages.typestore import typestore
from gckpl_ros.pipeline import Pipeline
from gckpl_ros.reasons import TOO_SLOW, UNREADABLE, UNREADABLE_CLOUD

_KEEP_S: Final = 10.0  # as tf2


class Node:
    """Takes clouds, publishes skeletons: made on a participant, at work while it is ``running``."""

    def __init__(self, network: Participant, pipeline: Pipeline, config: Config, name: str) -> None:
        """Announce all outputs and services; raises InputError if a name is none, or the adapter cannot be had."""
        self._config = config
        self.name = name.strip("/")
        self.status = Status()
        self.points = [resolve(topic, name) for topic in config.input.points]
        self._network = network
        self._transforms = TransformBuffer(_KEEP_S)
        self._input = LiveInput(config, self._transforms, self.status)
        self._publishers = dict(self._announce())
        adapter, outputs = start_adapter(config, pipeline.network), Outputs(typestore().types, config.output)
        self._worker = Worker(pipeline, adapter, self._input, outputs, self, self.status)
        self._services = list(self._serve())
        self._log: list[str] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        """Takes messages and publishes results inside."""
        self._worker.start()
        try:
            self._listen()
            yield
        finally:
            self._worker.stop()

    def wanted(self) -> Collection[str]:
        """Names of the outputs that somebody takes."""
        return [name for name, publisher in self._publishers.items() if publisher.subscribers]

    def publish(self, name: str, message: Any) -> None:
        """Send one output."""
        if not self._publishers[name].publish(message):
            self.status.count(TOO_SLOW, example=name)

    def log(self, text: str) -> None:
        """Keep what a person should know."""
        self._log.append(text)

    def news(self) -> list[str]:
        """What was logged since the last time."""
        news, self._log = self._log, []
        return news

    @property
    def adaptation(self) -> AdaptationState:
        """What the online adapter is doing."""
        return self._worker.adapter.status

    def report(self) -> None:
        """Send the reports that somebody takes."""
        messages = reports(self.status, self.adaptation, self.name, time_ns(), typestore().types, self.wanted())
        for name, message in messages:
            self.publish(name, message)

    def elsewhere(self) -> list[str]:
        """Topics with clouds that are published but not taken."""
        return [topic for topic in self._network.published(INPUTS["points"].type) if topic not in self.points]

    def _announce(self) -> Iterator[tuple[str, Publisher]]:
        for name, output in OUTPUTS.items():
            if output.type in typestore().types:
                profile = TRANSFORMS if name == "tf" else RELIABLE
                yield name, self._network.publisher(resolve(output.topic, self.name), output.type, profile)

    def _listen(self) -> None:
        for sensor, topic in enumerate(self.points):
            add_cloud, refuse = partial(self._input.add_cloud, sensor=sensor), self._refuse_cloud
            self._network.subscribe(topic, INPUTS["points"].type, add_cloud, self._profile, refuse)
        if name := self._config.input.detections:
            topic, kind, add = resolve(name, self.name), self._config.input.detections_type, self._input.add_detections
            detections = self._network.subscribe(topic, kind, add, self._profile, self._refuse)
            self._input.expect_detections(lambda: detections.publishers)
        for name, profile in (("tf", TRANSFORMS), ("tf_static", LATCHED)):
            add = partial(self._transforms.add, static=name == "tf_static")
            self._network.subscribe(INPUTS[name].topic, INPUTS[name].type, add, profile, self._refuse)

    def _serve(self) -> Iterator[Service]:
        for name, answer in served(self._worker).items():
            service = SERVICES[name]
            yield Service(self._network, resolve(service.topic, self.name), service.type, answer, self._refuse)

    @property
    def _profile(self) -> Profile:
        """Of clouds and boxes."""
        return Profile(self._config.input.depth, reliable=self._config.input.reliability == "reliable")

    def _refuse_cloud(self, error: Exception) -> None:
        self.status.count(UNREADABLE_CLOUD, example=str(error))

    def _refuse(self, error: Exception) -> None:
        self.status.count(UNREADABLE, example=str(error))
