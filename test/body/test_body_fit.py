"""Analysis by synthesis: a body is found again from its own keypoints and points, and noise is taken out."""

from dataclasses import replace

import pytest
import torch

from gckpl_ros.batch import PersonBatch
from gckpl_ros.body.body import AnnyBody
from gckpl_ros.body.fit import BodyFit, FitConfig, bending
from gckpl_training.motion.library import ProceduralMotions
from gckpl_training.simulate.people import PasserConfig, PasserSource

CONFIG = PasserConfig(sensors=("os1_64",), frames=6, seen_frames=6, missed=0.0)
QUICK = FitConfig(keypoint_steps=60, point_steps=16)


@pytest.fixture(scope="module")
def people() -> PersonBatch:
    crops = replace(CONFIG.crops, range_m=(4.0, 8.0))
    return PasserSource(replace(CONFIG, crops=crops), 5).draw(4)


def fitted(people: PersonBatch, keypoints: torch.Tensor, config: FitConfig) -> torch.Tensor:
    sure = people.seen[..., None].expand(keypoints.shape[:-1]).float()
    return BodyFit(config).fit(replace(people, keypoints=keypoints, confidence=sure)).keypoints


def test_the_rig_and_the_skin_are_those_of_the_whole_body() -> None:
    body, g = AnnyBody(), torch.Generator().manual_seed(0)
    pose, place = ProceduralMotions().sample_sequences(5, 1, 0.1, g)[0]
    betas = body.sample_betas(5, g)
    posed, rig = body(betas, pose, place), body.rig(betas, pose, place)
    some = torch.randint(len(body.parts), (5, 30), generator=g)
    torch.testing.assert_close(rig.keypoints, posed.keypoints)
    found = body.surface(betas, rig, some)
    torch.testing.assert_close(found, posed.vertices[torch.arange(5)[:, None], some], atol=1e-4, rtol=1e-4)


def test_a_body_is_found_again_from_its_keypoints(people: PersonBatch) -> None:
    found = fitted(people, people.required("keypoints"), replace(QUICK, point_steps=0))
    assert (found - people.required("keypoints")).norm(dim=-1).mean() < 0.03


def test_noise_of_single_frames_is_taken_out(people: PersonBatch) -> None:
    g = torch.Generator().manual_seed(1)
    noisy = people.required("keypoints") + 0.08 * torch.randn(people.required("keypoints").shape, generator=g)
    before, after = (
        (x - people.required("keypoints")).norm(dim=-1).mean() for x in (noisy, fitted(people, noisy, QUICK))
    )
    assert after < 0.6 * before


def test_points_say_where_a_person_stands_when_keypoints_are_off(people: PersonBatch) -> None:
    """All keypoints 10 cm towards one side: only the points know."""
    off = people.required("keypoints") + torch.tensor([0.1, 0.0, 0.0])
    blind, seeing = (fitted(people, off, replace(QUICK, point_steps=steps)) for steps in (0, 40))
    before, after = ((x - people.required("keypoints")).norm(dim=-1).mean() for x in (blind, seeing))
    assert after < 0.85 * before


def test_the_price_of_a_motion_does_not_depend_on_the_frame_rate() -> None:
    """A swing of an arm, 0.5 Hz: the integral of (w^2 sin(w t))^2 over 3 s, in units of 0.1 s, is w^4 / 2 x 30."""
    expected = 0.5 * (torch.pi / 10) ** 4 * 30
    for rate_hz in (5, 10, 20):
        times = torch.arange(0, 30 + 1e-3, 10 / rate_hz, dtype=torch.float64)
        swing = torch.sin(times * torch.pi / 10)[None, :, None]
        price = bending(swing, times.diff()[None]).square().sum()
        torch.testing.assert_close(price, price.new_tensor(expected), rtol=0.1, atol=0)
    uneven = torch.tensor([[1.0, 2.0, 1.0]], dtype=torch.float64)
    ramp = torch.tensor([0.0, 1.0, 3.0, 4.0], dtype=torch.float64)[None, :, None]
    assert bending(ramp, uneven).abs().max() == 0
