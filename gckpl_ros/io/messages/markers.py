"""Skeletons as visualization_msgs/MarkerArray, for RViz and Foxglove."""

import colorsys
from collections import deque
from itertools import pairwise
from typing import Any, Final

import numpy as np

from gckpl_ros.io.messages.skeletons import to_header, to_points, to_quaternion, to_vector
from gckpl_ros.io.messages.typestore import MessageTypes
from gckpl_ros.skeleton import CONNECTORS, INDEX, LIMBS, REP155_BODY
from gckpl_ros.types import Bodies, Frame, TrackState

# visualization_msgs/Marker's constants.
ADD: Final = 0
DELETE: Final = 2
LINE_LIST: Final = 5
SPHERE_LIST: Final = 7
TEXT_VIEW_FACING: Final = 9
TRIANGLE_LIST: Final = 11

# Width of lines, diameter of spheres, height of letters: what each kind of marker takes from its scale (m).
_SCALES: Final = {LINE_LIST: (0.03, 0.0, 0.0), SPHERE_LIST: (0.07, 0.07, 0.07), TEXT_VIEW_FACING: (0.0, 0.0, 0.2)}
_KINDS: Final = tuple(_SCALES)
_BONES = np.array((*LIMBS, *CONNECTORS)).reshape(-1).tolist()
_HEAD = INDEX["head_center"]
_ABOVE_HEAD = np.array([0, 0, 0.35], np.float32)
_LOST_ALPHA, _LEAST_ALPHA = 0.4, 0.05
# Lifetime of markers: so many periods (their median over the last frames), at least so long; before a period is known.
_PERIODS: Final = 3
_RECENT_FRAMES: Final = 6
_LEAST_NS: Final = 300_000_000
_FIRST_NS: Final = 1_000_000_000


def color(track_id: int) -> tuple[float, float, float]:
    """RGB 0..1 of a person; ids that follow each other differ clearly (golden-ratio steps of hue)."""
    return colorsys.hsv_to_rgb(track_id * 0.618034 % 1.0, 0.75, 1.0)


class SkeletonMarkers:
    """Bones, joints and the id of each person in a namespace body_<id>; deleted when the person leaves.

    Should no more frames come at all, markers go by themselves after a few of the recent frames' periods.
    """

    def __init__(self, types: MessageTypes) -> None:
        self._types = types
        self._unused = _unused(types)
        self._scales = {kind: to_vector(np.array(scale), types) for kind, scale in _SCALES.items()}
        self._no_scale = to_vector(np.zeros(3), types)
        self._upright = to_quaternion(np.array([0, 0, 0, 1]), types)
        self._origin = self._pose(to_points(np.zeros((1, 3), np.float32), types)[0])
        self._shown: set[int] = set()
        self._stamps_ns: deque[int] = deque(maxlen=_RECENT_FRAMES)

    def __call__(self, frame: Frame) -> Any:
        """The MarkerArray of one frame; a joint's alpha is its confidence, weaker while its person is lost.

        Whoever was in the last array and is not in this one is deleted, however many frames lie between the two.
        """
        tracks, header = frame.tracks, to_header(frame.stamp_ns, frame.frame_id, self._types)
        ids = tracks.ids.tolist()
        self._stamps_ns.append(frame.stamp_ns)
        lifetime = self._lifetime()
        fade = np.where(tracks.states == TrackState.LOST, np.float32(_LOST_ALPHA), np.float32(1))
        alphas = np.clip(fade[:, None] * tracks.skeletons.confidence, _LEAST_ALPHA, 1)
        markers = [marker for gone in sorted(self._shown.difference(ids)) for marker in self._delete(header, gone)]
        for track_id, keypoints, joint_alphas in zip(ids, tracks.skeletons.keypoints, alphas.tolist(), strict=True):
            markers += self._add(header, lifetime, track_id, keypoints, joint_alphas)
        self._shown = set(ids)
        return self._types["visualization_msgs/msg/MarkerArray"](markers=markers)

    def _lifetime(self) -> Any:
        """A builtin_interfaces/Duration: a few periods, by stamps, so that a replay makes the same bytes every time."""
        periods = [after - before for before, after in pairwise(self._stamps_ns) if after > before]
        lifetime_ns = max(_LEAST_NS, _PERIODS * int(np.median(periods))) if periods else _FIRST_NS
        sec, nanosec = divmod(lifetime_ns, 1_000_000_000)
        return self._types["builtin_interfaces/msg/Duration"](sec=sec, nanosec=nanosec)

    def _add(self, header: Any, lifetime: Any, track_id: int, keypoints: np.ndarray, alphas: list[float]) -> list[Any]:
        points, colors = to_points(keypoints, self._types), self._colors(track_id, alphas)
        ends, end_colors = [points[i] for i in _BONES], [colors[i] for i in _BONES]
        (label,) = to_points(keypoints[[_HEAD]] + _ABOVE_HEAD, self._types)
        return [
            self._marker(header, track_id, LINE_LIST, lifetime=lifetime, points=ends, colors=end_colors),
            self._marker(header, track_id, SPHERE_LIST, lifetime=lifetime, points=points, colors=colors),
            self._marker(
                header, track_id, TEXT_VIEW_FACING, lifetime=lifetime, pose=self._pose(label), text=str(track_id)
            ),
        ]

    def _delete(self, header: Any, track_id: int) -> list[Any]:
        return [self._marker(header, track_id, kind, action=DELETE, scale=self._no_scale) for kind in _KINDS]

    def _colors(self, track_id: int, alphas: list[float]) -> list[Any]:
        r, g, b = color(track_id)
        rgba = self._types["std_msgs/msg/ColorRGBA"]
        return [rgba(r=r, g=g, b=b, a=alpha) for alpha in alphas]

    def _pose(self, position: Any) -> Any:
        return self._types["geometry_msgs/msg/Pose"](position=position, orientation=self._upright)

    def _marker(self, header: Any, track_id: int, kind: int, **fields: Any) -> Any:
        usual = {
            "action": ADD,
            "scale": self._scales[kind],
            "pose": self._origin,
            "points": [],
            "colors": [],
            "text": "",
        }
        return self._types["visualization_msgs/msg/Marker"](
            header=header,
            ns=f"{REP155_BODY}_{track_id}",
            id=_KINDS.index(kind),
            type=kind,
            color=self._colors(track_id, [1.0])[0],
            **(usual | self._unused | fields),
        )


class BodyMarkers:
    """Each person's fitted body as a mesh in a namespace body_<id>; deleted when the person leaves."""

    def __init__(self, types: MessageTypes) -> None:
        self._types, self._unused = types, _unused(types)
        self._shown: set[int] = set()

    def __call__(self, frame: Frame) -> Any:
        """The MarkerArray of one frame with bodies; without skins only what was shown is deleted."""
        bodies, header = frame.bodies or Bodies.empty(), to_header(frame.stamp_ns, frame.frame_id, self._types)
        ids = bodies.ids.tolist() if bodies.vertices is not None else []
        markers = [self._marker(header, gone, DELETE, []) for gone in sorted(self._shown.difference(ids))]
        if bodies.vertices is not None and bodies.faces is not None:
            for identity, vertices in zip(ids, bodies.vertices, strict=True):
                points = to_points(vertices, self._types)  # one message for each vertex, however many triangles have it
                corners = [points[vertex] for vertex in bodies.faces.reshape(-1).tolist()]
                markers.append(self._marker(header, identity, ADD, corners))
        self._shown = set(ids)
        return self._types["visualization_msgs/msg/MarkerArray"](markers=markers)

    def _marker(self, header: Any, identity: int, action: int, points: list[Any]) -> Any:
        types, (r, g, b) = self._types, color(identity)
        origin = to_points(np.zeros((1, 3), np.float32), types)[0]
        upright = to_quaternion(np.array([0, 0, 0, 1]), types)
        fields = self._unused | {"lifetime": types["builtin_interfaces/msg/Duration"](sec=1, nanosec=0)}
        return types["visualization_msgs/msg/Marker"](
            header=header,
            ns=f"{REP155_BODY}_{identity}",
            id=0,
            type=TRIANGLE_LIST,
            action=action,
            pose=types["geometry_msgs/msg/Pose"](position=origin, orientation=upright),
            scale=to_vector(np.ones(3), types),
            color=types["std_msgs/msg/ColorRGBA"](r=r, g=g, b=b, a=1.0),
            points=points,
            colors=[],
            text="",
            **fields,
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
