"""For tests with ROS 2: the node in a process of its own, and a peer that talks to it over the network."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from threading import Event, Thread
from time import monotonic, sleep

import rclpy
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.srv import DescribeParameters, GetParameters, SetParameters
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message

from gckpl_ros.io.messages.typestore import typestore
from gckpl_ros.io.ros.messages import message_class

NODE = "from gckpl_ros.io.ros.skeleton_node import main; main()"
TRANSITIONS = {"configure": 1, "cleanup": 2, "activate": 3, "deactivate": 4}
TRANSITIONS |= {"shutdown unconfigured": 5, "shutdown inactive": 6, "shutdown active": 7}
PATIENCE_S = 60.0


def until(condition, timeout_s=PATIENCE_S):
    """Wait for a condition; whether it came true in time."""
    end_s = monotonic() + timeout_s
    while not (met := condition()) and monotonic() < end_s:
        sleep(0.02)
    return met


def generated(message, msgtype):
    """The generated message of one that the library rosbags made, by its bytes."""
    return deserialize_message(bytes(typestore().serialize_cdr(message, msgtype)), message_class(msgtype))


class NodeProcess:
    """A running skeleton_node with all checks of its messages' fields on."""

    def __init__(self, folder, *arguments, **parameters):
        values = (("-p", f"{name.replace('__', '.')}:={json.dumps(value)}") for name, value in parameters.items())
        command = [sys.executable, "-c", NODE, "--ros-args", *sum(values, ()), *arguments]
        checked = {"ROS_PYTHON_CHECK_FIELDS": "1", "OMP_NUM_THREADS": "1", "ROS_LOG_DIR": str(folder)}
        self._file = folder / "node.log"
        with self._file.open("wb") as output:
            self._process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, env=os.environ | checked, start_new_session=True
            )

    @property
    def log(self):
        return self._file.read_text()

    @property
    def alive(self):
        return self._process.poll() is None

    @property
    def cpu_s(self):
        """Processor time so far."""
        stat = Path(f"/proc/{self._process.pid}/stat").read_text()
        return sum(map(int, stat.rsplit(") ", 1)[1].split()[11:13])) / os.sysconf("SC_CLK_TCK")

    @property
    def memory_mb(self):
        """What is resident."""
        return int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6

    def send(self, number):
        self._process.send_signal(number)

    def wait(self):
        """The exit status."""
        return self._process.wait(PATIENCE_S)

    def end(self):
        if self.alive:
            self.send(signal.SIGINT)
            try:
                self.wait()
            except subprocess.TimeoutExpired:
                self._process.kill()
                raise


class Peer:
    """Another node of the same network."""

    def __init__(self, kind=Node):
        self._context = rclpy.Context()
        rclpy.init(context=self._context)
        self.node = kind("peer", context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._publishers = {}
        self._ending = Event()
        self._end = self.node.create_guard_condition(self._ending.set)
        self._thread = Thread(target=self._spin)
        self._thread.start()

    def close(self):
        self._end.trigger()
        self._thread.join()
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self._context)

    def _spin(self):
        while not self._ending.is_set():
            self._executor.spin_once()

    def others(self):
        """Names of the nodes outside namespaces."""
        return [name for name, namespace in self.node.get_node_names_and_namespaces() if namespace == "/"]

    def call(self, service, name, **request):
        """The response of a service, once there is one."""
        client = self.node.create_client(service, name)
        assert client.wait_for_service(PATIENCE_S), f"there is no service {name}"
        done = Event()
        future = client.call_async(service.Request(**request))
        future.add_done_callback(lambda _: done.set())
        assert done.wait(PATIENCE_S), f"no response of {name}"
        self.node.destroy_client(client)
        return future.result()

    def change(self, *transitions, of="/gckpl"):
        """Whether each of the transitions has succeeded."""
        changes = []
        for transition in transitions:
            request = ChangeState.Request()
            request.transition.id = TRANSITIONS[transition]
            changes.append(self.call(ChangeState, f"{of}/change_state", transition=request.transition).success)
        return changes

    def state(self, of="/gckpl"):
        return self.call(GetState, f"{of}/get_state").current_state.label

    def set(self, name, value, of="/gckpl"):
        """The reason why a parameter is refused; empty if it is taken."""
        wanted = Parameter(name, value=value).to_parameter_msg()
        result = self.call(SetParameters, f"{of}/set_parameters", parameters=[wanted]).results[0]
        assert result.successful != bool(result.reason)
        return result.reason

    def get(self, *names, of="/gckpl"):
        values = self.call(GetParameters, f"{of}/get_parameters", names=list(names)).values
        return [Parameter.from_parameter_msg(ParameterMessage(name="any", value=value)).value for value in values]

    def describe(self, *names, of="/gckpl"):
        return self.call(DescribeParameters, f"{of}/describe_parameters", names=list(names)).descriptors

    def listen(self, topic, msgtype):
        """A list to which every message of a topic is added."""
        received = []
        self.node.create_subscription(message_class(msgtype), topic, received.append, QoSProfile(depth=100))
        assert until(lambda: self.node.count_publishers(topic)), f"nobody publishes {topic}"
        return received

    def publisher(self, topic, msgtype, **qos):
        """Publishes messages of the library rosbags, once somebody listens."""
        profile = QoSProfile(**{"depth": 10} | qos)
        publisher = self.node.create_publisher(message_class(msgtype), topic, profile)
        assert until(publisher.get_subscription_count), f"nobody takes {topic}"
        return lambda message: publisher.publish(generated(message, msgtype))
