"""Skeletons as visualization_msgs/MarkerArray, for RViz and Foxglove."""

import colorsys
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from gckpl_ros.io.messages import to_header, to_points, to_quaternion, to_vector
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
_LOST_ALPHA, _LEAST_ALPHA = 0.4, 0.05


def color(track_id: int) -> tuple[float, float, float]:
    """RGB 0..1 of a person; ids that follow each other differ clearly (golden-ratio steps of hue)."""
    return colorsys.hsv_to_rgb(track_id * 0.618034 % 1.0, 0.75, 1.0)


class SkeletonMarkers:
    """Bones, joints and the id of each person in a namespace body_<id>; deleted when the person leaves."""

    def __init__(self, types: MessageTypes) -> None:
        self._types = types
        self._unused = _unused(types)
        self._origin = to_points(np.zeros((1, 3), np.float32), types)[0]
        self._upright = to_quaternion(np.array([0, 0, 0, 1]), types)
        self._shown: set[int] = set()

    def __call__(self, frame: Frame) -> Any:
        """The MarkerArray of one frame; a joint's alpha is its confidence, weaker while its person is lost."""
        present = {int(track_id) for track_id in frame.tracks.ids}
        markers = [m for track_id in sorted(self._shown - present) for m in self._delete(frame, track_id)]
        markers += [m for person in range(len(frame.tracks)) for m in self._add(frame, person)]
        self._shown = present
        return self._types["visualization_msgs/msg/MarkerArray"](markers=markers)

    def _add(self, frame: Frame, person: int) -> list[Any]:
        tracks, types = frame.tracks, self._types
        track_id, keypoints = int(tracks.ids[person]), tracks.skeletons.keypoints[person]
        points = to_points(keypoints, types)
        fade = _LOST_ALPHA if tracks.states[person] == TrackState.LOST else 1.0
        colors = self._colors(track_id, fade * tracks.skeletons.confidence[person])
        ends, end_colors = [points[i] for i in _BONES], [colors[i] for i in _BONES]
        label = to_points(keypoints[[_HEAD]] + np.array([0, 0, _TEXT_ABOVE_HEAD_M], np.float32), types)[0]
        return [
            self._marker(frame, track_id, LINE_LIST, scale=(_LINE_WIDTH_M, 0.0, 0.0), points=ends, colors=end_colors),
            self._marker(frame, track_id, SPHERE_LIST, scale=(_SPHERE_M,) * 3, points=points, colors=colors),
            self._marker(frame, track_id, TEXT_VIEW_FACING, scale=(0.0, 0.0, _TEXT_M), at=label, text=str(track_id)),
        ]

    def _delete(self, frame: Frame, track_id: int) -> list[Any]:
        return [self._marker(frame, track_id, kind, action=DELETE) for kind in _KINDS]

    def _colors(self, track_id: int, alphas: np.ndarray) -> list[Any]:
        r, g, b = color(track_id)
        rgba = self._types["std_msgs/msg/ColorRGBA"]
        return [rgba(r=r, g=g, b=b, a=alpha) for alpha in np.clip(alphas, _LEAST_ALPHA, 1).tolist()]

    def _marker(
        self,
        frame: Frame,
        track_id: int,
        kind: int,
        action: int = ADD,
        scale: tuple[float, ...] = (0.0, 0.0, 0.0),
        at: Any = None,
        points: Sequence[Any] = (),
        colors: Sequence[Any] = (),
        text: str = "",
    ) -> Any:
        types = self._types
        pose = types["geometry_msgs/msg/Pose"](position=at or self._origin, orientation=self._upright)
        return types["visualization_msgs/msg/Marker"](
            header=to_header(frame.stamp_ns, frame.frame_id, types),
            ns=f"{REP155_BODY}_{track_id}",
            id=_KINDS.index(kind),
            type=kind,
            action=action,
            pose=pose,
            scale=to_vector(np.array(scale), types),
            color=self._colors(track_id, np.ones(1))[0],
            points=list(points),
            colors=list(colors),
            text=text,
            **self._unused,
        )


def _unused(types: MessageTypes) -> dict[str, Any]:
    """Fields that a marker has but skeletons do not need; rosbags' messages have no defaults."""
    nothing, header = np.zeros(0, np.uint8), to_header(0, "", types)
    return {
        "lifetime": types["builtin_interfaces/msg/Duration"](sec=0, nanosec=0),
        "frame_locked": False,
        "texture_resource": "",
        "texture": types["sensor_msgs/msg/CompressedImage"](header=header, format="", data=nothing),
        "uv_coordinates": [],
        "mesh_resource": "",
        "mesh_file": types["visualization_msgs/msg/MeshFile"](filename="", data=nothing),
        "mesh_use_embedded_materials": False,
    }
