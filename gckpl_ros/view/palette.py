"""Colours: two themes, one colour per track id, left and right, heights. Colours are RGB in 0..1."""

from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from jaxtyping import Float32

from gckpl_ros.skeleton import KEYPOINTS

RGB: TypeAlias = tuple[float, float, float]


def rgb(code: str) -> RGB:
    """`#rrggbb` as three values in 0..1."""
    red, green, blue = (int(code[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return red, green, blue


def mix(a: RGB, b: RGB, share: float) -> RGB:
    """Colour on the way from ``a`` (share 0) to ``b`` (share 1)."""
    red, green, blue = ((1 - share) * x + share * y for x, y in zip(a, b, strict=True))
    return red, green, blue


def as_array(colour: RGB) -> Float32[np.ndarray, " 3"]:
    """The colour for arithmetic with many others."""
    return np.array(colour, np.float32)


@dataclass(frozen=True)
class Theme:
    """Everything that a picture's look depends on."""

    sky: RGB
    ground: RGB
    low: RGB
    high: RGB
    grid: RGB
    text: RGB
    truth: RGB
    outline: RGB
    left: RGB
    right: RGB
    middle: RGB
    vivid: float

    def track(self, identity: int) -> RGB:
        """The colour of a track id, the same in every picture, film and view."""
        colour = TRACKS[identity % len(TRACKS)]
        return mix((0.0, 0.0, 0.0), colour, self.vivid)

    def sides(self) -> list[RGB]:
        """Colour of each keypoint: the person's left, right, or neither."""
        by_side = {"left": self.left, "right": self.right}
        return [by_side.get(name.split("_")[0], self.middle) for name in KEYPOINTS]

    def heights(self, heights: Float32[np.ndarray, " n"]) -> Float32[np.ndarray, "n 3"]:
        """Quiet colours for heights above the ground (m): the ground recedes, walls and poles stand out."""
        share = (1 - np.exp(-np.clip(heights + 0.1, 0, None) / 1.6))[:, None].astype(np.float32)
        colours: Float32[np.ndarray, "n 3"] = (1 - share) * as_array(self.low) + share * as_array(self.high)
        return colours


TRACKS: Final = tuple(
    map(
        rgb,
        (
            "#4dabf7",
            "#ff8787",
            "#ffd43b",
            "#69db7c",
            "#da77f2",
            "#ffa94d",
            "#3bc9db",
            "#f783ac",
            "#a9e34b",
            "#9c8cff",
            "#63e6be",
            "#e8b08a",
        ),
    )
)

DARK: Final = Theme(
    sky=rgb("#161d27"),
    ground=rgb("#0a0d12"),
    low=rgb("#44607a"),
    high=rgb("#a9bfd4"),
    grid=rgb("#3d5166"),
    text=rgb("#e6edf3"),
    truth=rgb("#c9d1d9"),
    outline=rgb("#05070a"),
    left=rgb("#ffa94d"),
    right=rgb("#4dc3ff"),
    middle=rgb("#e6edf3"),
    vivid=1.0,
)
LIGHT: Final = Theme(
    sky=rgb("#ffffff"),
    ground=rgb("#eef1f4"),
    low=rgb("#aab6c3"),
    high=rgb("#66788b"),
    grid=rgb("#c9d2db"),
    text=rgb("#1c2530"),
    truth=rgb("#495057"),
    outline=rgb("#ffffff"),
    left=rgb("#e8590c"),
    right=rgb("#1971c2"),
    middle=rgb("#343a40"),
    vivid=0.78,
)
