"""What `gckpl benchmark waymo` measures: labelled people of others' sets, by the Waymo Open Dataset's metrics.

Crops are cut by the true boxes, as the published figures are; whoever has no point in the box is missed. MPJPE, its
matched kind (Hungarian, names aside), PEM with C = 0.25 m, OKS and PCK are those of gckpl_ros.evaluate.metrics. The
second table is the field's: fine-tuning by share of the labels, from nothing and from a network that never saw one.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
import torch

from gckpl_ros.batch import PersonBatch
from gckpl_ros.errors import InputError
from gckpl_ros.estimate.checkpoint import load_network
from gckpl_ros.estimate.network import KeypointNetwork
from gckpl_ros.estimate.registry import build
from gckpl_ros.evaluate.metrics import OKS_THRESHOLDS, Errors, box_scale, error_table, oks, oks_ap, pck_box, pem
from gckpl_training.data.people import labelled_shards
from gckpl_training.data.sequences import Sequences
from gckpl_training.learn.finetune import Finetune, FinetuneConfig
from gckpl_training.learn.validate import predict
from gckpl_training.simulate.people import labelled_crops

SHARES: Final = (0.0, 0.01, 0.1, 1.0)
PUBLISHED: Final[Mapping[str, tuple[float, float, float, float]]] = {
    "GC-KPL (CVPR 2023)": (17.70, 18.52, 15.10, 10.10),
    "ray-cast pre-training, placed as the target's people": (15.54, 9.01, 7.22, 5.98),
    "HuLiGen": (10.79, 8.43, 6.84, 5.85),
}
"""MPJPE (cm) on Waymo's val at these shares; of GC-KPL the matched one without labels."""
STEPS, SMALL_STEPS = 2000, 4
BATCH: Final = 256


def waymo_result(people: Path | None = None, weights: str = "", small: bool = False) -> dict[str, Any]:
    """Both tables of the person sequences in ``people``/train and /val; raises InputError without labels there."""
    if people is None:
        raise InputError("waymo: give converted people with --people FOLDER, train and val in it (docs/data.md)")
    held_out = _Labelled(people / "val")
    names = [weights] if weights else ["small", "base"]
    rows: list[dict[str, Any]] = []
    for name in names:
        rows.append({"table": "metrics", "network": Path(name).stem, **held_out.measure(load_network(name))})
    rows += _by_labels(people / "train", held_out, weights or "small", SMALL_STEPS if small else STEPS)
    return {"rows": rows, "published_cm": {name: list(values) for name, values in PUBLISHED.items()}}


class _Labelled:
    """The labelled people of a set: those with points as the network takes them, and how many have none."""

    def __init__(self, folder: Path) -> None:
        shards = Sequences.join(labelled_shards(folder))
        seen = shards.points_of_frames > 0
        known = shards["keypoint_mask"] if "keypoint_mask" in shards else np.isfinite(shards["keypoints"]).all(-1)
        self.missed, self.missed_keypoints = int((~seen).sum()), int(known[~seen].sum())
        self.crops = labelled_crops(shards.batch())
        if self.crops.boxes is None or not len(self.crops):
            raise InputError(f"{folder} has no labelled people with boxes and points")

    def measure(self, network: KeypointNetwork) -> dict[str, Any]:
        """Errors in cm, shares in percent."""
        keypoints, _, _, _ = predict(network, [self.crops.rows(rows) for rows in self._chunks()])
        truth = self.crops.required("keypoints").numpy().copy()
        if self.crops.keypoint_mask is not None:
            truth[~self.crops.keypoint_mask.numpy()] = np.nan
        errors, scales = Errors.of(keypoints, truth), box_scale(self.crops.required("boxes")[:, 3:6].numpy())
        table, similarities = error_table(errors), oks(errors.plain, scales)
        groups = {f"{name}_cm": _cm(value) for name, value in table["per_group"].items()}
        within = {f"pck_{t:g}_%": round(100 * share, 1) for t, share in pck_box(errors.plain, scales).items()}
        return {
            "people": len(truth),
            "missed": self.missed,
            "mpjpe_cm": _cm(table["mpjpe"]),
            "matched_cm": _cm(table["mpjpe_matched"]),
            "pa_mpjpe_cm": _cm(table["pa_mpjpe"]),
            "pem_cm": _cm(pem(errors.plain, self.missed_keypoints)),
            "oks_ap_%": round(100 * oks_ap(similarities, self.missed), 1),
            **{f"oks_{t:g}_%": round(100 * float((similarities > t).mean()), 1) for t in OKS_THRESHOLDS[::5]},
            **within,
            **groups,
        }

    def _chunks(self) -> Iterator[torch.Tensor]:
        yield from torch.arange(len(self.crops)).split(BATCH)


def _by_labels(folder: Path, held_out: _Labelled, weights: str, steps: int) -> Iterator[dict[str, Any]]:
    """Fine-tuned on the first people of a fixed order, so that fewer labels are some of more."""
    shards = Sequences.join(labelled_shards(folder))
    shards = shards.rows(np.random.default_rng(0).permutation(len(shards)))
    trained = load_network(weights)
    for start in ("random", Path(weights).stem):
        for share in SHARES:
            network = trained if start != "random" else build(trained.config)
            labels = max(1, round(share * len(shards))) if share else 0
            if labels:
                people = shards.rows(np.arange(labels)).batch()
                network = _finetuned(network, people, steps)
            measured = held_out.measure(network.eval()) if labels or start != "random" else {}
            figures = {name: measured.get(name) for name in ("mpjpe_cm", "matched_cm", "pem_cm", "oks_ap_%")}
            yield {"table": "labels", "start": start, "labels_%": 100 * share, "people": labels, **figures}


def _finetuned(start: KeypointNetwork, people: PersonBatch, steps: int) -> KeypointNetwork:
    """The averaged network after so many steps."""
    with TemporaryDirectory() as folder:
        config = FinetuneConfig(out=Path(folder), steps=steps, warmup_steps=min(50, steps // 4))
        run = Finetune(config, replace(people, boxes=None, ids=None), start)
        run.run()
    return run.averaged


def _cm(metres: float | None) -> float | None:
    return None if metres is None or np.isnan(metres) else round(100 * float(metres), 2)
