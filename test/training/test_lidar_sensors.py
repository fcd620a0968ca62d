"""Sensor models: what their tables and patterns say, and how many returns a person gives."""

import math

import pytest
import torch

from gckpl_ros.errors import InputError
from gckpl_training.lidar import SENSORS, Sensor, organised, scan, sensor


@pytest.mark.parametrize(
    ("name", "beams", "columns", "low", "high"),
    [
        ("waymo_top", 64, 2650, -17.6, 2.4),
        ("spinner64", 64, 2083, -24.8, 2.0),
        ("spinner32", 32, 1800, -25.0, 15.0),
        ("spinner16", 16, 1800, -15.0, 15.0),
        ("os1_128", 128, 1024, -22.5, 22.5),
        ("os1_64", 64, 1024, -22.5, 22.5),
    ],
)
def test_tables(name, beams, columns, low, high):
    model = sensor(name)
    assert (model.beams, model.columns) == (beams, columns)
    assert model.elevations_deg[0] == low
    assert model.elevations_deg[-1] == pytest.approx(high)


def test_names_and_mistakes_are_told():
    assert all(name == model.name for name, model in SENSORS.items())
    with pytest.raises(InputError, match="os1_128"):
        sensor("velodyne")
    with pytest.raises(InputError, match="ascend"):
        Sensor("falling", 100, (3.0, 1.0))
    with pytest.raises(InputError, match="ascend"):
        Sensor("zenith", 100, (0.0, 90.0))
    with pytest.raises(InputError, match="elevations_deg or directions"):
        Sensor("blind", 100)


def plate(distance, height, width, low):
    """An upright rectangle that faces the sensor, its lower edge at z = low."""
    y, top = width / 2, low + height
    corners = [[distance, -y, low], [distance, y, low], [distance, y, top], [distance, -y, top]]
    return torch.tensor(corners)[None], torch.tensor([[0, 1, 2], [0, 2, 3]])


@pytest.mark.parametrize("name", [name for name in SENSORS if name != "mid360"])
@pytest.mark.parametrize("distance", [5.0, 10.0, 20.0, 35.0])
def test_returns_of_a_person_sized_plate_count_beams_times_columns(name, distance):
    """1.7 m x 0.4 m on the ground: at azimuth a the plate spans atan(z cos(a) / d) of elevation."""
    model = sensor(name)
    low = -model.mount_height_m
    vertices, faces = plate(distance, 1.7, 0.4, low)
    returns = scan(vertices, faces, model, azimuth_offset=torch.full((1,), 0.3 * model.azimuth_step))
    expected = 0
    for column in range(-model.columns // 2, model.columns // 2):
        azimuth = (column + 0.3) * model.azimuth_step
        if abs(azimuth) < math.pi / 2 and abs(math.tan(azimuth)) * distance <= 0.2:
            heights = [math.tan(math.radians(e)) * distance / math.cos(azimuth) for e in model.elevations_deg]
            expected += sum(low <= height <= low + 1.7 for height in heights)
    assert returns.counts.tolist() == [expected]


def test_mid360_covers_its_field_evenly_and_does_not_repeat():
    model = sensor("mid360")
    azimuth, elevation = model.directions(0.0)
    assert len(azimuth) == model.columns == 20_000
    assert elevation.min() == pytest.approx(math.radians(-7), abs=1e-3)
    assert elevation.max() == pytest.approx(math.radians(52), abs=1e-3)
    for angle, bins in ((azimuth, 36), (elevation, 20)):
        counts = torch.histc(angle, bins)
        assert counts.min() > 0.8 * counts.mean()
        # A frame is 1.006 turns: the doubled 0.6 % (124 rays) may fall into one of the 36 bins.
        assert counts.max() < 1.25 * counts.mean()
    # Nearest ray of the next frame: as far as an unrelated ray would be, not at the same place.
    later = model.directions(0.1).T
    gap = torch.cdist(torch.stack((azimuth, elevation), 1)[::50], later).min(1).values
    assert gap.median() > math.radians(0.1)


def test_mid360_on_a_person_sized_plate():
    """Rays per solid angle are known: 20,000 over 360 x 59 deg, so a 1.7 x 0.4 m plate gets a share of them."""
    model = sensor("mid360")
    vertices, faces = plate(5.0, 1.7, 0.4, -0.5)
    returns = scan(vertices.expand(40, -1, -1), faces, model, generator=torch.Generator().manual_seed(0))
    share = math.degrees(2 * math.atan(0.04)) * math.degrees(math.atan(0.1) + math.atan(0.24)) / (360 * 59)
    assert returns.counts.float().mean() == pytest.approx(20_000 * share, rel=0.1)


def test_organised_frame_holds_every_return_at_its_ray():
    vertices, faces = plate(5.0, 1.0, 1.0, -0.5)
    for name, fill in (("spinner16", float("nan")), ("mid360", 0.0)):
        model = sensor(name)
        returns = scan(vertices, faces, model, azimuth_offset=torch.zeros(1))
        frame = organised(returns, model, fill)
        assert frame.shape == (1, model.beams, model.columns, 3)
        assert torch.equal(frame.view(-1, 3)[returns.ray[0]], returns.points[0])
        empty = frame.isnan().all(-1) if math.isnan(fill) else (frame == 0).all(-1)
        assert empty.sum() == model.rays - returns.counts[0]
    if name == "mid360":
        assert empty.sum() > 19_000


def test_columns_fire_in_turn():
    model = sensor("os1_64")
    time = model.firing_time(torch.tensor([0, 512, 1023, 1024, 1024 + 256]))
    assert torch.allclose(time, torch.tensor([0.0, 0.05, 0.1 * 1023 / 1024, 0.0, 0.025]))
