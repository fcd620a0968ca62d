"""For tests of live input: a LiveInput whose time goes on only when a test says so."""

from ros_messages import SCAN_NS, START_NS

from gckpl_ros.config import Config
from gckpl_ros.io.live.live_input import LiveInput
from gckpl_ros.io.live.status import Status
from gckpl_ros.io.messages.tf import TransformBuffer

WAIT_S, SILENCE_S = 0.125, 0.5  # as their sums, exact in binary
MOMENT_S = 1 / 1024


class Rig:
    """A LiveInput with what it reads and reports; another clock than ours is not moved by ``wait``."""

    def __init__(self, clock=None, **sections):
        self._now_s = 0.0
        sections["input"] = {"wait_s": WAIT_S, "silence_s": SILENCE_S} | sections.get("input", {})
        self.transforms, self.status = TransformBuffer(keep_s=10.0), Status()
        config = Config.parse(sections)
        self.input = LiveInput(config, self.transforms, self.status, clock or (lambda: self._now_s))

    def wait(self, seconds):
        self._now_s += seconds

    def take(self):
        """What can be taken now."""
        return self.input.take(0.0)

    def stamps(self):
        """Scan numbers of all that can be taken now."""
        return [(sample.cloud.stamp_ns - START_NS) / SCAN_NS for sample in iter(self.take, None)]

    @property
    def skipped(self):
        return self.status.report().skipped

    @property
    def dropped(self):
        return self.status.report().dropped
