"""The executable `ros2 run gckpl_ros skeleton_node`."""

import sys
from os import environ
from signal import SIG_BLOCK, SIGINT, SIGTERM, pthread_sigmask, sigwait
from threading import Event, Thread
from traceback import format_exc
from typing import TYPE_CHECKING

from gckpl_ros.io.live.network import ask_for_receive_buffers

if TYPE_CHECKING:
    from gckpl_ros.io.ros.node import SkeletonNode

_ENDS = {SIGINT, SIGTERM}


def main() -> None:
    """Run the node until SIGINT or SIGTERM, then end with status 0; with status 1 where it cannot start."""
    # Before numpy is imported: its own threads spin while they wait, and on few cores that delays everything else.
    environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    ask_for_receive_buffers()
    # Blocked in all threads and waited for in one: neither the first nor the tenth can interrupt anything half-way.
    pthread_sigmask(SIG_BLOCK, _ENDS)
    try:
        node = _start()
    except ModuleNotFoundError as error:
        sys.exit(f"skeleton_node: {error}: it is not there for {sys.executable}, see docs/installation.md")
    except RuntimeError as error:  # of rcl, about ROS arguments
        sys.exit(f"skeleton_node: {error}")
    _spin(node)


def _start() -> "SkeletonNode":
    import rclpy
    from rclpy.signals import SignalHandlerOptions

    from gckpl_ros.io.ros.node import SkeletonNode

    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    return SkeletonNode()


def _spin(node: "SkeletonNode") -> None:
    import rclpy
    from rclpy.executors import SingleThreadedExecutor

    ending = Event()
    end = node.create_guard_condition(ending.set)
    Thread(target=lambda: (sigwait(_ENDS), end.trigger()), daemon=True).start()
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    node.begin()
    while rclpy.ok() and not ending.is_set():
        try:
            executor.spin_once()
        except Exception:  # from a callback or a message that cannot be read: no message may end the node
            node.get_logger().error(f"a callback failed, please report this:\n{format_exc()}")
    node.close()
    executor.shutdown()
    node.destroy_node()
    rclpy.shutdown()
