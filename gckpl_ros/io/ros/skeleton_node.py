"""The executable `ros2 run gckpl_ros skeleton_node`."""

import ctypes
import gc
import sys
from os import environ
from signal import SIG_BLOCK, SIGINT, SIGTERM, pthread_sigmask, sigwait
from threading import Event, Thread
from traceback import format_exc
from typing import TYPE_CHECKING, Final

from gckpl_ros.io.live.network import ask_for_receive_buffers

if TYPE_CHECKING:
    from gckpl_ros.io.ros.node import SkeletonNode

_ENDS: Final = {SIGINT, SIGTERM}
_WITH_PARENT: Final = "GCKPL_ENDS_WITH_PARENT"
_PR_SET_PDEATHSIG: Final = 1  # of Linux' prctl.h


def main() -> None:
    """Run the node until SIGINT or SIGTERM, then end with status 0; with status 1 where it cannot start.

    Where GCKPL_ENDS_WITH_PARENT is set, also until the process that started it has ended.
    """
    # Before numpy is imported: its own threads spin while they wait, and on few cores that delays everything else.
    environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    ask_for_receive_buffers()
    # Blocked in all threads and waited for in one: neither the first nor the tenth can interrupt anything half-way.
    pthread_sigmask(SIG_BLOCK, _ENDS)
    if environ.get(_WITH_PARENT) and sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, SIGTERM)
    try:
        node = _start()
    except ModuleNotFoundError as error:
        sys.exit(f"skeleton_node: {error}: it is not there for {sys.executable}, see docs/installation.md")
    except RuntimeError as error:  # of rcl, about ROS arguments
        sys.exit(f"skeleton_node: {error}")
    # What was imported stays to the end: looking through all of it takes a second there, and tenths of one at work.
    gc.freeze()
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
