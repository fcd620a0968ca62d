"""What a pose prior is, and those without a network: none, joint limits, SMPLify's mixture of Gaussians.

A pose is SMPL's: rotation vectors (rad) of the 21 joints below the pelvis, relative to the joint above.
"""

from abc import ABC, abstractmethod
from functools import cache
from typing import Final

import roma
import torch
from jaxtyping import Float
from torch import Tensor, nn

from gckpl_ros.body.angles import LIMITS, pose_from_angles
from gckpl_ros.body.kinematics import JOINTS

BODY_JOINTS: Final = len(JOINTS) - 1
SIZE: Final = 3 * BODY_JOINTS
Pose = Float[Tensor, "n 21 3"]


class PosePrior(nn.Module, ABC):
    """Energy of poses, in nats where it stems from a probability; poses drawn; poses brought to plausible ones."""

    @abstractmethod
    def energy(self, pose: Pose, progress: float = 1.0) -> Float[Tensor, " n"]:
        """How implausible each pose is; ``progress`` 0..1 is how far the fit has come, for who looks closer later."""

    @abstractmethod
    def sample(self, n: int, generator: torch.Generator) -> Pose:
        """Poses at random."""

    @abstractmethod
    def project(self, pose: Pose) -> Pose:
        """A plausible pose near each one."""

    def gradient(self, pose: Pose, progress: float = 1.0) -> Pose:
        """Of the energy, by the rotation vectors."""
        with torch.inference_mode(False), torch.enable_grad():
            at = pose.detach().clone().requires_grad_()
            (gradient,) = torch.autograd.grad(self.energy(at, progress).sum(), at)
        return gradient

    def quadratic(self, pose: Pose, progress: float = 1.0) -> tuple[Float[Tensor, "n s"], Float[Tensor, "n s s"]]:
        """Gradient and curvature for a Gauss-Newton step: of E = r^2 / 2, where only r's gradient is known."""
        with torch.inference_mode(False), torch.enable_grad():
            at = pose.detach().clone().requires_grad_()
            energy = self.energy(at, progress)
            (gradient,) = torch.autograd.grad(energy.sum(), at)
        slope = gradient.flatten(1)
        return slope, slope[:, :, None] * slope[:, None] / (2 * energy.detach()).clamp_min(1e-6)[:, None, None]


def joints_of(flat: Float[Tensor, "n s"]) -> Pose:
    """A pose out of its 63 numbers."""
    return flat.view(len(flat), BODY_JOINTS, 3)


def rotations(pose: Pose) -> Float[Tensor, "n 21 3 3"]:
    """Rotation matrices of a pose."""
    found: Tensor = roma.rotvec_to_rotmat(pose)
    return found


def vectors(rotation: Float[Tensor, "n j 3 3"]) -> Float[Tensor, "n j 3"]:
    """Rotation vectors of matrices, no longer than pi."""
    found: Tensor = roma.rotmat_to_rotvec(rotation)
    return found


class NoPrior(PosePrior):
    """Every pose is as good as any other."""

    def energy(self, pose: Pose, progress: float = 1.0) -> Float[Tensor, " n"]:
        """Zero."""
        return 0 * pose.flatten(1).sum(1)

    def sample(self, n: int, generator: torch.Generator) -> Pose:
        """Uniform rotations of every joint."""
        quaternion = torch.nn.functional.normalize(torch.randn(n, BODY_JOINTS, 4, generator=generator), dim=-1)
        found: Tensor = roma.unitquat_to_rotvec(quaternion)
        return found

    def project(self, pose: Pose) -> Pose:
        """As they are."""
        return pose


# How far (rad) poses may go beyond the limits; range of joints that no anatomical angle turns: collars, feet, wrists.
_BEYOND_RAD: Final = 0.1
_UNNAMED_RAD: Final = 0.6


class JointLimits(PosePrior):
    """Rotation vectors within the box of all poses that keep the anatomical limits: E = |beyond|^2 / (2 (0.1 rad)^2).

    For joints of one axis, as knees, that is their range of motion exactly; for others somewhat more.
    """

    low: Tensor
    high: Tensor

    def __init__(self) -> None:
        super().__init__()
        low, high = _limits()
        self.register_buffer("low", low.clone())
        self.register_buffer("high", high.clone())

    def energy(self, pose: Pose, progress: float = 1.0) -> Float[Tensor, " n"]:
        """Half the squares of what is beyond the limits."""
        beyond = torch.relu(self.low - pose) + torch.relu(pose - self.high)
        return (beyond / _BEYOND_RAD).square().flatten(1).sum(1) / 2

    def sample(self, n: int, generator: torch.Generator) -> Pose:
        """Uniform within the box."""
        return self.low + (self.high - self.low) * torch.rand(n, BODY_JOINTS, 3, generator=generator)

    def project(self, pose: Pose) -> Pose:
        """The nearest rotation vectors within the box."""
        return pose.clamp(self.low, self.high)


@cache
def _limits() -> tuple[Float[Tensor, "21 3"], Float[Tensor, "21 3"]]:
    low, high = LIMITS.unbind(1)
    share = torch.rand(8192, len(LIMITS), generator=torch.Generator().manual_seed(0))
    share[:2] = torch.tensor([[0.0], [1.0]])
    angles = low + (high - low) * (1.2 * share - 0.1).clamp(0, 1)  # often at the very ends
    pose = vectors(pose_from_angles(angles)[:, 1:])
    least, most = pose.amin(0), pose.amax(0)
    fixed = (most - least).amax(1) < 1e-3
    return least - _UNNAMED_RAD * fixed[:, None], most + _UNNAMED_RAD * fixed[:, None]


# Of what a projection takes a pose for: the mixture's pose with an error of so much in each coordinate, rad.
_NOISE_RAD: Final = 0.1


class GaussianMixture(PosePrior):
    """E = min_j -log(c g_j N(pose; mu_j, Sigma_j)) (SMPLify, ECCV 2016, equation 5); c: the least energy is 0."""

    weights: Tensor
    means: Tensor
    factors: Tensor

    def __init__(self, components: int = 8) -> None:
        super().__init__()
        self.register_buffer("weights", torch.full((components,), 1 / components))
        self.register_buffer("means", torch.zeros(components, SIZE))
        # L of each component's precision L L^T
        self.register_buffer("factors", torch.eye(SIZE).repeat(components, 1, 1))

    def energies(self, pose: Pose) -> Float[Tensor, "n k"]:
        """-log(c g_j N) of each component."""
        away = torch.einsum("nks,kst->nkt", pose.flatten(1)[:, None] - self.means, self.factors)
        return away.square().sum(-1) / 2 + self.offsets() - self.offsets().min()

    def offsets(self) -> Float[Tensor, " k"]:
        """-log(g_j sqrt(det of precision)): what a component's energy is at its middle, up to a constant of all."""
        return -self.weights.log() - self.factors.diagonal(dim1=1, dim2=2).log().sum(1)

    def energy(self, pose: Pose, progress: float = 1.0) -> Float[Tensor, " n"]:
        """Of the component that explains the pose best."""
        return self.energies(pose).amin(1)

    def quadratic(self, pose: Pose, progress: float = 1.0) -> tuple[Float[Tensor, "n s"], Float[Tensor, "n s s"]]:
        """Of the component that explains each pose best: exact."""
        mean, precision = self.nearest(pose)
        return (precision @ (pose.flatten(1) - mean)[..., None])[..., 0], precision

    def nearest(self, pose: Pose) -> tuple[Float[Tensor, "n s"], Float[Tensor, "n s s"]]:
        """Mean and precision of the component that explains each pose best: around there the energy is quadratic."""
        best = self.energies(pose).argmin(1)
        return self.means[best], (self.factors @ self.factors.mT)[best]

    def sample(self, n: int, generator: torch.Generator) -> Pose:
        """Poses drawn from the mixture."""
        kind = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        noise = torch.randn(n, SIZE, 1, generator=generator).to(self.means)
        spread = torch.linalg.solve_triangular(self.factors[kind].mT, noise, upper=True)[..., 0]
        return joints_of(self.means[kind] + spread)

    def project(self, pose: Pose) -> Pose:
        """The most probable pose that differs from the given one by errors of 0.1 rad: shrunk to its component."""
        mean, precision = self.nearest(pose)
        noise = _NOISE_RAD**-2 * torch.eye(SIZE).to(pose)
        right = (precision @ mean[..., None]) + noise @ pose.flatten(1)[..., None]
        return joints_of(torch.linalg.solve(precision + noise, right)[..., 0])
