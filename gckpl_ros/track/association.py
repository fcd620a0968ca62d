"""Which detection belongs to which track: the cheapest one-to-one assignment within a gate."""

import numpy as np
from jaxtyping import Float64, Int64
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist


def associate(
    tracks: Float64[np.ndarray, "t 3"], detections: Float64[np.ndarray, "d 3"], gate_m: float
) -> tuple[Int64[np.ndarray, " m"], Int64[np.ndarray, " m"]]:
    """Rows (of tracks, of detections) that belong together; as many as the gate allows, then as near as possible."""
    distances = cdist(tracks, detections)
    beyond = gate_m * (1 + min(distances.shape))  # dearer than any whole assignment within the gate
    of_track, of_detection = linear_sum_assignment(np.where(distances <= gate_m, distances, beyond))
    near = distances[of_track, of_detection] <= gate_m
    return of_track[near], of_detection[near]
