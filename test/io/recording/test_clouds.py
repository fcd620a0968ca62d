"""Clouds in files: formats written here byte by byte or by their own libraries, times by names, a folder replayed."""

from pathlib import Path

import numpy as np
import open3d
import pyarrow as pa
import pytest
from pyarrow import feather
from scenes import CENTERS, FRAME_NS, cloud

from gckpl_ros.config import Config
from gckpl_ros.errors import InputError
from gckpl_ros.io.messages.skeletons import from_skeleton_array, stamp_ns
from gckpl_ros.io.recording.bag import BagReader
from gckpl_ros.io.recording.clouds import TOPIC, CloudFiles, open_recording, read_cloud
from gckpl_ros.io.recording.replay import SKELETONS, replay
from gckpl_training.commands.demo import main as demo

POINTS = np.array([[1.5, -2, 0.25], [-8, 4, 2], [16, 0.5, -1]], np.float32)


def written(folder: Path) -> list[Path]:
    """POINTS in every format."""
    files = {suffix: folder / f"cloud{suffix}" for suffix in (".bin", ".pcd.bin", ".npy", ".feather", ".ply")}
    np.column_stack([POINTS, [9, 9, 9]]).astype(np.float32).tofile(files[".bin"])
    np.column_stack([POINTS, [9, 9, 9], [1, 2, 3]]).astype(np.float32).tofile(files[".pcd.bin"])
    np.save(files[".npy"], POINTS.astype(np.float64))
    feather.write_feather(
        pa.table({axis: POINTS[:, i].astype(np.float16) for i, axis in enumerate("xyz")}), files[".feather"]
    )
    geometry = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(POINTS))
    open3d.io.write_point_cloud(str(files[".ply"]), geometry)
    for kind, options in {"text": {"write_ascii": True}, "binary": {}, "packed": {"compressed": True}}.items():
        files[kind] = folder / f"{kind}.pcd"
        open3d.io.write_point_cloud(str(files[kind]), geometry, **options)
    head = "# .PCD v0.7\nFIELDS i x _ y z\nSIZE 2 4 1 4 8\nTYPE U F U F F\nCOUNT 1 1 3 1 1\n"
    head += "WIDTH 3\nHEIGHT 1\nPOINTS 3\nDATA binary\n"
    mixed = np.zeros(3, [("i", "<u2"), ("x", "<f4"), ("_", "u1", 3), ("y", "<f4"), ("z", "<f8")])
    mixed["x"], mixed["y"], mixed["z"] = POINTS.T
    files["mixed"] = folder / "mixed.pcd"
    files["mixed"].write_bytes(head.encode() + mixed.tobytes())
    return list(files.values())


def test_every_format_says_the_same(tmp_path: Path) -> None:
    for file in written(tmp_path):
        np.testing.assert_array_equal(read_cloud(file), POINTS, err_msg=file.name)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.bin", b"\0" * 44, "rows of 4 or 5"),
        ("a.pcd", b"FIELDS x y\n", "no DATA"),
        ("a.pcd", b"FIELDS x y\nSIZE 4 4\nTYPE F F\nPOINTS 1\nDATA binary\n12345678", "damaged"),
        ("a.npy", b"nothing", "damaged"),
        ("a.feather", b"nothing", "cannot read"),
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, name: str, content: bytes, told: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=told):
        read_cloud(tmp_path / name)


def test_names_that_are_times_are_stamps_others_come_ten_a_second(tmp_path: Path) -> None:
    def stamps(*names: str) -> list[int]:
        folder = tmp_path / names[0]
        folder.mkdir()
        for name in names:
            np.save(folder / f"{name}.npy", POINTS)
        with CloudFiles(folder) as clouds:
            assert clouds.count(TOPIC) == len(names)
            return [stamp_ns(clouds.decode(record).header.stamp) for record in clouds.records([TOPIC])]

    assert stamps("315966265360032000", "315966265259836000") == [315966265259836000, 315966265360032000]
    assert stamps("lidar_1532402927647951", "lidar_1532402928000000") == [1532402927647951000, 1532402928000000000]
    assert stamps("000003", "000001", "000002") == [0, 100_000_000, 200_000_000]
    assert type(open_recording(tmp_path / "000003")) is CloudFiles
    with pytest.raises(InputError, match="no cloud"):
        CloudFiles(tmp_path)


def test_the_demo_shows_the_pedestrian_of_a_real_scan(tmp_path: Path) -> None:
    """One person is known in it, 13 m away; how they stand nobody labelled."""
    demo(tmp_path, real=True)
    assert (tmp_path / "real.png").stat().st_size > 50_000
    with BagReader(tmp_path / "real.mcap") as bag:
        (frame,) = (from_skeleton_array(bag.decode(record)) for record in bag.records([SKELETONS]))
    np.testing.assert_allclose(frame.tracks.boxes.centers, [[11.1, -7.2, -1.1]], atol=0.3)


def test_a_folder_of_clouds_is_replayed(tmp_path: Path) -> None:
    """Three people who stand still before the sensor for a second: as many, where they are."""
    (tmp_path / "clouds").mkdir()
    for number in range(10):
        np.save(tmp_path / f"clouds/{number}.npy", cloud(number).points)
    config = Config.parse({"detect": {"method": "shape", "min_confidence": 0.0}})
    summary = replay(tmp_path / "clouds", tmp_path / "out.mcap", config)
    assert summary.frames == 10
    with BagReader(tmp_path / "out.mcap") as bag:
        frames = [from_skeleton_array(bag.decode(record)) for record in bag.records([SKELETONS])]
    assert [frame.stamp_ns for frame in frames] == [number * FRAME_NS for number in range(10)]
    found = frames[-1].tracks
    assert len(set(found.ids)) == 3
    apart = np.linalg.norm(found.boxes.centers[:, None] - CENTERS, axis=2)
    assert sorted(apart.argmin(1)) == [0, 1, 2] and apart.min(1).max() < 0.3
