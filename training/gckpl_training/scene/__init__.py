"""People as a LiDAR meets them: dressed, carrying things, on uneven ground, among walls, poles and other people.

Pure batched torch on any device. ``sample_outfit`` draws numbers, ``Wardrobe`` dresses a posed body with them, so that
two poses of one person share topology and cloth and the flow between them is exact. ``Surroundings`` puts dressed
people before a sensor. All faces are counter-clockwise seen from outside.
"""

from gckpl_training.scene.clothing import Outfit, bare, sample_outfit
from gckpl_training.scene.dressing import Wardrobe
from gckpl_training.scene.meshes import Meshes, join
from gckpl_training.scene.surroundings import Scene, Surroundings, placement

__all__ = ["Meshes", "Outfit", "Scene", "Surroundings", "Wardrobe", "bare", "join", "placement", "sample_outfit"]
