"""Pictures of a whole scan with its people: in perspective, from the side, and from above."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import pairwise

import numpy as np
from jaxtyping import Float32

from gckpl_ros.errors import InputError
from gckpl_ros.geometry import points_in_boxes
from gckpl_ros.skeleton import CONNECTORS, INDEX, LIMBS, NUM_KEYPOINTS
from gckpl_ros.types import TrackState
from gckpl_ros.view.canvas import (
    NEAR_M,
    Camera,
    Canvas,
    Image,
    box_corners,
    looking,
    mean_bearing_deg,
    orthographic,
    perspective,
)
from gckpl_ros.view.palette import DARK, RGB, Theme, as_array, mix
from gckpl_ros.view.scene import Scene, enlarged, extent, heading_deg, trails

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
    owners = np.where(np.isin(scene.owners, scene.visible_rows()), scene.owners, -1)
    for row in scene.visible_rows():
        colours[owners == row] = mix(theme.track(int(scene.frame.tracks.ids[row])), theme.high, 0.25)
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


# The whole replay as one moving picture (animated WebP): perspective on the left, bird's eye on the right.

WIDE_PX, TOP_PX = (740, 480), (280, 480)
QUALITY = 36


def animation(scenes: Sequence[Scene], most_frames: int = 75, theme: Theme = DARK) -> bytes:
    """Animated WebP that plays in real time, with every n-th scene so that at most ``most_frames`` are shown."""
    if not scenes:
        raise InputError("no frames to animate: replay a recording with at least one point cloud")
    step = -(-len(scenes) // most_frames)
    shown = range(0, len(scenes), step)
    cameras = camera_3d(scenes, WIDE_PX), camera_top(scenes, TOP_PX)
    first, *rest = _frames(scenes, shown, cameras, theme)
    file, duration = BytesIO(), _duration_ms(scenes, shown)
    first.save(file, "WEBP", save_all=True, append_images=rest, duration=duration, loop=0, quality=QUALITY, method=0)
    return file.getvalue()


def seconds(scenes: Sequence[Scene], index: int) -> float:
    """Time since the first scene."""
    return (scenes[index].cloud.stamp_ns - scenes[0].cloud.stamp_ns) * 1e-9


def _frames(
    scenes: Sequence[Scene], shown: range, cameras: tuple[Camera, Camera], theme: Theme
) -> Iterator[Image.Image]:
    for index in shown:
        scene, paths = scenes[index], trails(scenes, index)
        people = len(scene.visible_rows())
        caption = f"{seconds(scenes, index):4.1f} s   {people} {'person' if people == 1 else 'people'}"
        image = Image.new("RGB", (WIDE_PX[0] + TOP_PX[0], WIDE_PX[1]))
        image.paste(picture(scene, cameras[0], theme, paths, caption), (0, 0))
        image.paste(picture(scene, cameras[1], theme, paths), (WIDE_PX[0], 0))
        yield image


def _duration_ms(scenes: Sequence[Scene], shown: range) -> int:
    stamps = np.array([scenes[index].cloud.stamp_ns for index in shown], np.float64)
    return max(20, round(float(np.median(np.diff(stamps))) * 1e-6)) if len(shown) > 1 else 1000


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
    points = scene.cloud.points[points_in_boxes(scene.cloud.points, enlarged(tracks.boxes[[row]]))[0]]
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
