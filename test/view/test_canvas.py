import numpy as np

from gckpl_ros.view.canvas import Canvas, orthographic
from gckpl_ros.view.palette import DARK, LIGHT, TRACKS, mix, rgb

SQUARE = np.array([[-1, -1, 0], [1, 1, 0]], np.float32)
RED, GREEN = np.array([1, 0, 0], np.float32), np.array([0, 1, 0], np.float32)


def canvas() -> Canvas:
    return Canvas(orthographic(SQUARE, (100, 100), 0.0, 90.0), DARK)


def test_the_nearest_point_is_on_top_whatever_the_order() -> None:
    for order in ([0, 1], [1, 0]):
        drawn = canvas()
        drawn.points(np.array([[0, 0, 1], [0, 0, -1]], np.float32)[order], np.stack([RED, GREEN])[order], 2.0)
        assert drawn.image().getpixel((50, 50)) == (255, 0, 0)


def test_a_point_lies_where_the_camera_says_and_nowhere_else() -> None:
    drawn = canvas()
    place = np.array([[0.5, 0.5, 0]], np.float32)
    drawn.points(place, RED[None], 1.5)
    red = np.asarray(drawn.image())[..., 0] > 128
    rows, columns = np.nonzero(red)
    pixel = drawn.camera.project(place)[0][0]
    np.testing.assert_allclose((columns.mean(), rows.mean()), pixel, atol=1)
    assert 1 <= red.sum() <= 12


def test_points_behind_and_beside_the_picture_leave_no_trace() -> None:
    drawn = canvas()
    drawn.points(np.array([[0, 0, 500], [90, 0, 0]], np.float32), np.stack([RED, RED]), 3.0)
    assert np.asarray(drawn.image())[..., 0].max() < 64


def test_lines_are_interrupted_behind_the_camera() -> None:
    drawn = canvas()
    drawn.polyline(np.array([[-0.5, 0, 0], [0.5, 0, 0], [0.5, 0, 500]], np.float32), (1.0, 0.0, 0.0), 2.0)
    red = np.asarray(drawn.image())[..., 0] > 128
    rows, columns = np.nonzero(red)
    assert np.ptp(rows) > 40
    assert np.ptp(columns) <= 3


def test_colours() -> None:
    assert rgb("#ff0080") == (1.0, 0.0, 128 / 255)
    assert mix((0.0, 0.0, 0.0), (1.0, 0.5, 0.0), 0.5) == (0.5, 0.25, 0.0)
    assert len(set(TRACKS)) == len(TRACKS)
    for theme in (DARK, LIGHT):
        assert theme.track(1) == theme.track(1 + len(TRACKS)) != theme.track(2)
        sides = theme.sides()
        assert sides[1] == theme.left and sides[7] == theme.right and sides[0] == theme.middle
