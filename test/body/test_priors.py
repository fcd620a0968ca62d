"""Pose priors against values computed by hand, their gradients, and what those that ship do to poses."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from torch import Tensor

from gckpl_ros.body.kinematics import JOINT
from gckpl_ros.body.priors import GaussianMixture, JointLimits, PoseDiffusion, PoseNdf, VPoser, load_prior
from gckpl_ros.body.priors.files import LEARNT
from gckpl_ros.body.priors.networks import distance, quaternions, schedule
from gckpl_ros.body.priors.prior import PosePrior, rotations, vectors
from gckpl_ros.errors import InputError
from gckpl_training.learn.prior import (
    PriorConfig,
    PriorTraining,
    maximise,
    ndf_losses,
    start_mixture,
    vposer_losses,
)
from gckpl_training.motion.library import sample_poses


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def poses(n: int, seed: int = 0) -> Tensor:
    return vectors(sample_poses(n, seeded(seed))[:, 1:])


def test_limits_are_zero_within_and_square_beyond() -> None:
    limits, knee = JointLimits(), JOINT["left_knee"] - 1
    pose = poses(200)
    assert limits.energy(pose).max() < 1e-6
    pose[:, knee] = torch.tensor([math.radians(150), 0.0, 0.0])  # a knee bends to 140 degrees
    assert torch.allclose(limits.energy(pose), torch.tensor((math.radians(10) / 0.1) ** 2 / 2), rtol=1e-3)
    assert torch.allclose(limits.project(pose)[:, knee, 0], torch.tensor(math.radians(140)), atol=1e-4)


def mixture() -> GaussianMixture:
    """Two components, of different spread and weight."""
    found, generator = GaussianMixture(2).double(), seeded()
    found.weights.copy_(torch.tensor([0.3, 0.7]))
    found.means.copy_(0.3 * torch.randn(2, 63, generator=generator))
    random = torch.randn(2, 63, 63, generator=generator).double().tril() * 0.05
    found.factors.copy_(random + torch.diag_embed(torch.tensor([[4.0], [2.0]]).expand(2, 63)))
    return found


def test_the_mixture_is_the_least_of_its_components() -> None:
    prior, pose = mixture(), poses(5).double()
    expected = []
    for row in pose.flatten(1).numpy():
        logs = [
            math.log(w) + multivariate_normal.logpdf(row, m.numpy(), np.linalg.inv((f @ f.T).numpy()))
            for w, m, f in zip(prior.weights, prior.means, prior.factors, strict=True)
        ]
        peaks = -(prior.offsets() + 63 / 2 * math.log(2 * math.pi))  # log of g_j N(mu_j)
        expected.append(float(peaks.max()) - max(logs))
    assert np.allclose(prior.energy(pose).numpy(), expected)
    mean, precision = prior.nearest(pose)
    slope = (precision @ (pose.flatten(1) - mean)[..., None])[..., 0]
    assert torch.allclose(prior.gradient(pose).flatten(1), slope)


def test_expectation_maximisation_finds_two_groups() -> None:
    generator = seeded()
    data = torch.cat(
        [0.1 * torch.randn(300, 63, generator=generator), 1 + 0.2 * torch.randn(100, 63, generator=generator)]
    )
    found = GaussianMixture(2)
    start_mixture(found, data, generator)
    found.means.copy_(data[[0, -1]])
    surprises = [maximise(found, data) for _ in range(12)]
    assert surprises[-1] < surprises[0]
    order = found.means.mean(1).argsort()
    assert torch.allclose(found.weights[order], torch.tensor([0.75, 0.25]), atol=0.01)
    assert torch.allclose(found.means[order].mean(1), torch.tensor([0.0, 1.0]), atol=0.02)


def test_the_five_losses_of_vposer() -> None:
    network = VPoser(8)
    with torch.no_grad():
        for value in network.parameters():
            value.zero_()
        network.encoder[-1].bias[:32] = 0.5  # mean of z; the logarithm of its variance stays 0
        network.decoder[-1].bias.copy_((2 * torch.eye(3)).flatten().repeat(21))  # R' = 2 I, whatever z
    losses = vposer_losses(network, torch.eye(3).expand(4, 21, 3, 3), torch.zeros(4, 32))
    squares = 32 * 0.25 + 21 * 3 * 4
    expected = {
        "divergence": 5e-3 * 32 * 0.25 / 2,
        "rotation": 21 * 3 * 1.0,  # |I - 2 I|^2
        "orthogonal": 0.2 * 21 * 3 * 9.0,  # |4 I - I|^2
        "determinant": 0.2 * 21 * 7.0,  # 8 - 1
        "weights": 1e-5 * squares,
    }
    assert {name: pytest.approx(float(loss.detach())) for name, loss in losses.items()} == expected
    energy = network.energy(torch.zeros(2, 21, 3))
    assert torch.allclose(energy, torch.tensor(32 * 0.25 / 2 + 63 / (4 * 0.15**2)))


def test_the_distance_between_poses_is_half_their_angles() -> None:
    a, b = torch.zeros(1, 21, 3), torch.zeros(1, 21, 3)
    a[0, 3, 0], b[0, 7, 1] = 0.6, -0.8
    assert torch.allclose(distance(quaternions(a), quaternions(b)), torch.tensor([0.5]), atol=1e-5)  # 0.3, 0.4
    assert torch.allclose(distance(quaternions(a), -quaternions(a)), torch.zeros(1), atol=1e-3)


def test_the_distance_network_hears_the_joints_above_and_is_told_distances() -> None:
    network, pose = PoseNdf(), quaternions(poses(6))
    turned = quaternions(torch.zeros(6, 21, 3))
    with torch.no_grad():
        for name, value in network.named_parameters():
            if name.startswith("head"):
                value.zero_()
        network.head[-1].bias.fill_(0.4)
    losses = ndf_losses(network, pose, torch.full((6,), 0.1), turned)
    value = math.log(1 + math.exp(20 * 0.4)) / 20
    assert float(losses["distance"].detach()) == pytest.approx(value - 0.1 + value, abs=1e-5)
    assert float(losses["eikonal"].detach()) == pytest.approx(0.1)  # flat: (0 - 1)^2


def test_one_step_denoising_pulls_as_a_gaussian_does() -> None:
    """Of standard normal poses the noise in x_t is s_t x_t at best: then -log p = |x|^2 / 2, whose gradient is x."""

    class Exact(PoseDiffusion):
        def forward(self, noised: Tensor, time: Tensor) -> Tensor:
            return schedule(time)[1][:, None] * noised

    prior = Exact().double()
    prior.mean.fill_(0.2)
    prior.deviation.fill_(0.5)
    pose = poses(4).double()
    for progress in (0.0, 1.0):
        assert torch.allclose(prior.gradient(pose, progress).flatten(1), (pose.flatten(1) - 0.2) / 0.25)


def untrained(kind: str) -> PosePrior:
    torch.manual_seed(0)
    return mixture() if kind == "gmm" else JointLimits().double() if kind == "limits" else LEARNT[kind]().double()


@pytest.mark.parametrize("kind", ["limits", "gmm", "vposer", "ndf"])
def test_gradients(kind: str) -> None:
    prior = untrained(kind)
    pose = (poses(2) + 0.5 * torch.randn(2, 21, 3, generator=seeded())).double().requires_grad_()
    assert torch.autograd.gradcheck(prior.energy, (pose,), fast_mode=True)


@pytest.mark.parametrize("kind", list(LEARNT))
def test_what_ships_keeps_poses_and_mends_noised_ones(kind: str) -> None:
    prior, known = load_prior(kind), poses(200, seed=5)
    noise = vectors(rotations(known) @ rotations(0.25 * torch.randn(known.shape, generator=seeded(1))))

    def off(pose: Tensor) -> Tensor:
        return distance(quaternions(pose), quaternions(known))

    stays, noised, mended = off(prior.project(known)), off(noise), off(prior.project(noise))
    assert stays.median() < noised.median() / 2
    assert (mended < noised).float().mean() >= 0.95
    assert prior.energy(known).median() < prior.energy(noise).median()
    drawn = prior.sample(50, seeded())
    assert drawn.shape == (50, 21, 3)
    assert prior.energy(drawn).median() < prior.energy(noise).median()


@pytest.mark.parametrize("kind", ["gmm", "vposer"])
def test_a_prior_is_trained_saved_and_read(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gckpl_training.learn.prior.MADE_ALONE", 500)
    run = PriorTraining(PriorConfig(kind=kind, steps=3, batch_size=32, out=tmp_path, device="cpu"))
    run.run()
    pose = poses(3)
    assert torch.equal(load_prior(tmp_path / "final.safetensors").energy(pose), run.prior.energy(pose).detach())
    with pytest.raises(InputError, match="no pose prior"):
        load_prior(Path(__file__).parents[2] / "gckpl_ros/weights/temporal.safetensors")
