"""What exists while the node is configured: the network, what it is fed by, and what it feeds."""

import gc
from collections.abc import Mapping

import torch
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import Node

from gckpl_ros.adapt import start_adapter
from gckpl_ros.config import Config
from gckpl_ros.io.live.live_input import LiveInput
from gckpl_ros.io.live.status import Status, reports
from gckpl_ros.io.live.worker import Serve, Worker, served
from gckpl_ros.io.messages.outputs import Outputs
from gckpl_ros.io.ros.connections import Publishers, Subscriptions, TfTransforms
from gckpl_ros.io.ros.messages import GeneratedTypes, create_cloud
from gckpl_ros.pipeline import Pipeline


class Session:
    """The network, ready and warm, connected to the node; it works between start and stop."""

    def __init__(self, node: Node, config: Config) -> None:
        """Load the network onto its device; raises InputError for weights, a device or topics that cannot be used."""
        pipeline = Pipeline(config)
        adapter = start_adapter(config, pipeline.network)
        pipeline.warm_up()
        self._node = node
        self._types = GeneratedTypes()
        self.status = Status()
        self._transforms = TfTransforms(node)
        source = LiveInput(config, self._transforms, self.status)
        self._subscriptions = Subscriptions(node, config.input, source)
        self._publishers = Publishers(node, self._types)
        outputs = Outputs(self._types, config.output, create_cloud)
        self._worker = Worker(pipeline, adapter, source, outputs, self._publishers, self.status)
        self.served: Mapping[str, Serve] = served(self._worker)
        # steady: a simulated clock may stand still
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = node.create_timer(config.output.diagnostics_period_s, self._report, clock=steady)

    @property
    def sources(self) -> str:
        """Where clouds and detections come from, for the log."""
        return self._subscriptions.sources

    def start(self) -> None:
        """Begin with nobody known, and subscribe."""
        self._worker.start()
        self._transforms.listen()
        self._subscriptions.open()

    def stop(self) -> None:
        """Unsubscribe and end after the cloud in work; does nothing if it has not begun."""
        self._subscriptions.close()
        self._transforms.stop()
        self._worker.stop()

    def configure(self, config: Config) -> None:
        """Take over other values between two clouds."""
        self._worker.configure(config)

    def close(self) -> None:
        """Stop, disconnect from the node and give the device's memory back."""
        self.stop()
        self._node.destroy_timer(self._timer)
        self._transforms.close()
        self._publishers.close()
        del self._worker, self.served
        gc.collect()
        torch.cuda.empty_cache()

    def _report(self) -> None:
        now_ns = self._node.get_clock().now().nanoseconds
        name, adaptation = self._node.get_fully_qualified_name(), self._worker.adapter.status
        messages = reports(self.status, adaptation, name, now_ns, self._types, self._publishers.wanted())
        for output, message in messages:
            self._publishers.publish(output, message)
