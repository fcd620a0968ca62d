"""The demo street: seven people, houses, cars and trees, scanned by a moving LiDAR, with exact truth."""

from gckpl_training.street.street import NOBODY, Scan, Street

__all__ = ["NOBODY", "Scan", "Street"]
