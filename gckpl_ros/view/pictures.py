"""Pictures of a whole scan with its people: in perspective, from the side, and from above."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Float32
from PIL import Image

from gckpl_ros.skeleton import CONNECTORS, INDEX, LIMBS, NUM_KEYPOINTS
from gckpl_ros.view.camera import NEAR_M, Camera, box_corners, mean_bearing_deg, orthographic, perspective
from gckpl_ros.view.canvas import Canvas
from gckpl_ros.view.palette import DARK, RGB, Theme, mix
from gckpl_ros.view.scene import Scene, extent

RINGS_M = (5, 10, 15, 20, 25)
LIMB_M, JOINT_M, HEAD_M = 0.05, 0.036, 0.085
UNCERTAIN = 0.3
_BOX_EDGES = [[0, 1, 2, 3, 0, 4, 5, 6, 7, 4], [1, 5], [2, 6], [3, 7]]
_FADES = 6

Trails = dict[int, Float32[np.ndarray, "n 3"]]


def camera_3d(scenes: Sequence[Scene], size: tuple[int, int]) -> Camera:
    """One perspective camera for all scenes: from behind the sensor's side of the people, looking down a little."""
    points = extent(scenes)
    return perspective(points, size, mean_bearing_deg(points) + 14.0, 20.0, fill=0.86)


def camera_side(scenes: Sequence[Scene], size: tuple[int, int]) -> Camera:
    """One level, orthographic camera for all scenes, across the direction in which the people are."""
    points = extent(scenes)
    return orthographic(points, size, mean_bearing_deg(points) + 90.0, 0.0, max_scale=140.0)


def camera_top(scenes: Sequence[Scene], size: tuple[int, int]) -> Camera:
    """One bird's eye camera for all scenes, the sensor in the picture, ahead (x) pointing up."""
    points = np.concatenate([extent(scenes), np.zeros((1, 3), np.float32)])
    return orthographic(points, size, 0.0, 90.0)


def picture(
    scene: Scene,
    camera: Camera,
    theme: Theme = DARK,
    trails: Trails | None = None,
    caption: str = "",
    tags: bool = True,
) -> Image.Image:
    """The scan seen by a camera: points, range rings, truth (thin grey), boxes, skeletons and track ids."""
    canvas = Canvas(camera, theme)
    _cloud(canvas, scene)
    _ground(canvas, scene)
    for identity, steps in (trails or {}).items():
        _trail(canvas, steps, theme.track(identity))
    if scene.truth is not None:
        for keypoints in scene.truth:
            thin_skeleton(canvas, keypoints)
    _people(canvas, scene, tags)
    if caption:
        canvas.text((16.0, 20.0), caption, mix(theme.grid, theme.text, 0.7), 13)
    return canvas.image()


def skeleton(
    canvas: Canvas, keypoints: Float32[np.ndarray, "14 3"], confidence: Float32[np.ndarray, " 14"], colours: list[RGB]
) -> None:
    """Limbs and keypoints in the colours given per keypoint, thinner and paler where confidence is low."""
    pixels, depths = canvas.camera.project(keypoints)
    if float(depths.min()) < NEAR_M:
        return
    unit = np.clip(canvas.camera.pixels_per_metre(depths), 12, 400)
    certain = UNCERTAIN + (1 - UNCERTAIN) * np.clip(confidence, 0, 1)
    bones = sorted((*LIMBS, *CONNECTORS), key=lambda bone: -float(depths[list(bone)].mean()))
    widths = [max(LIMB_M * float(unit[[a, b]].mean()), 1.5) for a, b in bones]
    for (a, b), width in zip(bones, widths, strict=True):
        canvas.segment(pixels[a], pixels[b], canvas.theme.outline, width + 1.6)
    for (a, b), width in zip(bones, widths, strict=True):
        share = float(min(certain[a], certain[b]))
        colour = mix(canvas.theme.outline, _bone_colour(a, b, colours), 0.35 + 0.65 * share)
        canvas.segment(pixels[a], pixels[b], colour, width * (0.55 + 0.45 * share))
    for j in sorted(range(NUM_KEYPOINTS), key=lambda j: -float(depths[j])):
        size = HEAD_M if j == INDEX["head_center"] else JOINT_M
        radius = max(size * float(unit[j]) * (0.5 + 0.5 * float(certain[j])), 1.3)
        canvas.disc(pixels[j], radius + 0.8, canvas.theme.outline)
        canvas.disc(pixels[j], radius, mix(colours[j], (1.0, 1.0, 1.0), 0.45 * float(certain[j])))


def thin_skeleton(canvas: Canvas, keypoints: Float32[np.ndarray, "14 3"], width: float = 1.2) -> None:
    """The truth: thin lines in the theme's quiet colour."""
    pixels, depths = canvas.camera.project(keypoints)
    for a, b in (*LIMBS, *CONNECTORS):
        if min(depths[a], depths[b]) > NEAR_M:
            canvas.segment(pixels[a], pixels[b], canvas.theme.truth, width, 0.85)


def _bone_colour(a: int, b: int, colours: list[RGB]) -> RGB:
    return colours[b] if colours[a] == colours[b] else mix(colours[a], colours[b], 0.5)


def _ground(canvas: Canvas, scene: Scene) -> None:
    ground, theme = scene.ground, canvas.theme
    angles = np.linspace(0, 2 * np.pi, 181)
    circle = np.stack([np.cos(angles), np.sin(angles), np.zeros_like(angles)], 1)
    for radius in RINGS_M:
        ring = (circle * radius + [0, 0, ground]).astype(np.float32)
        canvas.polyline(ring, theme.grid, 0.8, 0.75)
        _ring_label(canvas, ring, f"{radius} m")
    arrow = np.array([[0.5, 0, ground], [-0.4, 0.35, ground], [-0.4, -0.35, ground]], np.float32)
    canvas.polygon(arrow, mix(theme.grid, theme.text, 0.6), 0.9)


def _ring_label(canvas: Canvas, ring: Float32[np.ndarray, "n 3"], text: str) -> None:
    pixels, depths = canvas.camera.project(ring)
    width, height = canvas.camera.size
    if np.ptp(pixels[:, 1]) < 40:  # seen edge-on, rings are one line
        return
    free = (pixels[:, 0] > 30) & (pixels[:, 0] < width - 30) & (pixels[:, 1] > 40) & (pixels[:, 1] < height - 16)
    places = np.flatnonzero(free & (depths > 1))
    if len(places):
        best = places[(pixels[places, 0] + 0.4 * pixels[places, 1]).argmax()]
        x, y = pixels[best].tolist()
        canvas.text((x, y - 8), text, mix(canvas.theme.grid, canvas.theme.text, 0.45), 10, "mm")


def _cloud(canvas: Canvas, scene: Scene) -> None:
    points, theme = scene.cloud.points, canvas.theme
    colours = theme.heights(points[:, 2] - np.float32(scene.ground))
    owners = scene.owners
    for row, identity in enumerate(scene.frame.tracks.ids.tolist()):
        colours[owners == row] = mix(theme.track(identity), theme.high, 0.25)
    free = owners < 0
    canvas.points(points[free], colours[free], 0.75)
    canvas.points(points[~free], colours[~free], 1.2)


def _trail(canvas: Canvas, steps: Float32[np.ndarray, "n 3"], colour: RGB) -> None:
    ends = np.linspace(0, len(steps) - 1, _FADES + 1).round().astype(int)
    for i, (start, end) in enumerate(pairwise(ends)):
        canvas.polyline(steps[start : end + 1], colour, 2.2, 0.15 + 0.6 * i / _FADES)


def _people(canvas: Canvas, scene: Scene, tags: bool) -> None:
    tracks, theme = scene.frame.tracks, canvas.theme
    corners = box_corners(tracks.boxes.centers, tracks.boxes.sizes, tracks.boxes.yaws)
    distance = canvas.camera.project(tracks.boxes.centers)[1]
    for row in sorted(scene.visible_rows(), key=lambda row: -float(distance[row])):
        colour = theme.track(int(tracks.ids[row]))
        canvas.polygon(corners[row, :4], colour, 0.16)
        for edge in _BOX_EDGES:
            canvas.polyline(corners[row, edge], colour, 0.8, 0.3)
        skeleton(
            canvas,
            tracks.skeletons.keypoints[row],
            tracks.skeletons.confidence[row],
            [colour] * NUM_KEYPOINTS,
        )
        if tags:
            roof = canvas.camera.project(corners[row, 4:])[0]
            canvas.tag((float(roof[:, 0].mean()), float(roof[:, 1].min()) - 10), str(int(tracks.ids[row])), colour)
