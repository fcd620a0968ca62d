"""A picture in the making: points by z-buffer in numpy, lines, discs and text by Pillow; drawn large, then reduced."""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from jaxtyping import Float, Float32, Int64, UInt8, UInt32

from gckpl_ros.errors import InputError
from gckpl_ros.geometry import turned
from gckpl_ros.view.palette import RGB, Theme

try:
    from PIL import Image as Image
    from PIL import ImageDraw, ImageFont
except ImportError as error:
    raise InputError("pictures need Pillow: pip install 'gckpl_ros[report]'") from error

# Cameras: where a point of the cloud lies in the picture. World z up; camera x right, y down, z into the picture.

NEAR_M = 0.2


@dataclass(frozen=True)
class Camera:
    """A pinhole or orthographic camera: ``scale`` is the focal length in pixels, or pixels per metre."""

    rotation: Float[np.ndarray, "3 3"]
    translation: Float[np.ndarray, " 3"]
    scale: float
    size: tuple[int, int]
    perspective: bool

    def project(
        self, points: Float32[np.ndarray, "*n 3"]
    ) -> tuple[Float32[np.ndarray, "*n 2"], Float32[np.ndarray, " *n"]]:
        """Pixels (x right, y down) and depths in metres; points nearer than NEAR_M have no meaningful pixel."""
        camera = points @ self.rotation.T.astype(np.float32) + self.translation.astype(np.float32)
        depths = camera[..., 2]
        divisor = np.maximum(depths, NEAR_M)[..., None] if self.perspective else np.float32(1)
        pixels = camera[..., :2] / divisor * np.float32(self.scale) + np.array(self.size, np.float32) / 2
        return pixels.astype(np.float32), depths

    def pixels_per_metre(self, depths: Float32[np.ndarray, " *n"]) -> Float32[np.ndarray, " *n"]:
        """Size in the picture of one metre at these depths."""
        if not self.perspective:
            return np.full_like(depths, self.scale)
        scales: Float32[np.ndarray, " *n"] = (self.scale / np.maximum(depths, NEAR_M)).astype(np.float32)
        return scales


def perspective(
    points: Float32[np.ndarray, "n 3"],
    size: tuple[int, int],
    azimuth_deg: float,
    elevation_deg: float,
    view_angle_deg: float = 40.0,
    fill: float = 0.9,
) -> Camera:
    """The nearest pinhole camera that looks along azimuth, down by elevation, and sees all points.

    The points fill at most the share ``fill`` of the picture; ``view_angle_deg`` spans its width.
    """
    rotation = looking(azimuth_deg, elevation_deg)
    scale = size[0] / 2 / np.tan(np.radians(view_angle_deg) / 2)
    turned = points @ rotation.T
    middle = _middle(turned)
    offsets = np.abs(turned[:, :2] - middle[:2])
    back = offsets * scale / (fill * np.asarray(size) / 2) - (turned[:, 2:] - middle[2])
    distance = max(float(back.max(initial=0.0)), 1.0)
    return Camera(rotation, np.array([0, 0, distance]) - middle, float(scale), size, True)


def orthographic(
    points: Float32[np.ndarray, "n 3"],
    size: tuple[int, int],
    azimuth_deg: float,
    elevation_deg: float = 0.0,
    fill: float = 0.9,
    max_scale: float = 400.0,
) -> Camera:
    """A parallel projection along azimuth, down by elevation (90: bird's eye), in which all points fit."""
    rotation = looking(azimuth_deg, elevation_deg)
    turned = points @ rotation.T
    extent = np.maximum(np.ptp(turned[:, :2], axis=0), 1e-3)
    scale = min(float((fill * np.asarray(size) / extent).min()), max_scale)
    return Camera(rotation, np.array([0, 0, 50.0]) - _middle(turned), scale, size, False)


def looking(azimuth_deg: float, elevation_deg: float) -> Float[np.ndarray, "3 3"]:
    """R_camera_world of a camera that looks along azimuth (0: +x, 90: +y) and down by elevation (0: level)."""
    azimuth, elevation = np.radians([azimuth_deg, elevation_deg])
    right = np.array([np.sin(azimuth), -np.cos(azimuth), 0.0])
    forward = np.array([np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), -np.sin(elevation)])
    return np.stack([right, np.cross(forward, right), forward])


def box_corners(
    centers: Float32[np.ndarray, "b 3"], sizes: Float32[np.ndarray, "b 3"], yaws: Float32[np.ndarray, " b"]
) -> Float32[np.ndarray, "b 8 3"]:
    """Corners of upright boxes: the four of the floor counter-clockwise, then the four of the roof."""
    unit = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], np.float32) / 2
    corners = np.concatenate([np.c_[unit, np.full(4, z)] for z in (-0.5, 0.5)]).astype(np.float32)
    placed: np.ndarray = turned(corners[None] * sizes[:, None], yaws) + centers[:, None]
    return placed.astype(np.float32)


def _middle(turned: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, " 3"]:
    middle: Float[np.ndarray, " 3"] = (turned.min(0) + turned.max(0)) / 2
    return middle


def mean_bearing_deg(points: Float32[np.ndarray, "n 3"]) -> float:
    """Bearing from the sensor in which the points lie on average; 0 (ahead) where they surround it."""
    unit = points[:, :2] / np.maximum(np.linalg.norm(points[:, :2], axis=1, keepdims=True), 1e-6)
    mean = unit.mean(0) if len(unit) else np.zeros(2)
    return float(np.degrees(np.arctan2(mean[1], mean[0]))) if np.linalg.norm(mean) > 0.3 else 0.0


MAX_RADIUS_PX = 6


class Canvas:
    """Draws what a camera sees: points first, then the rest above them. Sizes are in pixels of the finished picture."""

    def __init__(self, camera: Camera, theme: Theme, oversampling: int = 2) -> None:
        self.camera = camera
        self.theme = theme
        self._times = oversampling
        width, height = (side * oversampling for side in camera.size)
        shades = np.linspace(theme.sky, theme.ground, height, dtype=np.float32)
        self._pixels = np.repeat(_packed(shades), width)
        self._size = width, height

    def points(
        self, points: Float32[np.ndarray, "n 3"], colours: Float32[np.ndarray, "n 3"], radius: float = 1.0
    ) -> None:
        """Discs of this radius, the nearest on top; to be called before anything else is drawn."""
        assert "_image" not in vars(self), "points are drawn first"
        pixels, depths = self.camera.project(points)
        width, height = self._size
        cells = (pixels * np.float32(self._times)).astype(np.int32)
        x, y, rim = cells[:, 0], cells[:, 1], MAX_RADIUS_PX
        seen = np.flatnonzero((depths > NEAR_M) & (x >= rim) & (y >= rim) & (x < width - rim) & (y < height - rim))
        order = seen[np.argsort(-depths[seen])]
        disc = _disc(min(radius * self._times, rim))
        spots = (y[order] * width + x[order])[:, None] + (disc[:, 1] * width + disc[:, 0])
        # of repeated spots the last one stays, which is the nearest
        self._pixels[spots.ravel()] = np.repeat(_packed(colours[order]), len(disc))

    def polyline(self, points: Float32[np.ndarray, "n 3"], colour: RGB, width: float = 1.0, alpha: float = 1.0) -> None:
        """A line through points; where they come too near to the camera it is interrupted."""
        pixels, depths = self.camera.project(points)
        seen = depths > NEAR_M
        for run in np.split(np.arange(len(points)), np.flatnonzero(np.diff(seen)) + 1):
            if len(run) > 1 and seen[run[0]]:
                self._line(pixels[run], colour, width, alpha)

    def segment(self, a: np.ndarray, b: np.ndarray, colour: RGB, width: float, alpha: float = 1.0) -> None:
        """A straight line between two pixels."""
        self._line(np.stack([a, b]), colour, width, alpha)

    def disc(self, centre: np.ndarray, radius: float, colour: RGB, alpha: float = 1.0) -> None:
        """A filled circle around a pixel."""
        x, y, r = (float(v) * self._times for v in (*centre, radius))
        self._draw.ellipse((x - r, y - r, x + r, y + r), fill=_ink(colour, alpha))

    def polygon(self, points: Float32[np.ndarray, "n 3"], colour: RGB, alpha: float) -> None:
        """A filled area; left out where it comes too near to the camera."""
        pixels, depths = self.camera.project(points)
        if (depths > NEAR_M).all():
            self._draw.polygon([tuple(p) for p in (pixels * self._times).tolist()], _ink(colour, alpha))

    def text(self, at: tuple[float, float], text: str, colour: RGB, size: int = 13, anchor: str = "lm") -> None:
        """Text at a pixel; ``anchor`` is Pillow's (l, m, r by a, m, s)."""
        font = _font(size * self._times)
        self._draw.text((at[0] * self._times, at[1] * self._times), text, _ink(colour, 1.0), font, anchor)

    def tag(self, at: tuple[float, float], text: str, colour: RGB, size: int = 11) -> None:
        """Text on a rounded label, centred at a pixel."""
        font, times = _font(size * self._times), self._times
        half = (font.getlength(text) / 2 + 0.45 * size * times, 0.72 * size * times)
        x, y = at[0] * times, at[1] * times
        box = (x - half[0], y - half[1], x + half[0], y + half[1])
        self._draw.rounded_rectangle(box, half[1], _ink(colour, 0.95))
        self._draw.text((x, y), text, _ink((0.04, 0.05, 0.07), 1.0), font, "mm")

    def image(self) -> Image.Image:
        """The finished picture."""
        return self._image.reduce(self._times)

    @cached_property
    def _image(self) -> Image.Image:
        return Image.frombytes("RGB", self._size, self._pixels.tobytes(), "raw", "RGBX")

    @cached_property
    def _draw(self) -> ImageDraw.ImageDraw:
        return ImageDraw.Draw(self._image, "RGBA")

    def _line(self, pixels: np.ndarray, colour: RGB, width: float, alpha: float) -> None:
        corners = [(x, y) for x, y in (pixels * self._times).tolist()]
        self._draw.line(corners, _ink(colour, alpha), max(1, round(width * self._times)))


def _ink(colour: RGB, alpha: float) -> tuple[int, ...]:
    red, green, blue = colour
    return int(255 * red), int(255 * green), int(255 * blue), int(255 * alpha)


def _bytes(colours: Float32[np.ndarray, "n 3"]) -> UInt8[np.ndarray, "n 3"]:
    levels: UInt8[np.ndarray, "n 3"] = (np.clip(colours, 0, 1) * 255).round().astype(np.uint8)
    return levels


def _packed(colours: Float32[np.ndarray, "n 3"]) -> UInt32[np.ndarray, " n"]:
    rgbx = np.zeros((len(colours), 4), np.uint8)
    rgbx[:, :3] = _bytes(colours)
    return rgbx.view(np.uint32).ravel()


@lru_cache
def _disc(radius: float) -> Int64[np.ndarray, "m 2"]:
    steps = np.arange(-int(radius), int(radius) + 1)
    cells = np.stack(np.meshgrid(steps, steps), -1).reshape(-1, 2)
    round_: Int64[np.ndarray, "m 2"] = cells[(cells**2).sum(1) <= radius**2]
    return round_


@lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font
