"""One person, large, from the front and from the side: points, skeleton with left and right, and the truth."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32
from PIL import Image

from gckpl_ros.types import TrackState
from gckpl_ros.view.camera import Camera, looking
from gckpl_ros.view.canvas import Canvas
from gckpl_ros.view.palette import DARK, Theme, as_array, mix
from gckpl_ros.view.pictures import skeleton, thin_skeleton
from gckpl_ros.view.scene import Scene, heading_deg, inside

PANEL_PX = (300, 400)
HEIGHT_M = 2.15


@dataclass(frozen=True)
class Closeup:
    """The picture of one person and the figures to print beside it."""

    image: Image.Image
    identity: int
    stamp_ns: int
    range_m: float
    points: int
    confidence: float
    error_m: float | None


def closeup(scene: Scene, row: int, theme: Theme = DARK) -> Closeup:
    """Front and side by side of the person in row ``row`` of the scene's tracks."""
    tracks = scene.frame.tracks
    keypoints, truth = tracks.skeletons.keypoints[row], scene.truth_of(row)
    points = scene.cloud.points[inside(scene.cloud.points, tracks.boxes, row)]
    middle = tracks.boxes.centers[row]
    facing = heading_deg(keypoints)
    panels = [
        _panel(
            scene, row, points, Camera(*_placed(middle, azimuth), PANEL_PX[1] / HEIGHT_M, PANEL_PX, False), theme, name
        )
        for name, azimuth in (("front", facing + 180.0), ("side", facing + 90.0))
    ]
    image = Image.new("RGB", (2 * PANEL_PX[0], PANEL_PX[1]))
    for i, panel in enumerate(panels):
        image.paste(panel, (i * PANEL_PX[0], 0))
    return Closeup(
        image,
        int(tracks.ids[row]),
        scene.frame.stamp_ns,
        float(np.linalg.norm(middle[:2] - np.array(scene.cloud.origin[:2], np.float32))),
        len(points),
        float(tracks.skeletons.confidence[row].mean()),
        None if truth is None else float(np.linalg.norm(keypoints - truth, axis=1).mean()),
    )


def best_views(scenes: Sequence[Scene], most: int) -> list[tuple[int, int]]:
    """(scene, row) of the instant at which each track has most returns; the longest tracks first, ``most`` at most."""
    best: dict[int, tuple[int, int, int]] = {}
    seen: dict[int, int] = {}
    for index, scene in enumerate(scenes):
        tracks = scene.frame.tracks
        counts = np.bincount(scene.owners.astype(np.int64) + 1, minlength=len(tracks) + 1)[1:]
        for row in np.flatnonzero(tracks.states == TrackState.TRACKED).tolist():
            identity = int(tracks.ids[row])
            seen[identity] = seen.get(identity, 0) + 1
            if int(counts[row]) > best.get(identity, (0, 0, 0))[0]:
                best[identity] = (int(counts[row]), index, row)
    longest = sorted(best, key=lambda identity: (-seen[identity], identity))[:most]
    return [best[identity][1:] for identity in sorted(longest)]


def _placed(middle: Float32[np.ndarray, " 3"], azimuth_deg: float) -> tuple[np.ndarray, np.ndarray]:
    rotation = looking(azimuth_deg, 0.0)
    return rotation, np.array([0, 0, 10.0]) - rotation @ middle


def _panel(
    scene: Scene, row: int, points: Float32[np.ndarray, "n 3"], camera: Camera, theme: Theme, name: str
) -> Image.Image:
    canvas = Canvas(camera, theme)
    canvas.points(points, _depth_shades(points, camera, theme), 2.6 if len(points) < 150 else 1.7)
    _floor(canvas, scene, row)
    skeletons = scene.frame.tracks.skeletons
    skeleton(canvas, skeletons.keypoints[row], skeletons.confidence[row], theme.sides())
    truth = scene.truth_of(row)
    if truth is not None:
        thin_skeleton(canvas, truth, 1.6)
    canvas.text((14.0, 20.0), name, mix(theme.grid, theme.text, 0.7), 13)
    return canvas.image()


def _floor(canvas: Canvas, scene: Scene, row: int) -> None:
    boxes = scene.frame.tracks.boxes
    floor = boxes.centers[row] - np.array([0, 0, boxes.sizes[row, 2] / 2], np.float32)
    y = float(canvas.camera.project(floor)[0][1])
    width = canvas.camera.size[0]
    canvas.segment(np.array([0, y]), np.array([width, y]), canvas.theme.grid, 1.0, 0.9)
    for metre in (0.5, 1.0, 1.5, 2.0):
        height = y - metre * canvas.camera.scale
        canvas.segment(np.array([width - 10, height]), np.array([width, height]), canvas.theme.grid, 1.0, 0.9)


def _depth_shades(points: Float32[np.ndarray, "n 3"], camera: Camera, theme: Theme) -> Float32[np.ndarray, "n 3"]:
    depths = camera.project(points)[1]
    share = np.clip((depths - depths.min(initial=np.inf)) / 0.7, 0, 1)[:, None].astype(np.float32)
    near, far = as_array(mix(theme.high, theme.text, 0.25)), as_array(theme.low)
    shades: Float32[np.ndarray, "n 3"] = (1 - share) * near + share * far
    return shades
