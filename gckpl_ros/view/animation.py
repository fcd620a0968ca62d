"""The whole replay as one moving picture (animated WebP): perspective on the left, bird's eye on the right."""

from collections.abc import Iterator, Sequence
from io import BytesIO

import numpy as np
from PIL import Image

from gckpl_ros.errors import InputError
from gckpl_ros.view.camera import Camera
from gckpl_ros.view.palette import DARK, Theme
from gckpl_ros.view.pictures import camera_3d, camera_top, picture
from gckpl_ros.view.scene import Scene, trails

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
