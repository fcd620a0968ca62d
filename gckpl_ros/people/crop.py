"""Cut people out of a cloud: the points inside each box, thinned and padded to one batch for the network."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor

from gckpl_ros.batch import PersonBatch
from gckpl_ros.config import CropConfig
from gckpl_ros.geometry import most_points_in_boxes, points_in_boxes
from gckpl_ros.reasons import BAD_BOX, FEW_POINTS, TOO_MANY
from gckpl_ros.types import Boxes, Cloud

# Of more boxes than people are wanted, the nearest are counted first, and no more than this: looks at boxes, in
# multiples of the wanted, and looks at points.
_LOOKS: Final = 8
_POINT_LOOKS: Final = 2_000_000


def crop(
    cloud: Cloud, boxes: Boxes, config: CropConfig, most: int | None = None
) -> tuple[PersonBatch, Int64[np.ndarray, " b"], dict[str, int]]:
    """Crops of all usable boxes, which boxes they are, and how many were dropped by reason.

    Boxes grow by ``config.margin_m`` on each side; a point may belong to several people; ground stays in. ``most``: of
    more boxes with enough points the nearest to the sensor are taken.
    """
    good = np.flatnonzero(_usable(boxes))
    dropped = {BAD_BOX: len(boxes) - len(good)}
    if most is None or len(good) <= most:
        rows = points_in_boxes(cloud.points, boxes[good], config.margin_m)
    else:
        near, rows, beyond = _nearest(cloud, boxes[good], config, most)
        good = good[near]
        dropped |= beyond
    counts = np.array([len(row) for row in rows], np.int64)
    enough = np.flatnonzero(counts >= config.min_points)
    kept = good[enough]
    sampled = thinned(cloud.points, [rows[i] for i in enough], config.max_points)
    dropped[FEW_POINTS] = dropped.get(FEW_POINTS, 0) + len(good) - len(kept)
    crops = _pack(cloud, boxes.centers[kept], sampled, counts[enough])
    return crops, kept, {reason: count for reason, count in dropped.items() if count}


def _nearest(
    cloud: Cloud, boxes: Boxes, config: CropConfig, most: int
) -> tuple[Int64[np.ndarray, " b"], list[Int64[np.ndarray, " _"]], dict[str, int]]:
    """The nearest boxes with enough points, in the boxes' order, their points, and how many were left out and why.

    Thousands of boxes cost little: most are known to be empty by a coarse grid, and the search has an end.
    """
    upper = most_points_in_boxes(cloud.points, boxes, config.margin_m)
    distances = np.linalg.norm(boxes.centers - np.asarray(cloud.origin, np.float32), axis=1)
    order = np.argsort(distances, kind="stable")
    order = order[upper[order] >= config.min_points]
    few = len(boxes) - len(order)
    within = upper[order].cumsum() <= _POINT_LOOKS
    found: dict[int, Int64[np.ndarray, " _"]] = {}
    looked = 0
    while looked < len(order) and len(found) < most and (not looked or within[looked]) and looked < _LOOKS * most:
        chunk = order[looked : looked + most]
        for box, row in zip(chunk.tolist(), points_in_boxes(cloud.points, boxes[chunk], config.margin_m), strict=True):
            if len(found) < most:
                looked += 1
                if len(row) >= config.min_points:
                    found[box] = row
                else:
                    few += 1
    near = np.array(sorted(found), np.int64)
    return near, [found[box] for box in near.tolist()], {FEW_POINTS: few, TOO_MANY: len(order) - looked}


def _usable(boxes: Boxes) -> Bool[np.ndarray, " b"]:
    numbers = np.column_stack((boxes.centers, boxes.sizes, boxes.yaws))
    usable: np.ndarray = np.isfinite(numbers).all(axis=1) & (boxes.sizes > 0).all(axis=1)
    return usable


def _pack(
    cloud: Cloud, centers: Float32[np.ndarray, "b 3"], rows: list[np.ndarray], counts: Int64[np.ndarray, " b"]
) -> PersonBatch:
    lengths = np.array([len(row) for row in rows], np.int64)
    mask = np.arange(lengths.max(initial=0)) < lengths[:, None]
    index = np.full(mask.shape, -1, np.int64)
    points = np.zeros((*mask.shape, 3), np.float32)
    if rows:
        index[mask] = np.concatenate(rows)
        points = np.where(mask[..., None], cloud.points[index] - centers[:, None], np.float32(0))
    views = centers - np.asarray(cloud.origin, np.float32)
    arrays = {"points": points, "mask": mask, "index": index, "origins": centers, "views": views, "counts": counts}
    return PersonBatch(**{name: torch.from_numpy(array) for name, array in arrays.items()})


# Sub-sampling that evens out density: dense rings of a scan must not crowd out the sparse ones.

CELL_M = 0.06
GOLDEN = 0.6180339887498949
_HALF = 512  # cells to each side, 30 m: crops are a few metres wide
_PLACE_BITS = 23  # with 1024 people and 1024 cells along each axis, 63 bits
_PLACES = (1 << _PLACE_BITS) - 1


def evenly(
    points: Float[Tensor, "b n 3"], mask: Bool[Tensor, "b n"], most: int, generator: torch.Generator | None = None
) -> Int64[Tensor, "b m"]:
    """Indices of at most ``most`` points of each row: first one of each 6 cm cell, then a second, and so on.

    Points that do not exist (mask False) come last. Within cells and between them chance decides, or without a
    generator the golden ratio's sequence, which spreads over the scan and is the same every time.
    """
    place = torch.arange(mask.shape[1], device=mask.device).expand_as(mask)
    lots = (
        (place * GOLDEN) % 1 if generator is None else torch.rand(mask.shape, generator=generator, device=mask.device)
    )
    order = lots.argsort(1)
    by_cell, within = _cells(points, mask).gather(1, order).sort(dim=1, stable=True)
    new = torch.ones_like(mask)
    new[:, 1:] = by_cell[:, 1:] != by_cell[:, :-1]
    rank = place - torch.where(new, place, 0).cummax(1).values
    rank = torch.empty_like(rank).scatter_(1, within, rank)
    rank = rank + mask.shape[1] * ~mask.gather(1, order)
    return order.gather(1, rank.argsort(dim=1, stable=True)[:, :most])


def thinned(
    points: Float32[np.ndarray, "n 3"], rows: Sequence[Int64[np.ndarray, " _"]], most: int
) -> list[Int64[np.ndarray, " _"]]:
    """Of each row of indices at most ``most``, chosen as by ``evenly`` without a generator, in ascending order.

    All rows at once and without padding, at most 1024 rows and 8 million points.
    """
    long = [place for place, row in enumerate(rows) if len(row) > most]
    chosen = list(rows)
    if long:
        for place, row in zip(long, _chosen(points, [rows[place] for place in long], most), strict=True):
            chosen[place] = np.sort(row)
    return chosen


def _chosen(
    points: Float32[np.ndarray, "n 3"], rows: list[Int64[np.ndarray, " _"]], most: int
) -> Int64[np.ndarray, "b m"]:
    """Rows one after the other, each in the order of its lots: sorted by cell, then by rank within the cell.

    Person, cell or rank, and place are the digits of one number: sorting plain numbers is the fastest there is.
    """
    lengths = np.array([len(row) for row in rows])
    lots = torch.remainder(torch.arange(lengths.max()) * GOLDEN, 1)
    ordered = np.concatenate([row[lots[: len(row)].argsort().numpy()] for row in rows])
    person, place = np.repeat(np.arange(len(rows)), lengths), np.arange(len(ordered))
    middles = np.stack([points[row].mean(0) for row in rows])
    cells = np.floor((points[ordered] - middles[person]) / np.float32(CELL_M))
    x, y, z = np.clip(cells, -_HALF, _HALF - 1).astype(np.int64).T + _HALF
    cell = ((person * 2 * _HALF + x) * 2 * _HALF + y) * 2 * _HALF + z
    by_cell = np.sort((cell << _PLACE_BITS) + place)
    new = np.ones(len(place), bool)
    new[1:] = np.diff(by_cell >> _PLACE_BITS) != 0
    rank = np.empty_like(place)
    rank[by_cell & _PLACES] = place - np.maximum.accumulate(np.where(new, place, 0))
    by_rank = np.sort((((person << _PLACE_BITS) + rank) << _PLACE_BITS) + place) & _PLACES
    chosen: np.ndarray = ordered[by_rank[(lengths.cumsum() - lengths)[:, None] + np.arange(most)]]
    return chosen


def _cells(points: Float[Tensor, "b n 3"], mask: Bool[Tensor, "b n"]) -> Int64[Tensor, "b n"]:
    """One number for each cell; crops are a few metres wide, far from the 60 m at which numbers would repeat."""
    x, y, z = ((points / CELL_M).floor().long() + 512).unbind(-1)
    cells: Tensor = torch.where(mask, (x * 1024 + y) * 1024 + z, -1)
    return cells
