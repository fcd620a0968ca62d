"""Learnt pose priors: VPoser (a variational auto-encoder), Pose-NDF (distance to the poses), DPoser (diffusion)."""

from typing import Final

import roma
import torch
from jaxtyping import Float
from torch import Tensor, nn

from gckpl_ros.body.kinematics import PARENTS, levels
from gckpl_ros.body.priors.prior import BODY_JOINTS, SIZE, JointLimits, Pose, PosePrior, joints_of, rotations, vectors

_MATRICES: Final = 9 * BODY_JOINTS


class VPoser(PosePrior):
    """VPoser (Pavlakos et al., CVPR 2019): q(z | R) over rotation matrices, z in R^32, R' = D(z) of 9 free numbers.

    E = |mu|^2 / 2 + |R - R'|^2 / (4 s^2): the second term, which SMPLify-X does not need as it fits z itself, is half
    the squared angles between pose and reconstruction, in units of s.
    """

    latent: Final = 32
    spread_rad: Final = 0.15

    def __init__(self, width: int = 192) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Linear(_MATRICES, width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Linear(width, 2 * self.latent),
        )
        self.decoder = nn.Sequential(
            nn.Linear(self.latent, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, _MATRICES)
        )

    def encode(self, rotation: Float[Tensor, "n 21 3 3"]) -> tuple[Float[Tensor, "n z"], Float[Tensor, "n z"]]:
        """Mean and logarithm of the variance of z."""
        mean, log_variance = self.encoder(rotation.flatten(1)).chunk(2, 1)
        return mean, log_variance

    def decode(self, z: Float[Tensor, "n z"]) -> Float[Tensor, "n 21 3 3"]:
        """Nearly rotations: training makes them so, nothing forces them."""
        found: Tensor = self.decoder(z).unflatten(1, (BODY_JOINTS, 3, 3))
        return found

    def energy(self, pose: Pose, progress: float = 1.0) -> Float[Tensor, " n"]:
        """How far z is from its middle, and the pose from what z says."""
        rotation = rotations(pose)
        mean, _ = self.encode(rotation)
        missed = (rotation - self.decode(mean)).square().flatten(1).sum(1)
        return mean.square().sum(1) / 2 + missed / (4 * self.spread_rad**2)

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator) -> Pose:
        """Decoded normal z."""
        return self._vectors(torch.randn(n, self.latent, generator=generator))

    @torch.no_grad()
    def project(self, pose: Pose) -> Pose:
        """There and back."""
        return self._vectors(self.encode(rotations(pose))[0])

    def _vectors(self, z: Float[Tensor, "n z"]) -> Pose:
        return vectors(roma.special_procrustes(self.decode(z)))


# The tree below the pelvis, joints counted from 0; what one joint tells those that hang on it.
_ABOVE: Final = [max(parent, 0) - 1 for parent in PARENTS[1:]]
_LEVELS: Final = [[joint - 1 for joint in level] for level in levels(PARENTS)]
_TOLD: Final = 6


class PoseNdf(PosePrior):
    """Pose-NDF (Tiwari et al., ECCV 2022): plausible poses are {f = 0}, f the distance to them, >= 0.

    v_k = f_k(quaternion_k, v_parent(k)) along the tree, all v_k together into one network. E = f^2 / (2 s^2). Distances
    are of `distance`, so that |grad f| = 1 by the quaternions.
    """

    spread: Final = 0.1
    rounds: Final = 20

    def __init__(self, width: int = 256, inner: int = 16) -> None:
        super().__init__()
        self.into = nn.Parameter(torch.randn(BODY_JOINTS, 4 + _TOLD, inner) * (4 + _TOLD) ** -0.5)
        self.bias = nn.Parameter(torch.zeros(BODY_JOINTS, inner))
        self.out = nn.Parameter(torch.randn(BODY_JOINTS, inner, _TOLD) * inner**-0.5)
        self.head = nn.Sequential(
            nn.Linear(_TOLD * BODY_JOINTS, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(),
            nn.Linear(width, width // 2), nn.SiLU(), nn.Linear(width // 2, 64), nn.SiLU(), nn.Linear(64, 1),
        )  # fmt: skip

    def forward(self, quaternion: Float[Tensor, "n 21 4"]) -> Float[Tensor, " n"]:
        """f of unit quaternions with w >= 0 (xyzw)."""
        told = quaternion.new_zeros(len(quaternion), BODY_JOINTS, _TOLD)
        for level in _LEVELS:
            above = [_ABOVE[joint] for joint in level]
            heard = torch.zeros_like(told[:, level]) if min(above) < 0 else told[:, above]
            seen = torch.cat([quaternion[:, level], heard], -1)
            hidden = nn.functional.silu(torch.einsum("njs,jst->njt", seen, self.into[level]) + self.bias[level])
            told = told.index_copy(
                1, torch.tensor(level, device=told.device), torch.einsum("njs,jst->njt", hidden, self.out[level])
            )
        found: Tensor = nn.functional.softplus(self.head(told.flatten(1))[:, 0], beta=20)
        return found

    def energy(self, pose: Pose, progress: float = 1.0) -> Float[Tensor, " n"]:
        """Half the square of the distance, in units of the spread."""
        found: Tensor = self(quaternions(pose)).square() / (2 * self.spread**2)
        return found

    def sample(self, n: int, generator: torch.Generator) -> Pose:
        """Poses within the joints' limits, projected."""
        return self.project(JointLimits().sample(n, generator).to(self.bias))

    def project(self, pose: Pose) -> Pose:
        """theta <- theta - f grad f, some times; the quaternions made unit again."""
        at = quaternions(pose).detach()
        for _ in range(self.rounds):
            with torch.inference_mode(False), torch.enable_grad():
                free = at.clone().requires_grad_()
                away = self(free)
                (slope,) = torch.autograd.grad(away.sum(), free)
            slope = along(slope, at)
            size = (
                slope.flatten(1).norm(dim=1).clamp_min(1.0)
            )  # f is 1-Lipschitz; where it learnt otherwise, go less far
            at = upper(nn.functional.normalize(at - (away.detach() / size)[:, None, None] * slope, dim=-1))
        found: Tensor = roma.unitquat_to_rotvec(at)
        return found


def quaternions(pose: Pose) -> Float[Tensor, "n 21 4"]:
    """Unit quaternions (xyzw) with w >= 0."""
    return upper(roma.rotvec_to_unitquat(pose))


def upper(quaternion: Float[Tensor, "n j 4"]) -> Float[Tensor, "n j 4"]:
    """Of q and -q, which turn alike, the one with w >= 0."""
    return torch.where(quaternion[..., 3:] < 0, -quaternion, quaternion)


def along(slope: Float[Tensor, "n j 4"], at: Float[Tensor, "n j 4"]) -> Float[Tensor, "n j 4"]:
    """The part of a gradient that lies along the unit quaternions' sphere."""
    return slope - (slope * at).sum(-1, keepdim=True) * at


def distance(a: Float[Tensor, "*n 21 4"], b: Float[Tensor, "*n 21 4"]) -> Float[Tensor, "*n"]:
    """sqrt(sum_i w_i / 2 arccos(|a_i . b_i|)^2) with w_i = 2: half angles between rotations, as one vector (rad).

    With these weights it is the length of the way on the quaternions' spheres, which the eikonal equation is about.
    """
    cosine = (a * b).sum(-1).abs().clamp(max=1.0)
    return torch.arccos(cosine).square().sum(-1).sqrt()


class PoseDiffusion(PosePrior):
    """DPoser (Lu et al., 2023): x_t = a_t x + s_t e of standardised poses x; a network tells e from x_t and t.

    One-step denoising: x' = (x_t - s_t e(x_t, t)) / a_t, E = |x - x'|^2 / (2 s_t^2), x' held fixed, mean of fixed noise
    both ways. Divided so, its gradient is that of -log p for Gaussian p (there x' = a_t x_t, and 1 - a_t^2 = s_t^2).
    Times are truncated: from 0.2 where a fit begins to 0.05 where it ends.
    """

    times: Final = (0.2, 0.05)
    draws: Final = 2
    mean: Tensor
    deviation: Tensor

    def __init__(self, width: int = 224, blocks: int = 3) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(SIZE))
        self.register_buffer("deviation", torch.ones(SIZE))
        self.enter = nn.Linear(SIZE, width)
        self.when = nn.Linear(2 * len(_FREQUENCIES), width)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.SiLU(), nn.Linear(width, width)) for _ in range(blocks)
        )
        self.leave = nn.Linear(width, SIZE)

    def forward(self, noised: Float[Tensor, "n s"], time: Float[Tensor, " n"]) -> Float[Tensor, "n s"]:
        """The noise e in x_t."""
        phase = time[:, None] * time.new_tensor(_FREQUENCIES)
        moment = self.when(torch.cat([phase.sin(), phase.cos()], 1))
        hidden = self.enter(noised)
        for block in self.blocks:
            hidden = hidden + block(hidden + moment)
        found: Tensor = self.leave(nn.functional.silu(hidden))
        return found

    def denoised(self, noised: Float[Tensor, "n s"], time: Float[Tensor, " n"]) -> Float[Tensor, "n s"]:
        """x' in one step."""
        scale, noise = schedule(time)
        found: Tensor = (noised - noise[:, None] * self(noised, time)) / scale[:, None]
        return found

    def standard(self, pose: Pose) -> Float[Tensor, "n s"]:
        """Poses with mean 0 and variance 1."""
        return (pose.flatten(1) - self.mean) / self.deviation

    def plain(self, standard: Float[Tensor, "n s"]) -> Pose:
        """Rotation vectors again."""
        return joints_of(standard * self.deviation + self.mean)

    def energy(self, pose: Pose, progress: float = 1.0) -> Float[Tensor, " n"]:
        """Half the squared way to the denoised pose; its gradient is that way, not the derivative of its length."""
        first, last = self.times
        time = torch.full((len(pose),), first + (last - first) * progress).to(pose)
        scale, noise = schedule(time)
        at = self.standard(pose)
        generator = torch.Generator().manual_seed(0)
        energy = torch.zeros_like(time)
        for _ in range(self.draws // 2):
            draw = noise[:, None] * torch.randn(SIZE, generator=generator).to(at)
            for way in (draw, -draw):
                with torch.no_grad():
                    aim = self.denoised(scale[:, None] * at + way, time)
                energy = energy + (at - aim).square().sum(1) / (2 * noise**2)
        return energy / self.draws

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator, steps: int = 50) -> Pose:
        """From noise, along the deterministic way (DDIM)."""
        x = torch.randn(n, SIZE, generator=generator).to(self.mean)
        moments = torch.linspace(1.0, 0.0, steps + 1) ** 2  # smaller steps where little noise is left
        for now, then in zip(moments[:-1].tolist(), moments[1:].tolist(), strict=True):
            time = x.new_full((n,), now)
            clean = self.denoised(x, time)
            (scale, noise), (next_scale, next_noise) = schedule(time), schedule(x.new_full((n,), then))
            error = (x - scale[:, None] * clean) / noise[:, None]
            x = next_scale[:, None] * clean + next_noise[:, None] * error
        return self.plain(x)

    @torch.no_grad()
    def project(self, pose: Pose) -> Pose:
        """No coordinate farther than three deviations from the mean, then denoised in one step at the last time."""
        time = torch.full((len(pose),), self.times[1]).to(pose)
        return self.plain(self.denoised(schedule(time)[0][:, None] * self.standard(pose).clamp(-3, 3), time))


_FREQUENCIES: Final = tuple(float(2**power) for power in range(7))


def schedule(time: Float[Tensor, " n"]) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """a_t and s_t of the variance-preserving process with rates from 0.1 to 20 (Song et al., ICLR 2021)."""
    exponent = -0.25 * time.square() * 19.9 - 0.5 * time * 0.1
    return exponent.exp(), (1 - (2 * exponent).exp()).clamp_min(1e-12).sqrt()
