"""Judges what was learnt before anything estimates with it: by simulated truth, by people held out, and by drift."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final
from zipfile import BadZipFile

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gckpl_ros.batch import PersonBatch
from gckpl_ros.config import AdaptConfig
from gckpl_ros.errors import InputError
from gckpl_ros.estimate.network import KeypointNetwork
from gckpl_ros.files import save_arrays
from gckpl_ros.learn.geometric import flow_loss
from gckpl_ros.learn.learner import frame_pairs
from gckpl_ros.learn.losses import bone_length_loss, bone_lengths, left_right_loss, teacher_loss
from gckpl_ros.people.tracklets import Tracklet, unpack
from gckpl_ros.skeleton import NUM_KEYPOINTS, NUM_PARTS

# Simulated crops with known truth that ship: most are rehearsed while learning, the others only guard.

GUARD_EVERY: Final = 4

# Type on disk and shape of one crop; n is the longest crop.
_ARRAYS: Final = {
    "points": (np.float16, ("n", 3)),
    "mask": (np.uint8, ("n",)),
    "views": (np.float32, (3,)),
    "parts": (np.uint8, ("n",)),
    "keypoints": (np.float32, (NUM_KEYPOINTS, 3)),
}


@dataclass(frozen=True)
class Anchors:
    """``replay`` is learnt from, ``guard`` never."""

    replay: PersonBatch
    guard: PersonBatch

    @staticmethod
    def load(path: Path | None = None) -> "Anchors":
        """Read an .npz file, by default the one that ships; every fourth crop guards. Raises InputError."""
        source = path or shipped_anchors()
        try:
            with source.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                arrays = {name: file[_on_disk(name)] for name in _ARRAYS}
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            raise InputError(f"cannot read anchors {source}: {error}; install the package anew") from error
        batch = _batch(arrays, source)
        rows = torch.arange(len(batch))
        guards = rows % GUARD_EVERY == 0
        return Anchors(batch.rows(rows[~guards]), batch.rows(rows[guards]))

    def to(self, device: torch.device | str) -> "Anchors":
        """The same on another device."""
        return Anchors(self.replay.to(device), self.guard.to(device))


def save_anchors(path: Path, crops: PersonBatch) -> None:
    """Write labelled crops as ``Anchors.load`` reads them."""
    arrays = {_on_disk(name): crops.required(name).cpu().numpy().astype(dtype) for name, (dtype, _) in _ARRAYS.items()}
    save_arrays(path, **arrays)


def shipped_anchors() -> Path:
    """The anchors that ship with the package."""
    return Path(str(files("gckpl_ros.weights") / "anchors.npz"))


def _batch(arrays: dict[str, np.ndarray], source: Path) -> PersonBatch:
    wrong = [_on_disk(name) for name in arrays if not _fits(name, arrays)]
    if wrong or len(arrays["points"]) < GUARD_EVERY:
        raise InputError(f"anchors {source} hold no usable {', '.join(wrong) or 'crops'}; install the package anew")
    mask = torch.from_numpy(arrays["mask"].astype(bool))
    return PersonBatch(
        points=torch.from_numpy(arrays["points"].astype(np.float32)) * mask[..., None],
        mask=mask,
        views=torch.from_numpy(arrays["views"]),
        parts=torch.from_numpy(arrays["parts"].astype(np.int64)),
        keypoints=torch.from_numpy(arrays["keypoints"]),
        counts=mask.sum(1),
    )


def _on_disk(name: str) -> str:
    return "labels" if name == "parts" else name


def _fits(name: str, arrays: dict[str, np.ndarray]) -> bool:
    """Type and shape, that all is finite, and that labels name parts."""
    array, (dtype, shape) = arrays[name], _ARRAYS[name]
    expected = (len(arrays["points"]), *(arrays["points"].shape[1] if size == "n" else size for size in shape))
    known = name != "parts" or array.max(initial=0) < NUM_PARTS
    return array.dtype == dtype and array.shape == expected and bool(np.isfinite(array).all()) and bool(known)


LEAST_HELD_OUT: Final = 8
_SIZE: Final = 128


@dataclass(frozen=True)
class Verdict:
    """Whether a network may be used; why not; how far its keypoints are from the loaded network's."""

    accepted: bool
    reason: str
    drift_m: float


class Guard:
    """Remembers the loaded network's error on anchors, and what it says of the people held out."""

    def __init__(self, loaded: KeypointNetwork, anchors: PersonBatch, config: AdaptConfig) -> None:
        self.config = config
        self._loaded, self._anchors = loaded, anchors
        self._anchor_error_m = anchor_error(loaded, anchors)
        self._holdout: PersonBatch | None = None

    def renew(self, held_out: Sequence[Tracklet]) -> None:
        """Take other people to judge by, with what the teacher said of them: one pair of frames of each."""
        self._holdout = self._pairs(held_out) if len(held_out) >= LEAST_HELD_OUT else None

    def judge(self, candidate: KeypointNetwork, in_use: KeypointNetwork) -> Verdict:
        """Compare with the loaded network (anchors, drift), and with it and the one in use on people held out."""
        if self._holdout is None:
            return Verdict(False, f"fewer than {LEAST_HELD_OUT} tracklets are held out to judge by", 0.0)
        drift_m = self.drift_m(candidate)
        reason = self.objection(candidate) or self._worse(candidate, in_use) or self._strayed(drift_m)
        return Verdict(not reason, reason, drift_m)

    def objection(self, candidate: KeypointNetwork) -> str:
        """What speaks against a network whoever is held out; empty: nothing."""
        if not finite(candidate):
            return "weights that are not finite"
        error_m = anchor_error(candidate, self._anchors)
        if error_m <= self._anchor_error_m * (1 + self.config.max_anchor_growth):
            return ""
        return f"error on anchors {100 * error_m:.2f} cm, as loaded {100 * self._anchor_error_m:.2f} cm"

    def drift_m(self, network: KeypointNetwork) -> float:
        """Mean distance of its keypoints from the loaded network's, of people held out; 0 while there are too few."""
        if self._holdout is None:
            return 0.0
        here, there = (_keypoints(one, self._holdout) for one in (network, self._loaded))
        return float((here - there).norm(dim=-1).mean())

    def _worse(self, candidate: KeypointNetwork, in_use: KeypointNetwork) -> str:
        """Small losses must not add up: the loaded network is a bound too."""
        assert self._holdout is not None
        loss, *before = (holdout_loss(one, self._holdout) for one in (candidate, in_use, self._loaded))
        if loss <= min(before) * (1 + self.config.max_holdout_growth):
            return ""
        return f"loss on people held out {100 * loss:.2f} cm, before {100 * min(before):.2f} cm"

    def _strayed(self, drift_m: float) -> str:
        if drift_m <= self.config.max_drift_m:
            return ""
        return f"keypoints {100 * drift_m:.1f} cm from those of the loaded network"

    @torch.no_grad()
    def _pairs(self, held_out: Sequence[Tracklet]) -> PersonBatch:
        people = unpack(held_out).to(self._anchors.points.device)
        starts = [one.frames_with_next for one in held_out]
        frames = torch.tensor([start[len(start) // 2] for start in starts], device=people.points.device)
        return frame_pairs(people, torch.arange(len(people), device=frames.device), frames)


def finite(network: KeypointNetwork) -> bool:
    """Whether every weight is a number."""
    return all(bool(torch.isfinite(value).all()) for value in network.state_dict().values())


@torch.no_grad()
def anchor_error(network: KeypointNetwork, anchors: PersonBatch) -> float:
    """Mean keypoint error (m) where the truth is known."""
    errors = []
    for rows in torch.split(anchors.mask.sum(1).argsort(stable=True), _SIZE):
        batch = anchors.rows(rows)
        said = network.predict(batch).keypoints
        errors.append((said - batch.required("keypoints")).norm(dim=-1).mean(1))
    return float(torch.cat(errors).mean())


@torch.no_grad()
def holdout_loss(network: KeypointNetwork, people: PersonBatch) -> float:
    """Disagreement with the teacher and with the flow, and limbs that change or differ from left to right; m."""
    said, frames = _keypoints(network, people), people.flat()
    origins = people.required("origins")
    first, second = said[:, 0], said[:, 1] + (origins[:, 1] - origins[:, 0])[:, None]
    labels, sure = frames.required("keypoints"), frames.required("confidence")
    taught = teacher_loss(said.flatten(0, 1), labels, sure, frames.keypoint_mask)
    limbs = bone_length_loss(first, bone_lengths(second)) + left_right_loss(first)
    return float(taught + limbs + _flow_loss(people.frame(0), first, second))


def _flow_loss(here: PersonBatch, first: Float[Tensor, "b 14 3"], second: Float[Tensor, "b 14 3"]) -> Float[Tensor, ""]:
    parts = torch.nn.functional.one_hot(here.required("parts"), NUM_PARTS).to(here.points.dtype) * here.mask[..., None]
    flow = here.required("flow")
    return flow_loss(first, second, here.points, flow, here.mask, parts, confidence=here.flow_confidence)


@torch.no_grad()
def _keypoints(network: KeypointNetwork, people: PersonBatch) -> Float[Tensor, "b 2 14 3"]:
    keypoints: Tensor = network.predict(people.flat()).keypoints
    return keypoints.view(len(people), 2, *keypoints.shape[1:])
