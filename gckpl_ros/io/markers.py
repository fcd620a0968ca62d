"""Skeletons as visualization_msgs/MarkerArray, for RViz and Foxglove."""

import colorsys
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from gckpl_ros.io.messages import to_header, to_point, to_quaternion, to_vector
from gckpl_ros.io.typestore import MessageTypes
from gckpl_ros.skeleton import CONNECTORS, INDEX, LIMBS, REP155_BODY
from gckpl_ros.types import Frame, TrackState

# visualization_msgs/Marker's constants.
ADD: Final = 0
DELETE: Final = 2
LINE_LIST: Final = 5
SPHERE_LIST: Final = 7
TEXT_VIEW_FACING: Final = 9
_KINDS = (LINE_LIST, SPHERE_LIST, TEXT_VIEW_FACING)

_BONES = np.array((*LIMBS, *CONNECTORS)).reshape(-1)
_HEAD = INDEX["head_center"]
_LINE_WIDTH_M, _SPHERE_M, _TEXT_M, _TEXT_ABOVE_HEAD_M = 0.03, 0.07, 0.2, 0.35
_LOST_ALPHA = 0.4


def color(track_id: int) -> tuple[float, float, float]:
    """RGB 0..1 of a person; ids that follow each other differ clearly (golden-ratio steps of hue)."""
    return colorsys.hsv_to_rgb(track_id * 0.618034 % 1.0, 0.75, 1.0)


class SkeletonMarkers:
    """Bones, joints and the id of each person in a namespace body_<id>; deleted when the person leaves."""

    def __init__(self, types: MessageTypes) -> None:
        self._types = types
        self._shown: set[int] = set()

    def __call__(self, frame: Frame) -> Any:
        """The MarkerArray of one frame; a joint's alpha is its confidence, weaker while its person is lost."""
        present = {int(track_id) for track_id in frame.tracks.ids}
        markers = [m for track_id in sorted(self._shown - present) for m in self._delete(frame, track_id)]
        markers += [m for person in range(len(frame.tracks)) for m in self._add(frame, person)]
        self._shown = present
        return self._types["visualization_msgs/msg/MarkerArray"](markers=markers)

    def _add(self, frame: Frame, person: int) -> list[Any]:
        tracks = frame.tracks
        track_id = int(tracks.ids[person])
        keypoints, confidence = tracks.skeletons.keypoints[person], tracks.skeletons.confidence[person]
        alpha = confidence * (_LOST_ALPHA if tracks.states[person] == TrackState.LOST else 1)
        points = [to_point(keypoint, self._types) for keypoint in keypoints]
        colors = [self._rgba(track_id, a) for a in alpha]
        ends, end_colors = [points[i] for i in _BONES], [colors[i] for i in _BONES]
        label = keypoints[_HEAD] + np.array([0, 0, _TEXT_ABOVE_HEAD_M])
        return [
            self._marker(frame, track_id, LINE_LIST, scale=(_LINE_WIDTH_M, 0, 0), points=ends, colors=end_colors),
            self._marker(frame, track_id, SPHERE_LIST, scale=(_SPHERE_M,) * 3, points=points, colors=colors),
            self._marker(frame, track_id, TEXT_VIEW_FACING, scale=(0, 0, _TEXT_M), at=label, text=str(track_id)),
        ]

    def _delete(self, frame: Frame, track_id: int) -> list[Any]:
        return [self._marker(frame, track_id, kind, action=DELETE) for kind in _KINDS]

    def _rgba(self, track_id: int, alpha: float) -> Any:
        r, g, b = color(track_id)
        return self._types["std_msgs/msg/ColorRGBA"](r=r, g=g, b=b, a=float(np.clip(alpha, 0.05, 1)))

    def _marker(
        self,
        frame: Frame,
        track_id: int,
        kind: int,
        action: int = ADD,
        scale: tuple[float, ...] = (0, 0, 0),
        at: Sequence[float] | np.ndarray = (0, 0, 0),
        points: list[Any] | None = None,
        colors: list[Any] | None = None,
        text: str = "",
    ) -> Any:
        types = self._types
        header = to_header(frame.stamp_ns, frame.frame_id, types)
        pose = types["geometry_msgs/msg/Pose"](
            position=to_point(np.asarray(at), types), orientation=to_quaternion(np.array([0, 0, 0, 1]), types)
        )
        return types["visualization_msgs/msg/Marker"](
            header=header,
            ns=f"{REP155_BODY}_{track_id}",
            id=_KINDS.index(kind),
            type=kind,
            action=action,
            pose=pose,
            scale=to_vector(np.array(scale), types),
            color=self._rgba(track_id, 1.0),
            points=points or [],
            colors=colors or [],
            text=text,
            **self._unused(frame),
        )

    def _unused(self, frame: Frame) -> dict[str, Any]:
        """Fields that a marker has but skeletons do not need; rosbags' messages have no defaults."""
        types = self._types
        empty = np.zeros(0, np.uint8)
        header = to_header(frame.stamp_ns, frame.frame_id, types)
        return {
            "lifetime": types["builtin_interfaces/msg/Duration"](sec=0, nanosec=0),
            "frame_locked": False,
            "texture_resource": "",
            "texture": types["sensor_msgs/msg/CompressedImage"](header=header, format="", data=empty),
            "uv_coordinates": [],
            "mesh_resource": "",
            "mesh_file": types["visualization_msgs/msg/MeshFile"](filename="", data=empty),
            "mesh_use_embedded_materials": False,
        }
