"""Trains the temporal teacher: simulated people who pass, seen by a fixed keypoint network whose tokens it reads.

The keypoint network's answers are taken once, so a step costs only the temporal network itself.
"""

import json
import time
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path

import torch
from rich.progress import Progress
from torch import Tensor, nn

from gckpl_ros.estimate.checkpoint import fingerprint, load_network
from gckpl_ros.estimate.estimator import choose_device
from gckpl_ros.estimate.network import KeypointNetwork
from gckpl_ros.learn.teachers import estimate_with_tokens
from gckpl_ros.learn.temporal import Glimpses, TemporalConfig, TemporalNetwork, save_temporal
from gckpl_training.learn.stage1 import commit
from gckpl_training.motion.files import read_mocap
from gckpl_training.motion.library import MotionLibrary, ProceduralMotions
from gckpl_training.simulate.passers import LabelledTracklets, PasserConfig, PasserSource

# The settings of the temporal teacher's training; kept beside the weights of every run.


@dataclass(frozen=True)
class TemporalTrainingConfig:
    """Train the temporal network that teaches in Stage II; resumes where a former run in ``out`` stopped."""

    out: Path = Path("runs/temporal")
    """Folder of this run: the simulated people, checkpoints, weights."""
    weights: str = ""
    """Weights of the keypoint network whose tokens it reads; empty: those that ship."""
    mocap: Path | None = None
    """Packed motion capture (.npz), of which split train is used; None: procedural motion only."""
    people: int = 6000
    steps: int = 4000
    batch_size: int = 24
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    miss: float = 0.1
    """Chance that a frame is hidden from the network in training."""
    device: str = "auto"
    seed: int = 0
    checkpoint_every_s: float = 120.0
    passers: PasserConfig = field(default_factory=PasserConfig)
    network: TemporalConfig = field(default_factory=TemporalConfig)

    def schedule(self, step: int) -> float:
        """Factor of the learning rate at a step: warm-up, constant, linear decay over the second half."""
        return min((step + 1) / 50, 1.0, 2 * (1 - step / self.steps))


class TemporalTraining:
    """A training run: everything that a checkpoint holds, and the steps that change it."""

    def __init__(self, config: TemporalTrainingConfig, keypoint_network: KeypointNetwork | None = None) -> None:
        """The keypoint network is read as the configuration says unless it is given."""
        self.keypoint_network = keypoint_network or load_network(config.weights)
        torch.manual_seed(config.seed)
        self.config, self.step = config, 0
        self.device = choose_device(config.device)
        shape = replace(config.network, tokens=self.keypoint_network.token_width)
        self.network = TemporalNetwork(shape, reads=fingerprint(self.keypoint_network)).to(self.device)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self.generator = torch.Generator().manual_seed(config.seed)

    def run(self) -> TemporalNetwork:
        """Simulate people, let the keypoint network see them, and learn to correct it over time."""
        config = self.config
        config.out.mkdir(parents=True, exist_ok=True)
        (config.out / "config.json").write_text(json.dumps(asdict(config), indent=1, default=str) + "\n")
        self.resume()
        seen = watched(self.keypoint_network, simulated(config))
        with Progress(transient=True) as progress, (config.out / "errors.jsonl").open("a", buffering=1) as log:
            bar, saved = progress.add_task("temporal", total=config.steps), time.monotonic()
            while self.step < config.steps:
                error = self.train_step(seen)
                progress.update(bar, completed=self.step, description=f"temporal, error {100 * error:.1f} cm")
                if self.step % 50 == 0:
                    log.write(json.dumps({"step": self.step, "error_m": error}) + "\n")
                if self.step == config.steps or time.monotonic() - saved > config.checkpoint_every_s:
                    self.save()
                    saved = time.monotonic()
        return self.network.eval()

    def train_step(self, seen: "Watched") -> float:
        """One step; returns the mean error (m) of the frames that the network saw."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * self.config.schedule(self.step)
        rows = torch.randint(len(seen.truth), (self.config.batch_size,), generator=self.generator)
        shown = seen.frames[rows]
        shown = shown & (torch.rand(shown.shape, generator=self.generator) >= self.config.miss)
        rows, shown = rows[shown.any(1)], shown[shown.any(1)]
        glimpses = Glimpses(seen.tokens[rows].float(), seen.keypoints[rows], seen.confidence[rows])
        said = self.network(glimpses, shown, seen.origins[rows], seen.views[rows])
        error = (said - seen.truth[rows]).norm(dim=-1)[shown].mean()
        self.optimizer.zero_grad(set_to_none=True)
        error.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        return float(error.detach())

    def save(self) -> None:
        """Write weights and ``last.pt``: beside, then rename, so that a killed run can resume."""
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        provenance = {"step": str(self.step), "seed": str(self.config.seed), "commit": commit(), "date": now}
        save_temporal(self.config.out / "final.safetensors", self.network, provenance)
        held = {name: getattr(self, name).state_dict() for name in ("network", "optimizer")}
        beside = self.config.out / ".last.pt.tmp"
        torch.save(held | {"step": self.step, "generator": self.generator.get_state()}, beside)
        beside.replace(self.config.out / "last.pt")

    def resume(self) -> None:
        """Continue from ``last.pt`` where there is one."""
        path = self.config.out / "last.pt"
        if path.exists():
            held = torch.load(path, map_location=self.device, weights_only=True)
            for name in ("network", "optimizer"):
                getattr(self, name).load_state_dict(held[name])
            self.step = held["step"]
            self.generator.set_state(held["generator"].cpu())


@dataclass(frozen=True)
class Watched:
    """What a keypoint network says of simulated people, and the truth (m, relative to each frame's origin)."""

    tokens: Tensor
    keypoints: Tensor
    confidence: Tensor
    frames: Tensor
    origins: Tensor
    views: Tensor
    truth: Tensor


def simulated(config: TemporalTrainingConfig) -> LabelledTracklets:
    """The people to learn from: motion capture where there is some, otherwise procedural motion."""
    frames, frame_s = config.passers.frames, config.passers.frame_s
    clips = read_mocap(config.mocap, "train") if config.mocap else []
    long_enough = [clip for clip in clips if len(clip) / clip.fps > frames * frame_s]
    motions = MotionLibrary(long_enough) if long_enough else ProceduralMotions()
    return PasserSource(config.passers, config.seed, motions).draw(config.people)


def watched(network: KeypointNetwork, people: LabelledTracklets) -> Watched:
    """Tokens in half precision: they are the most of it."""
    said, tokens = estimate_with_tokens(network, people.tracklets)
    t = people.tracklets
    return Watched(tokens.half(), said.keypoints, said.confidence, t.seen, t.origins, t.views, people.keypoints)
