"""Trains pose priors: what is common to recorded poses and those made by rule, without any point cloud."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import roma
import torch
from jaxtyping import Float
from torch import Tensor, nn

from gckpl_ros.body.kinematics import mirror_pose
from gckpl_ros.body.priors import GaussianMixture, PoseDiffusion, PoseNdf, VPoser, save_prior
from gckpl_ros.body.priors.files import LEARNT
from gckpl_ros.body.priors.networks import along, distance, quaternions, schedule
from gckpl_ros.body.priors.prior import SIZE, Pose, rotations, vectors
from gckpl_training.learn.run import Run, RunConfig
from gckpl_training.motion.files import read_motion
from gckpl_training.motion.library import sample_poses

# Of the poses so many are made by rule, without recorded ones so many in all; frames of clips are this far apart, s.
MADE: Final = 0.2
MADE_ALONE: Final = 20_000
APART_S: Final = 1 / 15
# Least standard deviation of a coordinate, rad: some joints never move in recordings.
LEAST_RAD: Final = 0.03
START_RAD: Final = 0.3


@dataclass(frozen=True)
class PriorConfig(RunConfig):
    """Train a pose prior; resumes where a former run in ``out`` stopped."""

    kind: Literal["gmm", "vposer", "ndf", "diffusion"] = "gmm"
    """gmm: mixture of Gaussians, a step is one of EM on all poses; the others are networks."""
    out: Path = Path("runs/prior")
    mocap: Path | None = None
    """Motions (file or folder), of which split train is used; None: poses made by rule alone."""
    steps: int = 6000
    batch_size: int = 512
    learning_rate: float = 1e-3
    checkpoint_every_s: float = 600.0


class PriorTraining(Run):
    """A training run of one prior."""

    stage = "prior"
    config: PriorConfig

    def __init__(self, config: PriorConfig) -> None:
        """Raises InputError where the motions cannot be read."""
        super().__init__(config)
        self.prior = LEARNT[config.kind]().to(self.device)
        self.generators["rows"] = self.generator = torch.Generator().manual_seed(config.seed)
        self.parts["prior"] = self.prior
        if parameters := list(self.prior.parameters()):
            self.optimizer = torch.optim.AdamW(parameters, lr=config.learning_rate, weight_decay=0.0)
            self.parts["optimizer"] = self.optimizer

    def begin(self) -> None:
        """Read the poses; standardise them, start the mixture, or measure distances, as the kind needs it."""
        generator = torch.Generator().manual_seed(self.config.seed)
        self.poses = training_poses(self.config.mocap, generator).to(self.device)
        match self.prior:
            case GaussianMixture() as mixture if self.step == 0:
                start_mixture(mixture, self.poses.flatten(1), generator)
            case PoseDiffusion() as diffusion:
                diffusion.mean.copy_(self.poses.flatten(1).mean(0))
                diffusion.deviation.copy_(self.poses.flatten(1).std(0).clamp_min(LEAST_RAD))
            case PoseNdf():
                self.away, self.far = noised_pairs(self.poses, NDF_PAIRS, generator)
            case _:
                pass

    def write(self, path: Path) -> None:
        """Write the prior."""
        save_prior(path, self.config.kind, self.prior, {**self.provenance(), "poses": str(len(self.poses))})

    def train_step(self) -> dict[str, float]:
        """One step of EM, or of Adam on a batch; losses by name."""
        if isinstance(self.prior, GaussianMixture):
            return {"total": maximise(self.prior, self.poses.flatten(1))}
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * self.config.schedule(self.step)
        losses = self._losses()
        total = torch.stack(list(losses.values())).sum()
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_(self.prior.parameters(), 1.0)
        self.optimizer.step()
        return {name: float(loss.detach()) for name, loss in losses.items()} | {"total": float(total.detach())}

    def _losses(self) -> dict[str, Tensor]:
        size, generator = self.config.batch_size, self.generator
        poses = self.poses[torch.randint(len(self.poses), (size,), generator=generator)]
        match self.prior:
            case VPoser() as vposer:
                noise = torch.randn(size, vposer.latent, generator=generator).to(self.device)
                return vposer_losses(vposer, rotations(poses), noise)
            case PoseNdf() as ndf:
                rows = torch.randint(len(self.away), (size,), generator=generator)
                return ndf_losses(ndf, self.away[rows], self.far[rows], quaternions(poses[: size // 4]))
            case PoseDiffusion() as diffusion:
                time = 1e-3 + (1 - 1e-3) * torch.rand(size, generator=generator).to(self.device) ** 2
                noise = torch.randn(size, SIZE, generator=generator).to(self.device)
                return {"noise": diffusion_loss(diffusion, diffusion.standard(poses), time, noise)}
        raise AssertionError(f"{self.config.kind} is not trained by gradients")


def training_poses(motions: Path | None, generator: torch.Generator) -> Pose:
    """Recorded poses of split train, as they are and mirrored, and poses made by rule."""
    recorded = [torch.zeros(0, 22, 3, 3)]
    for clip in read_motion(motions) if motions else []:
        if clip.split == "train":
            recorded.append(clip.pose[:: max(1, round(clip.fps * APART_S))])
    found = torch.cat(recorded)
    made = round(2 * len(found) * MADE / (1 - MADE)) or MADE_ALONE
    return vectors(torch.cat([found, mirror_pose(found), sample_poses(made, generator)])[:, 1:])


# The mixture: k-means' first step from random poses, then expectation and maximisation.


def start_mixture(mixture: GaussianMixture, poses: Float[Tensor, "n s"], generator: torch.Generator) -> None:
    """Components around random poses, round, much narrower than all poses together."""
    chosen = torch.randperm(len(poses), generator=generator)[: len(mixture.weights)]
    mixture.means.copy_(poses[chosen])
    mixture.factors.copy_(torch.eye(SIZE).expand_as(mixture.factors) / START_RAD)


def maximise(mixture: GaussianMixture, poses: Float[Tensor, "n s"]) -> float:
    """One step of EM, in place; returns the mean of -log p (nats) before it."""
    with torch.no_grad():
        joint = -mixture.energies(poses.unflatten(1, (-1, 3)))
        surprise = -joint.logsumexp(1).mean() + mixture.offsets().min() + SIZE / 2 * math.log(2 * math.pi)
        share = joint.softmax(1)
        mass = share.sum(0)
        mixture.weights.copy_(mass / mass.sum())
        mixture.means.copy_(share.T @ poses / mass[:, None])
        for k, (own, mean) in enumerate(zip(share.T, mixture.means, strict=True)):
            away = poses - mean
            mixture.factors[k] = _factor((own[:, None] * away).T @ away / mass[k])
    return float(surprise)


def _factor(covariance: Float[Tensor, "s s"]) -> Float[Tensor, "s s"]:
    """L of the precision L L^T; no direction narrower than LEAST_RAD."""
    padded = covariance + LEAST_RAD**2 * torch.eye(len(covariance)).to(covariance)
    found: Tensor = torch.linalg.cholesky(torch.linalg.inv(padded.double())).to(covariance)
    return found


# VPoser: c1 KL + c2 |R - R'|^2 + c3 |R' R'^T - I|^2 + c4 |det R' - 1| + c5 |phi|^2.

_VPOSER: Final = {"divergence": 5e-3, "rotation": 1.0, "orthogonal": 0.2, "determinant": 0.2, "weights": 1e-5}


def vposer_losses(
    network: VPoser, rotation: Float[Tensor, "n 21 3 3"], noise: Float[Tensor, "n z"]
) -> dict[str, Tensor]:
    """The five losses, weighted, each the mean of all poses of its sum over joints."""
    mean, log_variance = network.encode(rotation)
    found = network.decode(mean + (log_variance / 2).exp() * noise)
    eye = torch.eye(3).to(found)
    losses = {
        "divergence": (log_variance.exp() + mean.square() - 1 - log_variance).sum(1).mean() / 2,
        "rotation": (rotation - found).square().flatten(1).sum(1).mean(),
        "orthogonal": (found @ found.mT - eye).square().flatten(1).sum(1).mean(),
        "determinant": (determinant(found) - 1).abs().sum(1).mean(),
        "weights": torch.stack([value.square().sum() for value in network.parameters()]).sum(),
    }
    return {name: _VPOSER[name] * loss for name, loss in losses.items()}


def determinant(matrix: Float[Tensor, "*n 3 3"]) -> Float[Tensor, "*n"]:
    """Of 3 x 3 matrices: a . (b x c), which is quicker to differentiate than a decomposition."""
    return (matrix[..., 0, :] * torch.linalg.cross(matrix[..., 1, :], matrix[..., 2, :])).sum(-1)


# Pose-NDF: |f - d| + eikonal (|grad f| - 1)^2 where d is not 0.

NDF_PAIRS: Final = 60_000
_EIKONAL: Final = 0.1
# Noise (rad) from the least to the most, evenly in its logarithm; the nearest poses whose distances are averaged.
_LEAST_NOISE, _MOST_NOISE = 0.02, 1.0
_NEAREST: Final = 3


def noised_pairs(
    poses: Pose, count: int, generator: torch.Generator
) -> tuple[Float[Tensor, "n 21 4"], Float[Tensor, " n"]]:
    """Quaternions of noised poses and their distances from the recorded ones: the mean of the nearest few.

    Of half the poses only some joints are noised. Candidates are found by the quaternions' inner products.
    """
    known = quaternions(poses)
    flat = known.flatten(1)
    found, far = [], []
    for rows in torch.randint(len(poses), (count,), generator=generator).split(1000):
        n = len(rows)
        ratio = math.log(_MOST_NOISE / _LEAST_NOISE)
        size = _LEAST_NOISE * (ratio * torch.rand(n, 1, 1, generator=generator)).exp()
        some = torch.rand(n, 21, 1, generator=generator) < torch.where(
            torch.rand(n, 1, 1, generator=generator) < 0.5, 1.0, 0.3
        )
        noise = (size * some * torch.randn(n, 21, 3, generator=generator)).to(poses)
        noised = quaternions(vectors(rotations(poses[rows]) @ roma.rotvec_to_rotmat(noise)))
        candidates = (noised.flatten(1) @ flat.T).topk(20).indices
        distances = distance(noised[:, None], known[candidates])
        found.append(noised)
        far.append(distances.sort(1).values[:, :_NEAREST].mean(1))
    return torch.cat(found), torch.cat(far)


def ndf_losses(
    network: PoseNdf, away: Float[Tensor, "n 21 4"], far: Float[Tensor, " n"], known: Float[Tensor, "m 21 4"]
) -> dict[str, Tensor]:
    """Distances as they are: of noised poses, and 0 of known ones; slopes of 1 at the former, along the spheres."""
    at = away.detach().clone().requires_grad_()
    value = network(at)
    (slope,) = torch.autograd.grad(value.sum(), at, create_graph=True)
    steep = along(slope, at).flatten(1).norm(dim=1)
    return {
        "distance": (value - far).abs().mean() + network(known).abs().mean(),
        "eikonal": _EIKONAL * (steep - 1).square().mean(),
    }


# DPoser: the noise, told from x_t and t.


def diffusion_loss(
    network: PoseDiffusion, poses: Float[Tensor, "n s"], time: Float[Tensor, " n"], noise: Float[Tensor, "n s"]
) -> Tensor:
    """Mean over poses of |e - e(a_t x + s_t e, t)|^2, of standardised poses."""
    scale, spread = schedule(time)
    return (network(scale[:, None] * poses + spread[:, None] * noise, time) - noise).square().sum(1).mean()
