"""Live view and recording in rerun: points, boxes, skeletons and the way of each track over time."""

from collections.abc import Collection
from importlib import import_module
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64

from gckpl_ros.errors import InputError
from gckpl_ros.files import AtomicFile
from gckpl_ros.geometry import quaternion_z, transformed
from gckpl_ros.skeleton import CONNECTORS, KEYPOINTS, LIMBS
from gckpl_ros.types import Boxes, Cloud, Frame, Sample, TrackState
from gckpl_ros.view.palette import DARK, RGB, as_array, mix

TRAIL_M = 0.05  # a trail's next point lies at least this far from its last
_BONES = np.array((*LIMBS, *CONNECTORS))


class RerunView:
    """Logs frames to a viewer (``spawn``), to a file (``path``, .rrd), or both.

    A file appears at its place when the view is closed: use it in a `with` statement. Raises InputError where rerun is
    missing or nothing is asked for.
    """

    def __init__(self, path: Path | None = None, spawn: bool = False) -> None:
        if path is None and not spawn:
            raise InputError("the rerun view needs a file to write (.rrd), a viewer to open, or both")
        self._rr = _rerun()
        self._file = None if path is None else AtomicFile(path)
        self._trails: dict[int, list[np.ndarray]] = {}
        self._stream = self._rr.RecordingStream("gckpl_ros")
        if spawn:
            self._stream.spawn()
        if self._file is not None:
            self._stream.save(self._file.beside)
        self._log("world", self._rr.ViewCoordinates.RIGHT_HAND_Z_UP, static=True)
        self._log("world", self._annotations(), static=True)

    def __enter__(self) -> "RerunView":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.flush()
        self._stream.disconnect()
        if self._file is None:
            return
        try:
            if kind is None:
                self._file.keep()
        finally:
            self._file.drop()

    def wanted(self) -> Collection[str]:
        """People's skins, where bodies are fitted."""
        return ("meshes",)

    def write(self, sample: Sample, frame: Frame) -> None:
        """One instant, as a sink of the runner."""
        self.log(sample.cloud, frame, sample.boxes, sample.T_fixed_cloud)

    def log(
        self,
        cloud: Cloud,
        frame: Frame,
        boxes: Boxes | None = None,
        T_fixed_cloud: Float64[np.ndarray, "4 4"] | None = None,
        truth: Float32[np.ndarray, "t 14 3"] | None = None,
    ) -> None:
        """One instant on the timeline ``stamp``; ``boxes`` are the detections that the pipeline was given, if any.

        ``truth``: everybody's true keypoints, if known. T None: the cloud's own frame is the fixed one.
        """
        T_fixed_cloud = np.eye(4) if T_fixed_cloud is None else T_fixed_cloud
        rr = self._rr
        self._stream.set_time("stamp", timestamp=np.datetime64(cloud.stamp_ns, "ns"))
        self._log("world/sensor", rr.Transform3D(translation=T_fixed_cloud[:3, 3], mat3x3=T_fixed_cloud[:3, :3]))
        colours = DARK.heights(cloud.points[:, 2] - cloud.points[:, 2].min(initial=np.float32(np.inf)))
        self._log("world/sensor/points", rr.Points3D(cloud.points, colors=colours, radii=0.015))
        if boxes is not None:
            self._log("world/sensor/detections", self._boxes(boxes, DARK.grid))
        if truth is not None:
            self._log("world/sensor/truth", _strips(rr, truth, DARK.truth, 0.006))
        self._people(frame, T_fixed_cloud)

    def _people(self, frame: Frame, T_fixed_cloud: Float64[np.ndarray, "4 4"]) -> None:
        for gone in self._trails.keys() - set(frame.tracks.ids.tolist()):
            del self._trails[gone]
            self._log(f"world/trails/{gone}", self._rr.Clear(recursive=True))
        self._log("world/sensor/people", self._rr.Clear(recursive=True))
        for row, identity in enumerate(frame.tracks.ids.tolist()):
            if frame.tracks.states[row] != TrackState.LOST:
                self._person(frame, row, identity)
                self._trail(frame, row, identity, T_fixed_cloud)

    def _person(self, frame: Frame, row: int, identity: int) -> None:
        rr, tracks, colour = self._rr, frame.tracks, DARK.track(identity)
        name = f"world/sensor/people/{identity}"
        state = TrackState(int(tracks.states[row])).name.lower()
        self._log(
            f"{name}/box", self._boxes(tracks.boxes[[row]], mix(colour, DARK.ground, 0.4), [f"{identity}: {state}"])
        )
        keypoints, confidence = tracks.skeletons.keypoints[row], tracks.skeletons.confidence[row]
        self._log(f"{name}/limbs", _strips(rr, keypoints[None], colour, 0.02))
        dots = rr.Points3D(
            keypoints,
            radii=0.02 + 0.02 * confidence,
            class_ids=0,
            keypoint_ids=np.arange(len(KEYPOINTS)),
            show_labels=False,
        )
        self._log(f"{name}/keypoints", dots)
        bodies = frame.bodies
        if bodies is not None and bodies.vertices is not None and bodies.faces is not None:
            for vertices in bodies.vertices[bodies.ids == identity]:
                skin = rr.Mesh3D(
                    vertex_positions=vertices, triangle_indices=bodies.faces, albedo_factor=as_array(colour)
                )
                self._log(f"{name}/body", skin)

    def _trail(self, frame: Frame, row: int, identity: int, T_fixed_cloud: Float64[np.ndarray, "4 4"]) -> None:
        boxes = frame.tracks.boxes
        foot = boxes.centers[row] - np.array([0, 0, boxes.sizes[row, 2] / 2])
        steps = self._trails.setdefault(identity, [])
        place = transformed(T_fixed_cloud, foot)
        if not steps or np.linalg.norm(place - steps[-1]) > TRAIL_M:
            steps.append(place)
        strip = self._rr.LineStrips3D([np.array(steps)], colors=[as_array(DARK.track(identity))], radii=0.015)
        self._log(f"world/trails/{identity}", strip)

    def _boxes(self, boxes: Boxes, colour: RGB, labels: list[str] | None = None) -> Any:
        colours = [as_array(colour)] * len(boxes)
        return self._rr.Boxes3D(
            centers=boxes.centers,
            sizes=boxes.sizes,
            quaternions=quaternion_z(boxes.yaws),
            colors=colours,
            labels=labels,
        )

    def _annotations(self) -> Any:
        rr, sides = self._rr, DARK.sides()
        names = [rr.AnnotationInfo(id=j, label=name, color=as_array(sides[j])) for j, name in enumerate(KEYPOINTS)]
        person = rr.ClassDescription(info=rr.AnnotationInfo(id=0, label="person"), keypoint_annotations=names)
        return rr.AnnotationContext([person])

    def _log(self, entity: str, value: Any, static: bool = False) -> None:
        self._stream.log(entity, value, static=static)


def _strips(rr: ModuleType, keypoints: Float32[np.ndarray, "b 14 3"], colour: RGB, radius: float) -> Any:
    bones = keypoints[:, _BONES].reshape(-1, 2, 3)
    return rr.LineStrips3D(bones, colors=[as_array(colour)], radii=radius)


def _rerun() -> ModuleType:
    try:
        return import_module("rerun")
    except ImportError as error:
        raise InputError("the rerun view needs rerun-sdk: pip install 'gckpl_ros[viz]'") from error
