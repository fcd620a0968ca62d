"""A picture in the making: points by z-buffer in numpy, lines, discs and text by Pillow; drawn large, then reduced."""

from functools import cached_property, lru_cache

import numpy as np
from jaxtyping import Float32, Int64, UInt8, UInt32
from PIL import Image, ImageDraw, ImageFont

from gckpl_ros.view.camera import NEAR_M, Camera
from gckpl_ros.view.palette import RGB, Theme

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
