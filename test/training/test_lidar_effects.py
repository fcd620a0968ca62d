"""Noise, ego-motion and exact flow on simulated returns."""

import math

import pytest
import torch

from gckpl_training.lidar import drop_out, exact_flow, labels, mixed_pixels, range_noise, scan, sensor, sensor_noise
from gckpl_training.lidar.returns import deskew, rolling, silhouettes, skew, surface_points

WALL = torch.tensor([[[8.0, -3, -1], [8, 3, -1], [8, 3, 1], [8, -3, 1]]])
# In front of the wall's middle.
BOARD = torch.tensor([[[5.0, -0.5, -2], [5, 0.5, -2], [5, 0.5, 2], [5, -0.5, 2]]])
FACES = torch.tensor([[0, 1, 2], [0, 2, 3]])


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def scanned(model="os1_64"):
    vertices = torch.cat((WALL, BOARD), 1)
    return scan(vertices, torch.cat((FACES, FACES + 4)), sensor(model), azimuth_offset=torch.zeros(1))


def test_range_noise_moves_points_along_their_rays():
    before = scanned("waymo_top")
    after = range_noise(before, 0.02, seeded())
    assert torch.allclose(torch.cross(before.points, after.points, dim=-1), torch.zeros(()), atol=1e-4)
    change = after.ranges - before.ranges
    assert change.mean() == pytest.approx(0.0, abs=2e-3)
    assert change.std() == pytest.approx(0.02, rel=0.05)


def test_drop_out_keeps_the_given_share_and_rows_stay_whole():
    before = scanned("waymo_top")
    after = drop_out(before, 0.3, seeded())
    assert after.counts[0] / before.counts[0] == pytest.approx(0.7, abs=0.03)
    kept = torch.isin(before.ray[0], after.ray[0])
    assert torch.equal(before.points[0][kept], after.points[0])
    assert torch.equal(before.face[0][kept], after.face[0])
    assert drop_out(before, 1.0, seeded()).points.shape == (1, 0, 3)


def test_sensor_noise_is_the_sensors_own():
    model = sensor("spinner64")
    before = scanned("spinner64")
    after = sensor_noise(before, model, seeded())
    assert after.counts[0] / before.counts[0] == pytest.approx(0.95, abs=0.02)


def test_silhouettes_are_the_edges_of_what_stands_in_front():
    returns = scanned()
    edge, front = silhouettes(returns, sensor("os1_64"))[0], returns.face[0] >= 2
    beams = returns.ray[0] // 1024
    for beam in beams.unique():
        # Over the board's whole height: its two ends; on the wall, its own two ends where no board hides them.
        assert (edge & front & (beams == beam)).sum() == 2
        wall = ~front & (beams == beam)
        assert (edge & wall).sum() == (2 if wall.any() else 0)


def test_mixed_pixels_fall_back_from_silhouettes_only():
    before = scanned()
    after = mixed_pixels(before, sensor("os1_64"), 1.0, 0.4, seeded())
    edge = silhouettes(before, sensor("os1_64"))
    change = after.ranges - before.ranges
    assert (change[~edge].abs() < 1e-5).all()
    assert change[edge].min() >= -1e-5
    assert change.max() <= 0.4 + 1e-5
    assert change[edge].mean() == pytest.approx(0.2, abs=0.05)


def test_driving_straight_shortens_what_lies_ahead():
    points = torch.tensor([[10.0, 2.0, 0.0]])
    late = skew(points, torch.tensor([0.05]), torch.tensor([8.0, 0.0, 0.0]), 0.0)
    assert torch.allclose(late, torch.tensor([[9.6, 2.0, 0.0]]))


def test_turning_left_on_the_spot_swings_the_world_right():
    points = torch.tensor([[10.0, 0.0, 1.0]])
    late = skew(points, torch.tensor([0.1]), torch.zeros(3), math.pi / 0.2)
    assert torch.allclose(late, torch.tensor([[0.0, -10.0, 1.0]]), atol=1e-5)


def test_quarter_circle():
    """Ahead at v while turning at w: on a circle of radius v / w, after a quarter at (v / w, v / w)."""
    rate = math.pi / 2
    here = deskew(torch.zeros(1, 3), torch.ones(1), torch.tensor([3.0, 0.0, 0.0]), rate)
    assert torch.allclose(here, torch.tensor([[3 / rate, 3 / rate, 0.0]]), atol=1e-5)
    sideways = deskew(torch.zeros(1, 3), torch.ones(1), torch.tensor([0.0, 3.0, 0.5]), rate)
    assert torch.allclose(sideways, torch.tensor([[-3 / rate, 3 / rate, 0.5]]), atol=1e-5)


def test_deskew_undoes_skew():
    points = torch.randn(50, 3, generator=seeded()) * 10
    time = torch.rand(50, generator=seeded(1)) * 0.1
    twist = (torch.tensor([5.0, -1.0, 0.3]), 0.8)
    assert torch.allclose(deskew(skew(points, time, *twist), time, *twist), points, atol=1e-5)


def test_rolling_scan_skews_by_column():
    model = sensor("os1_64")
    frozen = scanned()
    moving = rolling(frozen, model, torch.tensor([10.0, 0.0, 0.0]), 0.0)
    column = frozen.ray[0] % 1024
    assert torch.allclose((frozen.points - moving.points)[0, :, 0], column / 1024, atol=1e-5)


def test_flow_of_a_rigid_motion():
    vertices = torch.cat((WALL, BOARD), 1)
    faces = torch.cat((FACES, FACES + 4))
    returns = scanned()
    angle, shift = 0.3, torch.tensor([0.2, -0.4, 0.1])
    turn = torch.tensor(
        [[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0], [0, 0, 1]], dtype=torch.float32
    )
    flow = exact_flow(returns, vertices, vertices @ turn.T + shift, faces)
    assert torch.allclose(returns.points + flow, returns.points @ turn.T + shift, atol=1e-4)


def test_returns_lie_on_their_faces():
    vertices = torch.cat((WALL, BOARD), 1)
    returns = scanned("waymo_top")
    assert torch.allclose(surface_points(returns, vertices, torch.cat((FACES, FACES + 4))), returns.points, atol=1e-4)
    assert torch.allclose(returns.barycentric.sum(-1), torch.ones(()), atol=1e-5)
    assert returns.barycentric.min() >= 0


def test_labels_follow_the_face_and_mark_padding():
    rows = torch.cat((torch.cat((WALL, BOARD), 1), torch.cat((WALL + 500, BOARD), 1)))
    returns = scan(rows, torch.cat((FACES, FACES + 4)), sensor("os1_64"), azimuth_offset=torch.zeros(2))
    found = labels(returns, torch.tensor([7, 7, 3, 3]))
    assert set(found[0].tolist()) == {7, 3}
    assert set(found[1][returns.mask[1]].tolist()) == {3}
    assert (found[~returns.mask] == -1).all()
    assert torch.equal(found[0] == 3, (returns.points[0, :, 0] - 5).abs() < 1e-3)
