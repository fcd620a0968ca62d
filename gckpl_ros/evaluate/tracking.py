"""Do identities hold? Counts in the sense of CLEAR-MOT (Bernardin and Stiefelhagen, 2008).

Correspondences are those of the keypoint metrics, the best of each frame by itself and not carried over from the
frame before: a track that slides from one person onto another is a switch, however near the two stand.
"""

from typing import Final

import numpy as np
from jaxtyping import Bool, Int64

from gckpl_ros.evaluate.accumulate import Matches

MOSTLY: Final = 0.8


def track_scores(matches: Matches) -> dict[str, int | float]:
    """Id switches, fragmentations, mostly tracked people, MOTA = 1 - (missed + invented + switches) / true people.

    A switch: a person is found under another id than when last found. A fragmentation: a person who was found, then
    not, is found again. Mostly tracked: found in at least 80 % of the person's frames.
    """
    order = np.lexsort((matches.frame, matches.ids))
    people = np.unique(matches.ids)
    starts = np.searchsorted(matches.ids[order], people)[1:]
    founds, names = (np.split(values[order], starts) for values in (matches.found, matches.predicted_ids))
    switches = sum(_switches(name[found]) for found, name in zip(founds, names, strict=True))
    errors = matches.missed + matches.invented + switches
    return {
        "people": len(people),
        "id_switches": switches,
        "fragmentations": sum(map(_fragmentations, founds)),
        "mostly_tracked": float(np.mean([found.mean() >= MOSTLY for found in founds])),
        "mota": 1 - errors / len(matches.ids),
    }


def _switches(names: Int64[np.ndarray, " n"]) -> int:
    return int((names[1:] != names[:-1]).sum())


def _fragmentations(found: Bool[np.ndarray, " n"]) -> int:
    starts = np.flatnonzero(found & ~np.concatenate(([False], found[:-1])))
    return max(len(starts) - 1, 0)
