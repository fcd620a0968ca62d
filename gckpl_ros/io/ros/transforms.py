"""tf2's buffer as the transforms that live inputs ask for."""

import re
from typing import Any, Final

import numpy as np
from jaxtyping import Float64
from rclpy.clock import JumpThreshold
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.time import Time
from tf2_ros import Buffer, TransformException, TransformListener
from tf_transformations import quaternion_matrix

from gckpl_ros.io.link_frames import PARENTS
from gckpl_ros.io.tf import TransformError
from gckpl_ros.skeleton import REP155_BODY

_PEOPLE: Final = re.compile(rf"(?:{'|'.join((REP155_BODY, *PARENTS))})_\d+")


class _Listener(TransformListener):
    """Leaves out the frames of people: nothing is looked up there, and a buffer would keep everybody for ever."""

    def callback(self, data: Any) -> None:
        data.transforms = [stamped for stamped in data.transforms if not _PEOPLE.fullmatch(stamped.child_frame_id)]
        super().callback(data)


class TfTransforms:
    """Transforms from /tf and /tf_static; forgets moving ones when the node's clock jumps back."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._buffer = Buffer()
        self._listener: _Listener | None = None
        back = JumpThreshold(min_forward=None, min_backward=Duration(nanoseconds=-1), on_clock_change=True)
        self._jump = node.get_clock().create_jump_callback(back, post_callback=lambda jump: self.clear())

    def listen(self) -> None:
        """Subscribe, with nothing known but static transforms."""
        self.clear()
        self._listener = _Listener(self._buffer, self._node)

    def stop(self) -> None:
        """Unsubscribe; does nothing if there are no subscriptions."""
        if self._listener:
            self._listener.unregister()
            self._listener = None

    def close(self) -> None:
        """Let the node's clock forget this buffer too."""
        self.stop()
        self._jump.unregister()

    def lookup(self, target: str, source: str, stamp_ns: int) -> Float64[np.ndarray, "4 4"]:
        """T_target_source at a time; raises TransformError where tf2 does not know it."""
        try:
            found = self._buffer.lookup_transform(target.strip("/"), source.strip("/"), Time(nanoseconds=stamp_ns))
        except (TransformException, ValueError) as error:  # rclpy has no times before 1970
            raise TransformError(str(error)) from error
        t, q = found.transform.translation, found.transform.rotation
        T_target_source: np.ndarray = quaternion_matrix([q.x, q.y, q.z, q.w])
        T_target_source[:3, 3] = t.x, t.y, t.z
        return T_target_source

    def clear(self) -> None:
        """Forget all but static transforms: time starts anew."""
        self._buffer.clear()
