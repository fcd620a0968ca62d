from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageChops

from gckpl_ros.errors import InputError
from gckpl_ros.types import TrackState
from gckpl_ros.view.palette import DARK, LIGHT, Theme
from gckpl_ros.view.pictures import (
    PANEL_PX,
    animation,
    best_views,
    camera_3d,
    camera_side,
    camera_top,
    closeup,
    picture,
)
from gckpl_ros.view.scene import Scene

SIZE = (240, 160)


def near(image: Image.Image, colour: tuple[float, float, float]) -> np.ndarray:
    """Where a picture has about this colour."""
    return np.abs(np.asarray(image) / 255 - colour).max(-1) < 0.12


@pytest.mark.parametrize("camera_of", [camera_3d, camera_side, camera_top])
@pytest.mark.parametrize("theme", [DARK, LIGHT])
def test_every_track_is_seen_in_its_colour(street: list[Scene], camera_of, theme: Theme) -> None:
    camera = camera_of(street, SIZE)
    image = picture(street[0], camera, theme, tags=True)
    for row in (0, 1):
        rows, columns = np.nonzero(near(image, theme.track(row + 1)))
        middle = camera.project(street[0].frame.tracks.boxes.centers)[0][row]
        assert len(rows) > 5
        assert np.hypot(columns - middle[0], rows - middle[1]).min() < 15


def test_lost_tracks_are_not_drawn(street: list[Scene]) -> None:
    tracks = street[0].frame.tracks
    lost = replace(tracks, states=np.array([TrackState.TRACKED, TrackState.LOST], np.int64))
    scene = replace(street[0], frame=replace(street[0].frame, tracks=lost))
    camera = camera_top([scene], SIZE)
    seen, gone = (near(picture(s, camera, DARK), DARK.track(2)).sum() for s in (street[0], scene))
    assert gone < 0.3 * seen


def test_a_scan_without_people_is_a_picture_too(nobody: Scene) -> None:
    image = picture(nobody, camera_3d([nobody], SIZE), DARK)
    assert image.size == SIZE
    assert len(image.getcolors(100_000)) > 20


def test_closeup_faces_the_person_so_that_left_is_at_the_right(street: list[Scene]) -> None:
    view = closeup(street[0], 0)
    assert view.image.size == (2 * PANEL_PX[0], PANEL_PX[1])
    front = view.image.crop((0, 0, *PANEL_PX))
    left, right = (np.nonzero(near(front, colour))[1].mean() for colour in (DARK.left, DARK.right))
    assert right < PANEL_PX[0] / 2 < left


def test_closeup_tells_error_range_and_points(street: list[Scene]) -> None:
    view = closeup(street[0], 0)
    assert view.error_m == pytest.approx(0.05, abs=1e-6)
    assert view.range_m == pytest.approx(np.hypot(6, 2), abs=1e-5)
    assert view.points == (street[0].owners == 0).sum()
    assert view.confidence == pytest.approx(0.9)
    assert closeup(replace(street[0], truth=None), 0).error_m is None


def test_best_view_is_the_instant_with_most_points(street: list[Scene]) -> None:
    crowded = street[3].cloud
    extra = crowded.points[street[3].owners == 1]
    street[3] = replace(street[3], cloud=replace(crowded, points=np.concatenate([crowded.points, extra])))
    assert (3, 1) in best_views(street, 5)
    assert len(best_views(street, 1)) == 1


def test_animation_plays_in_real_time(street: list[Scene]) -> None:
    film = Image.open(BytesIO(animation(street)))
    assert film.n_frames == 5
    film.seek(1)
    film.load()
    assert film.info["duration"] == 100
    last = film.convert("RGB")
    film.seek(4)
    assert ImageChops.difference(last, film.convert("RGB")).getbbox() is not None


def test_animation_leaves_frames_out_and_keeps_the_speed(street: list[Scene]) -> None:
    film = Image.open(BytesIO(animation(street, most_frames=3)))
    assert film.n_frames == 3
    film.seek(1)
    film.load()
    assert film.info["duration"] == 200


def test_animation_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="no frames"):
        animation([])
