"""Pillow, which the extra [report] brings."""

from gckpl_ros.errors import InputError

try:
    from PIL import Image, ImageDraw, ImageFont
except ImportError as error:
    raise InputError("pictures need Pillow: pip install 'gckpl_ros[report]'") from error

__all__ = ["Image", "ImageDraw", "ImageFont"]
