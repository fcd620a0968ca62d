import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gckpl_ros.detect.ground import height_above_ground


def plane(rng, slope_x, slope_y, points=20_000):
    xy = rng.uniform(-12, 12, (2, points))
    return np.vstack((xy, slope_x * xy[0] + slope_y * xy[1] - 1.7))


def heights(xyz):
    return height_above_ground(np.asarray(xyz, np.float32), 1.0)


@settings(max_examples=25)
@given(st.floats(-0.12, 0.12), st.floats(-0.12, 0.12))
def test_sloping_ground_has_no_height(slope_x, slope_y):
    """The lowest point of a cell lies half a cell down the slope: at most (0.12 + 0.12) / 2 = 12 cm, plus the rim."""
    xyz = plane(np.random.default_rng(0), slope_x, slope_y)
    inner = (np.abs(xyz[:2]) < 9).all(axis=0)
    h = heights(xyz)[inner]
    expected = (abs(slope_x) + abs(slope_y)) / 2
    np.testing.assert_allclose(h.mean(), expected, atol=0.03)
    assert np.abs(h).max() < 0.15


def test_height_of_things_on_a_slope_and_under_a_roof_of_a_car():
    rng = np.random.default_rng(1)
    ground = plane(rng, 0.05, 0.0)
    person = np.array([[3, 3, 3], [2, 2, 2], [0.15 - 1.7, 0.15 - 0.7, 0.15 + 0.05]])
    car = np.vstack((rng.uniform(-8, -4, 3000), rng.uniform(-1, 1, 3000), np.full(3000, -0.2)))
    hidden = (np.abs(ground[0] + 6) < 2) & (np.abs(ground[1]) < 1)
    h = heights(np.hstack((ground[:, ~hidden], person, car)))
    np.testing.assert_allclose(h[-3003:-3000], [0, 1.0, 1.75], atol=0.06)
    roof = -0.2 - (0.05 * car[0] - 1.7)
    np.testing.assert_allclose(h[-3000:], roof, atol=0.2)


def test_reflections_from_below_do_not_sink_the_ground():
    rng = np.random.default_rng(2)
    ground = plane(rng, 0, 0)
    sunk = np.array([[1.0, -5.0], [1.0, 3.0], [-6.0, -4.0]])
    h = heights(np.hstack((ground, sunk)))
    assert np.abs(h[:-2]).max() < 0.1


def test_ground_seen_only_in_far_rings():
    """A robot's sparse spinner: rings 3 m apart; a person between them still has the right height."""
    angle = np.linspace(0, 2 * np.pi, 720)
    rings = np.hstack([np.vstack((r * np.cos(angle), r * np.sin(angle), np.full(720, -0.8))) for r in (3, 6, 9, 12)])
    body = np.vstack((np.full(12, 7.4), np.zeros(12), np.linspace(-0.5, 0.9, 12)))
    h = heights(np.hstack((rings, body)))
    np.testing.assert_allclose(h[-12:], np.linspace(0.3, 1.7, 12), atol=0.02)


def test_nothing_has_no_height():
    assert heights(np.zeros((3, 0))).shape == (0,)
    assert heights(np.ones((3, 1))) == 0
