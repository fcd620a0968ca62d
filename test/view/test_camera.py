import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gckpl_ros.view.canvas import box_corners, looking, mean_bearing_deg, orthographic, perspective

CUBE = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (0, 2)], np.float32)


def test_level_camera_looking_ahead_has_left_at_the_left_and_up_at_the_top() -> None:
    camera = orthographic(CUBE, (400, 400), 0.0)
    pixels, depths = camera.project(np.array([[0, 0, 1], [0, 1, 1], [0, 0, 2], [5, 0, 1]], np.float32))
    middle, left, above, _ = pixels
    np.testing.assert_allclose(middle, (200, 200), atol=1e-3)
    assert left[0] < middle[0] and left[1] == pytest.approx(middle[1], abs=1e-3)
    assert above[1] < middle[1] and above[0] == pytest.approx(middle[0], abs=1e-3)
    assert depths[3] == pytest.approx(depths[0] + 5)


def test_birds_eye_has_ahead_at_the_top_and_left_at_the_left() -> None:
    camera = orthographic(CUBE, (400, 400), 0.0, 90.0, fill=1.0)
    pixels, _ = camera.project(np.array([[1, 1, 0]], np.float32))
    np.testing.assert_allclose(pixels[0], (0, 0), atol=1e-2)


def test_pinhole_halves_sizes_at_twice_the_depth() -> None:
    camera = perspective(CUBE, (400, 300), 0.0, 0.0)
    sizes = camera.pixels_per_metre(np.array([5, 10], np.float32))
    assert sizes[0] == pytest.approx(2 * sizes[1])
    assert camera.scale == pytest.approx(200 / np.tan(np.radians(20)))


@given(st.floats(-180, 180), st.floats(0, 89))
def test_everything_that_must_be_seen_is_in_the_picture_and_fills_it(azimuth: float, elevation: float) -> None:
    for camera in (
        perspective(CUBE, (320, 240), azimuth, elevation, fill=0.9),
        orthographic(CUBE, (320, 240), azimuth, elevation, fill=0.9),
    ):
        pixels, depths = camera.project(CUBE)
        share = np.abs(pixels - (160, 120)) / (160, 120)
        assert (depths > 0).all()
        assert share.max() == pytest.approx(0.9, abs=0.01)


@given(st.floats(-180, 180), st.floats(-90, 90))
def test_looking_is_a_rotation(azimuth: float, elevation: float) -> None:
    rotation = looking(azimuth, elevation)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1)


def test_box_turned_by_a_right_angle_swaps_length_and_width() -> None:
    corners = box_corners(np.zeros((1, 3), np.float32), np.array([[4, 2, 1]], np.float32), np.float32([np.pi / 2]))
    np.testing.assert_allclose(np.abs(corners[0]).max(0), (1, 2, 0.5), atol=1e-6)
    assert (corners[0, :4, 2] == -0.5).all()


def test_bearing_of_people_ahead_left_and_all_around() -> None:
    assert mean_bearing_deg(np.array([[0, 5, 0], [0, 9, 1]], np.float32)) == pytest.approx(90)
    assert mean_bearing_deg(np.array([[5, 0, 0], [-5, 0, 0]], np.float32)) == 0
