"""Anchors: written and read back, never shared between rehearsal and guard, and refused where broken."""

import numpy as np
import pytest
import torch
from walkers import crowd, labelled

from gckpl_ros.adapt.guard import Anchors, save_anchors
from gckpl_ros.errors import InputError


@pytest.fixture
def crops():
    return labelled(crowd(10), 0.2)


def test_every_fourth_guards_and_the_others_are_rehearsed(crops, tmp_path):
    save_anchors(tmp_path / "anchors.npz", crops)
    anchors = Anchors.load(tmp_path / "anchors.npz")
    guards, rehearsed = [0, 4, 8], [1, 2, 3, 5, 6, 7, 9]
    for read, rows in ((anchors.guard, guards), (anchors.replay, rehearsed)):
        np.testing.assert_allclose(read.points, crops.points[rows], atol=1e-3)
        for name in ("mask", "views", "parts", "keypoints", "counts"):
            np.testing.assert_array_equal(getattr(read, name), getattr(crops, name)[rows])


def test_what_padding_holds_does_not_matter(crops, tmp_path):
    crops.mask[:, 40:] = False
    save_anchors(tmp_path / "anchors.npz", crops)
    read = Anchors.load(tmp_path / "anchors.npz").replay
    assert (read.points[~read.mask] == 0).all() and read.counts.tolist() == [40] * 7


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("points", np.full((10, 66, 3), np.nan, np.float16)),
        ("points", np.zeros((10, 66, 3), np.float32)),
        ("mask", np.ones((10, 65), np.uint8)),
        ("labels", np.full((10, 66), 15, np.uint8)),
        ("keypoints", np.zeros((10, 13, 3), np.float32)),
        ("views", np.zeros((9, 3), np.float32)),
        ("views", None),
    ],
)
def test_a_broken_array_is_named(crops, tmp_path, name, value):
    path = tmp_path / "anchors.npz"
    save_anchors(path, crops)
    with np.load(path) as file:
        arrays = dict(file)
    arrays = arrays | {name: value} if value is not None else {k: v for k, v in arrays.items() if k != name}
    np.savez(path, **arrays)
    with pytest.raises(InputError, match=rf"anchors\.npz.*{name}"):
        Anchors.load(path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 rubbish", b"\x93NUMPY", b"text"])
def test_what_is_no_archive_is_refused(tmp_path, content):
    (tmp_path / "anchors.npz").write_bytes(content)
    with pytest.raises(InputError, match=r"cannot read anchors"):
        Anchors.load(tmp_path / "anchors.npz")


def test_too_few_crops_cannot_guard(tmp_path):
    save_anchors(tmp_path / "few.npz", labelled(crowd(3), 0.2))
    with pytest.raises(InputError, match="no usable crops"):
        Anchors.load(tmp_path / "few.npz")
    with pytest.raises(InputError, match=r"none\.npz"):
        Anchors.load(tmp_path / "none.npz")


def test_anchors_move_to_a_device(crops, tmp_path):
    save_anchors(tmp_path / "anchors.npz", crops)
    moved = Anchors.load(tmp_path / "anchors.npz").to("meta")
    assert moved.replay.points.device == moved.guard.parts.device == torch.device("meta")
