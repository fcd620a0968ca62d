"""Registration: matches worked out by hand, motions against roma's closed form and torch's derivatives."""

import math

import roma
import torch
from figures import figure, turn
from torch import Tensor

from gckpl_ros.learn.articulated import NO_MATCH, Clouds, _normal, blended, matches, register

LOOSE = torch.full((1, 6), 100.0)


def clouds(points: Tensor, others: Tensor, share: Tensor | None = None, centres: Tensor | None = None) -> Clouds:
    share = torch.ones(len(points), 1) if share is None else share
    centres = torch.zeros(1, 3) if centres is None else centres
    return Clouds(points[None], others[None], torch.zeros(1, len(points), len(others)), share[None], centres[None])


def test_a_match_weighs_as_its_kernel_against_no_match() -> None:
    point, other = torch.tensor([[0.0, 0.0, 1.0]]), torch.tensor([[0.1, 0.0, 1.0]])
    weight, pull = matches(point[None], clouds(point, other), width_m=0.1)
    kernel = math.exp(-0.5)  # one width away
    torch.testing.assert_close(weight, torch.tensor([[kernel / (kernel + NO_MATCH)]]))
    torch.testing.assert_close(pull, torch.tensor([[[0.1, 0.0, 0.0]]]), atol=1e-6, rtol=0)


def test_two_others_at_equal_distance_pull_to_their_middle() -> None:
    point, others = torch.zeros(1, 3), torch.tensor([[0.1, 0.0, 0.0], [0.0, 0.1, 0.0]])
    _, pull = matches(point[None], clouds(point, others), width_m=0.1)
    torch.testing.assert_close(pull, torch.tensor([[[0.05, 0.05, 0.0]]]), atol=1e-6, rtol=0)


def test_a_lonely_point_is_hardly_matched() -> None:
    point, other = torch.zeros(1, 3), torch.tensor([[5.0, 0.0, 0.0]])
    weight, pull = matches(point[None], clouds(point, other), width_m=0.1)
    assert weight.item() < 1e-9 and bool(pull.isfinite().all())


def test_one_rigid_part_is_fitted_as_the_closed_form_says() -> None:
    """Points so far apart that matches are certain: least squares, which Kabsch and Umeyama solve exactly."""
    g = torch.Generator().manual_seed(1)
    points = torch.cartesian_prod(*[torch.tensor([-1.0, 0.0, 1.0])] * 3)
    noise = 0.01 * torch.randn(points.shape, generator=g)
    others = points @ turn("x", 4.0).T @ turn("z", 3.0).T + torch.tensor([0.05, -0.03, 0.02]) + noise
    rotation, shift = roma.rigid_points_registration(points, others)
    problem, start = clouds(points, others), torch.zeros(1, 1, 6)
    twist = register(problem, start, lambda _: start, LOOSE, widths_m=[0.1] * 6)
    torch.testing.assert_close(blended(twist, problem)[0], points @ rotation.T + shift, atol=2e-5, rtol=0)


def test_normal_equations_are_those_of_the_derivatives() -> None:
    g = torch.Generator().manual_seed(2)
    points, centre, weight = torch.randn(7, 3, generator=g), torch.randn(3, generator=g), torch.rand(7, generator=g)

    def placed(twist: Tensor) -> Tensor:
        return (points - centre) @ roma.rotvec_to_rotmat(twist[3:]).T + centre + twist[:3]

    jacobian = torch.autograd.functional.jacobian(placed, torch.full((6,), 1e-7))
    expected = torch.einsum("nci,n,ncj->ij", jacobian, weight, jacobian)
    first, second = weight @ points, torch.einsum("n,na,nb->ab", weight, points, points)
    mass = weight.sum().view(1, 1, 1, 1)
    found = _normal(mass, first[None, None], second[None, None], centre[None, None])[0, 0]
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_a_point_of_two_parts_moves_by_their_mean() -> None:
    points, centres = torch.tensor([[0.0, 0.0, 0.0]]), torch.zeros(2, 3)
    twists = torch.zeros(1, 2, 6)
    twists[0, 0, 0], twists[0, 1, 2] = 0.2, 0.4
    problem = clouds(points, points, torch.tensor([[0.5, 0.5]]), centres)
    torch.testing.assert_close(blended(twists, problem)[0, 0], torch.tensor([0.1, 0.0, 0.2]))


def test_without_matches_the_prior_decides() -> None:
    points, expected = figure().points, torch.tensor([[[0.1, 0.0, 0.0, 0.0, 0.0, 0.2]]])
    problem = clouds(points, points + 50)
    found = register(problem, torch.zeros(1, 1, 6), lambda _: expected, torch.ones(1, 6), widths_m=[0.1])
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
