"""The scanner against Open3D's ray caster and against geometry."""

import math

import numpy as np
import open3d as o3d
import pytest
import torch

from gckpl_training.lidar import SENSORS, Sensor, scan, sensor

COARSE = Sensor("coarse", 180, (-30.0, -12.0, -5.0, -1.0, 0.0, 2.0, 9.0, 40.0), max_range_m=1000.0)


def directions(model, offset=0.0, time_s=0.0):
    """Unit direction of every ray, in ray order, worked out apart from the scanner."""
    if model.directions is not None:
        azimuth, elevation = (angle.double() for angle in model.directions(time_s))
    else:
        elevation = torch.tensor(model.elevations_deg).double().deg2rad().repeat_interleave(model.columns)
        azimuth = (torch.arange(model.columns).double() * 2 * math.pi / model.columns).repeat(model.beams)
    azimuth = azimuth + offset
    flat = elevation.cos()
    return torch.stack((flat * azimuth.cos(), flat * azimuth.sin(), elevation.sin()), 1).numpy()


def cast(vertices, faces, rays):
    """Ranges by Open3D, infinite where nothing is hit."""
    scene = o3d.t.geometry.RaycastingScene()
    scene.add_triangles(vertices.numpy().astype(np.float32), faces.numpy().astype(np.uint32))
    both = np.concatenate((np.zeros_like(rays), rays), 1).astype(np.float32)
    return scene.cast_rays(o3d.core.Tensor(both))["t_hit"].numpy()


def by_ray(returns, row, rays):
    """Ranges in ray order, infinite where nothing returned."""
    ranges = np.full(rays, np.inf)
    here = returns.mask[row]
    ranges[returns.ray[row][here]] = returns.ranges[row][here]
    return ranges


def assert_like_open3d(vertices, faces, model, offset, **options):
    returns = scan(vertices, faces, model, azimuth_offset=offset, **options)
    wrong = hits = 0
    for row, mesh in enumerate(vertices):
        truth = cast(mesh, faces, directions(model, float(offset[row]), options.get("time_s", 0.0)))
        truth[(truth < model.min_range_m) | (truth > model.max_range_m)] = np.inf
        mine = by_ray(returns, row, model.rays)
        both = np.isfinite(truth) & np.isfinite(mine)
        wrong += (np.isfinite(truth) != np.isfinite(mine)).sum()
        wrong += (np.abs(mine[both] - truth[both]) > 1e-4 * truth[both]).sum()
        hits += np.isfinite(truth).sum()
    assert hits > 20
    assert wrong <= 1e-3 * hits
    return returns


def mesh(shape):
    return torch.tensor(np.asarray(shape.vertices)).float(), torch.tensor(np.asarray(shape.triangles)).long()


def joined(*parts):
    """One mesh out of (vertices, faces) parts."""
    starts = np.cumsum([0] + [len(vertices) for vertices, _ in parts])
    faces = [faces + int(start) for (_, faces), start in zip(parts, starts, strict=False)]
    return torch.cat([vertices for vertices, _ in parts]), torch.cat(faces)


def placed(vertices, rows, near, far, generator):
    """Copies of a mesh at random bearings and ranges, and a little up and down."""
    bearing = torch.rand(rows, generator=generator) * 2 * math.pi
    distance = near + (far - near) * torch.rand(rows, generator=generator)
    height = torch.rand(rows, generator=generator) - 0.5
    centre = torch.stack((distance * bearing.cos(), distance * bearing.sin(), height), 1)
    return vertices + centre[:, None]


LYING = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])


def person_like():
    """A body's rough shape: a trunk, a head, and limbs that cross in front of it; 1.7 m."""
    make = o3d.geometry.TriangleMesh
    parts = [
        make.create_cylinder(0.17, 0.6, 16, 8).translate((0, 0, 0.3)),
        make.create_sphere(0.12, 10).translate((0, 0, 0.75)),
        make.create_cylinder(0.05, 0.6, 10, 6)
        .rotate(np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]]))
        .translate((0.3, 0.0, 0.3)),
        make.create_cylinder(0.07, 0.8, 10, 6).translate((0.0, 0.1, -0.4)),
        make.create_cylinder(0.07, 0.8, 10, 6).translate((0.0, -0.1, -0.4)),
    ]
    return joined(*map(mesh, parts))


@pytest.mark.parametrize("name", sorted(SENSORS))
def test_agrees_with_open3d_on_people(name):
    generator = torch.Generator().manual_seed(3)
    vertices, faces = person_like()
    people = placed(vertices, 6, 3.0, 12.0, generator)
    offset = torch.rand(6, generator=generator) * 7 - 3
    assert_like_open3d(people, faces, sensor(name), offset, time_s=12.3)


@pytest.mark.parametrize("name", ["spinner16", "mid360"])
def test_agrees_with_open3d_on_a_street(name):
    """Ground under the sensor and a ceiling (both around the z axis), walls, boxes all round, some across +-pi."""
    generator = torch.Generator().manual_seed(5)
    flat = torch.tensor([[0, 1, 2], [0, 2, 3]])
    corners = torch.tensor([[-30.0, -20], [35, -25], [30, 28], [-33, 22]])
    ground = (torch.cat((corners, torch.full((4, 1), -1.7)), 1), flat)
    roof = (torch.cat((corners * 0.3, torch.full((4, 1), 2.5)), 1), flat)
    wall = (torch.tensor([[-12.0, -30, -2], [-12, 30, -2], [-12, 30, 6], [-12, -30, 6]]), flat)
    box = mesh(o3d.geometry.TriangleMesh.create_box(1.0, 2.0, 1.5).translate((0, 0, -1)))
    boxes = [(vertices, box[1]) for vertices in placed(box[0], 30, 3.0, 20.0, generator)]
    behind = (box[0] + torch.tensor([-8.0, -1.0, 0.0]), box[1])
    vertices, faces = joined(ground, roof, wall, behind, *boxes)
    assert_like_open3d(vertices[None], faces, sensor(name), torch.tensor([0.3]))


def test_many_small_chunks_give_the_same(monkeypatch):
    vertices, faces = person_like()
    people = placed(vertices, 5, 3.0, 9.0, torch.Generator().manual_seed(1))
    offset = torch.arange(5.0)
    whole = scan(people, faces, sensor("os1_64"), azimuth_offset=offset)
    monkeypatch.setattr("gckpl_training.lidar.scanner.CHUNK_FACES", 2 * len(faces))
    monkeypatch.setattr("gckpl_training.lidar.scanner.CHUNK_PAIRS", 100)
    parts = scan(people, faces, sensor("os1_64"), azimuth_offset=offset)
    assert torch.equal(whole.ray, parts.ray)
    assert torch.equal(whole.face, parts.face)
    assert torch.equal(whole.points, parts.points)


def test_sphere_in_front_returns_its_nearest_point():
    vertices, faces = mesh(o3d.geometry.TriangleMesh.create_sphere(0.5, 100))
    # Beams 0 deg and column 0 look along x; a vertex of the sphere's equator lies there.
    returns = scan((vertices + torch.tensor([7.0, 0, 0]))[None], faces, COARSE, azimuth_offset=torch.zeros(1))
    central = returns.ray[0] == 4 * COARSE.columns
    assert central.sum() == 1
    assert torch.allclose(returns.points[0][central], torch.tensor([[6.5, 0.0, 0.0]]), atol=1e-4)


def test_flat_wall_returns_its_plane():
    wall = torch.tensor([[[5.0, -50, -50], [5, 50, -50], [5, 50, 50], [5, -50, 50]]])
    returns = scan(wall, torch.tensor([[0, 1, 2], [0, 2, 3]]), COARSE, azimuth_offset=torch.zeros(1))
    # tan(azimuth) up to 10 is hit on the front half circle: columns up to 84.2 deg, on every beam.
    assert returns.counts.tolist() == [8 * (2 * 42 + 1)]
    assert torch.allclose(returns.points[..., 0], torch.tensor(5.0), atol=1e-4)


def test_scene_across_the_back_equals_the_scene_in_front():
    vertices, faces = person_like()
    front = vertices + torch.tensor([4.0, 0.0, 0.0])
    back = front * torch.tensor([-1.0, -1.0, 1.0])
    model = sensor("os1_64")
    returns = scan(torch.stack((front, back)), faces, model, azimuth_offset=torch.zeros(2))
    assert returns.counts[0] == returns.counts[1] > 100
    assert torch.allclose(returns.points[0], returns.points[1] * torch.tensor([-1.0, -1.0, 1.0]), atol=1e-4)


def test_rays_point_where_they_say():
    vertices, faces = person_like()
    people = placed(vertices, 4, 3.0, 9.0, torch.Generator().manual_seed(2))
    for name in ("waymo_top", "mid360"):
        offset = torch.tensor([0.1, 2.0, -1.0, 5.0])
        returns = scan(people, faces, sensor(name), azimuth_offset=offset)
        for row in range(4):
            here = returns.mask[row]
            expected = directions(sensor(name), float(offset[row]))[returns.ray[row][here]]
            unit = torch.nn.functional.normalize(returns.points[row][here], dim=1)
            assert np.allclose(unit, expected, atol=2e-6)


def test_order_of_faces_does_not_matter():
    vertices, faces = person_like()
    people = placed(vertices, 3, 3.0, 9.0, torch.Generator().manual_seed(4))
    order = torch.randperm(len(faces), generator=torch.Generator().manual_seed(0))
    offset = torch.zeros(3)
    one = scan(people, faces, sensor("spinner32"), azimuth_offset=offset)
    other = scan(people, faces[order], sensor("spinner32"), azimuth_offset=offset)
    assert torch.equal(one.ray, other.ray)
    assert torch.allclose(one.points, other.points, atol=1e-5)
    assert (one.face == order[other.face])[one.mask].float().mean() > 0.999


def test_degenerate_faces_never_return():
    point = torch.tensor([5.0, 0.0, 0.0]).expand(3, 3)
    line = torch.tensor([[5.0, -1, 0.0], [5, 0.3, 0], [5, 1, 0]])
    origin = torch.zeros(3, 3)
    vertices = torch.cat((point, line, origin))[None]
    faces = torch.arange(9).reshape(3, 3)
    returns = scan(vertices, torch.cat((faces, faces.flip(1))), COARSE, azimuth_offset=torch.zeros(1))
    assert returns.points.shape == (1, 0, 3)


def test_culling_ignores_only_faces_seen_from_behind():
    vertices, faces = mesh(o3d.geometry.TriangleMesh.create_sphere(1.0, 30))
    ball = (vertices + torch.tensor([6.0, 0.0, 0.0]))[None]
    offset = torch.zeros(1)
    seen = scan(ball, faces, sensor("os1_64"), azimuth_offset=offset)
    culled = scan(ball, faces, sensor("os1_64"), azimuth_offset=offset, cull=True)
    assert torch.equal(seen.ray, culled.ray)
    inside_out = scan(ball, faces.flip(1), sensor("os1_64"), azimuth_offset=offset, cull=True)
    assert inside_out.counts[0] > 0.9 * seen.counts[0]
    assert (inside_out.ranges[0] > 5.5).float().mean() > 0.9
    per_face = torch.zeros(len(faces), dtype=torch.bool)
    assert torch.equal(scan(ball, faces.flip(1), sensor("os1_64"), azimuth_offset=offset, cull=per_face).ray, seen.ray)


def test_limits_of_range_and_number():
    vertices, faces = mesh(o3d.geometry.TriangleMesh.create_sphere(1.0, 20))
    rows = torch.stack([vertices + torch.tensor([d, 0.0, 0.0]) for d in (1.2, 5.0, 150.0)])
    generator = torch.Generator().manual_seed(0)
    returns = scan(rows, faces, sensor("os1_64"), max_points=50, generator=generator)
    # The first is nearer than 0.5 m at its middle, so only its rim returns; the last is beyond 100 m.
    assert returns.ranges[0][returns.mask[0]].min() >= 0.5
    assert returns.counts.tolist()[1:] == [50, 0]
    assert returns.points.shape == (3, 50, 3)
    assert (returns.points[2] == 0).all()
    assert (returns.ray[2] == -1).all()


def test_beam_phase_is_drawn_by_the_generator():
    vertices, faces = person_like()
    people = placed(vertices, 2, 5.0, 6.0, torch.Generator().manual_seed(0))
    same = [scan(people, faces, sensor("spinner16"), generator=torch.Generator().manual_seed(s)) for s in (7, 7, 8)]
    assert torch.equal(same[0].points, same[1].points)
    assert not torch.equal(same[0].points, same[2].points)


def test_nothing_to_scan():
    vertices, faces = person_like()
    assert scan(torch.zeros(0, *vertices.shape), faces, COARSE).points.shape == (0, 0, 3)
    assert scan(vertices[None], faces[:0], COARSE).points.shape == (1, 0, 3)
    above = vertices[None] + torch.tensor([0.0, 0.0, 30.0])
    assert scan(above, faces, COARSE).counts.tolist() == [0]
