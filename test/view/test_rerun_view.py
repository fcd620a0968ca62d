import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gckpl_ros.errors import InputError
from gckpl_ros.types import Bodies
from gckpl_ros.view.rerun_view import RerunView
from gckpl_ros.view.scene import Scene


def printed(path: Path) -> str:
    """What rerun's own tool reads from a file."""
    call = [sys.executable, "-m", "rerun", "rrd", "print", str(path)]
    result = subprocess.run(call, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def body(identity: int) -> Bodies:
    """One triangle for a person."""
    one = {"ids": np.array([identity]), "statures": np.ones(1, np.float32)}
    shapes = {"betas": (16,), "rotations": (22, 3, 3), "places": (3,), "joints": (22, 3), "keypoints": (14, 3)}
    one |= {name: np.zeros((1, *shape), np.float32) for name, shape in shapes.items()}
    return Bodies(**one, vertices=np.eye(3, dtype=np.float32)[None], faces=np.array([[0, 1, 2]]))


def test_recording_holds_points_boxes_skeletons_and_trails(street: list[Scene], tmp_path: Path) -> None:
    pytest.importorskip("rerun")
    path = tmp_path / "new" / "street.rrd"
    with RerunView(path) as view:
        for scene in street:
            frame = replace(scene.frame, bodies=body(int(scene.frame.tracks.ids[0])))
            view.log(scene.cloud, frame, frame.tracks.boxes, scene.T_fixed_cloud, scene.truth)
        assert not path.exists()
    assert [file.name for file in path.parent.iterdir()] == ["street.rrd"]
    listing = printed(path)
    for entity in (
        "sensor/points",
        "sensor/people/1/limbs",
        "sensor/people/1/body",
        "sensor/people/2/keypoints",
        "sensor/people/1/box",
        "trails/2",
    ):
        assert f" - /world/{entity} - " in listing
    assert "AnnotationContext" in listing


def test_a_failure_leaves_no_file(street: list[Scene], tmp_path: Path) -> None:
    pytest.importorskip("rerun")
    with pytest.raises(RuntimeError), RerunView(tmp_path / "x.rrd") as view:
        view.log(street[0].cloud, street[0].frame)
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_view_must_show_or_write() -> None:
    with pytest.raises(InputError, match="file to write"):
        RerunView()


def test_missing_rerun_is_told_with_the_cure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "rerun", None)
    with pytest.raises(InputError, match=r"pip install 'gckpl_ros\[viz\]'"):
        RerunView(tmp_path / "x.rrd")
