"""The launch files, run by ros2 launch, where this package is installed in a ROS workspace (`colcon test` does)."""

import os
import shutil
import signal
import subprocess
from contextlib import contextmanager
from pathlib import Path
from time import sleep

import pytest
from ros_messages import SCAN_NS, START_NS, cloud, detections

from gckpl_ros.io.recording.bag import BagReader, BagWriter

TOPICS = {"/lidar/points": "sensor_msgs/msg/PointCloud2", "/boxes": "vision_msgs/msg/Detection3DArray"}
SCANS = 30
ROBOTS = """
from launch import LaunchDescription
from launch.actions import GroupAction, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

FILE = PythonLaunchDescriptionSource("{file}")


def generate_launch_description():
    robots = {{"one": "/one/lidar", "two": "/two/lidar"}}
    return LaunchDescription(
        [
            GroupAction([IncludeLaunchDescription(FILE, launch_arguments=dict(namespace=n, points=p).items())])
            for n, p in robots.items()
        ]
    )
"""


@pytest.fixture(scope="module")
def share(rig):
    """Where the package is installed."""
    pytest.importorskip("ros2launch")
    index = pytest.importorskip("ament_index_python.packages")
    try:
        return index.get_package_share_directory("gckpl_ros")
    except index.PackageNotFoundError:
        pytest.skip("gckpl_ros is not installed in a ROS workspace")


@contextmanager
def launched(folder, *arguments):
    """A running `ros2 launch` and where it writes; ended by Ctrl-C."""
    log = folder / "launch.log"
    with log.open("wb") as output:
        environment = os.environ | {"OMP_NUM_THREADS": "1", "ROS_LOG_DIR": str(folder)}
        command = ["ros2", "launch", *map(str, arguments)]
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=environment, start_new_session=True
        )
    try:
        yield process, log
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(60) in (0, 1), log.read_text()
        assert "Traceback" not in log.read_text()


def launch(folder, file, *arguments):
    """A `ros2 launch` that ends by itself."""
    environment = os.environ | {"ROS_LOG_DIR": str(folder)}
    command = ["ros2", "launch", "gckpl_ros", file, *arguments]
    return subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, timeout=60, check=False
    )


def node_processes(folder):
    """Process ids of the nodes that a launch file has started, by the folder of their logs."""
    mark = f"ROS_LOG_DIR={folder}".encode()
    return [
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/environ")
        if b"lib/gckpl_ros/skeleton_node" in _read(path.with_name("cmdline")) and mark in _read(path)
    ]


def _read(path):
    try:
        return path.read_bytes()
    except OSError:  # ended meanwhile, or not ours
        return b""


def test_the_node_comes_up_with_what_the_arguments_say(rig, peer, share, tmp_path, weights):
    presets = ("params_file:=gckpl", "device:=cpu", "detections:=none", "points:=/front/points, rear")
    with launched(tmp_path, "gckpl_ros", "gckpl.launch.py", "namespace:=robot", "name:=people", *presets):
        assert rig.until(lambda: peer.state(of="/robot/people") == "active")
        assert rig.until(lambda: peer.node.count_subscribers("/robot/rear"))
        assert peer.get("input.points", "input.detections", "estimate.device", of="/robot/people") == [
            ["/front/points", "rear"],
            "",
            "cpu",
        ]


def test_it_is_activated_at_the_start_only(rig, peer, share, tmp_path):
    with launched(tmp_path, "gckpl_ros", "gckpl.launch.py", "device:=cpu"):
        assert rig.until(lambda: peer.state() == "active")
        assert peer.change("deactivate", "cleanup") == [True, True]
        assert peer.set("estimate.threads", 1) == ""
        assert peer.change("configure") == [True]
        sleep(1.0)  # time for somebody else to activate it
        assert peer.state() == "inactive"
        assert peer.change("activate") == [True]


def test_a_node_that_dies_is_started_again(rig, peer, share, tmp_path):
    arguments = ("device:=cpu", "respawn:=True", "rviz:=False")
    with launched(tmp_path, "gckpl_ros", "gckpl.launch.py", *arguments) as (_, log):
        assert rig.until(lambda: peer.state() == "active")
        (first,) = node_processes(tmp_path)
        os.kill(first, signal.SIGKILL)
        assert rig.until(lambda: node_processes(tmp_path) not in ([], [first]))
        assert rig.until(lambda: log.read_text().count("configured: clouds from /points") == 2)
        assert rig.until(lambda: peer.node.count_subscribers("/points") == 1)  # DDS forgets the first one only now
        assert peer.state() == "active"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_node_ends_with_its_launch(rig, peer, share, tmp_path, number):
    command = ["ros2", "launch", "gckpl_ros", "gckpl.launch.py", "device:=cpu", "respawn:=true"]
    process = subprocess.Popen(command, env=os.environ | {"ROS_LOG_DIR": str(tmp_path)}, start_new_session=True)
    assert rig.until(lambda: peer.state() == "active")
    process.send_signal(number)
    process.wait(10)
    assert rig.until(lambda: node_processes(tmp_path) == [], 5.0)


def test_twenty_rounds_of_the_lifecycle_under_a_launch_file(rig, peer, share, tmp_path):
    with launched(tmp_path, "gckpl_ros", "gckpl.launch.py", "device:=cpu") as (_, log):
        assert rig.until(lambda: peer.state() == "active")
        for _ in range(20):
            assert peer.change("deactivate", "cleanup", "configure", "activate") == [True] * 4
        assert peer.state() == "active" and "ERROR" not in log.read_text()


@pytest.mark.parametrize(
    ("argument", "told"),
    [
        ("params_file:=/nowhere/my.yaml", "params_file:=/nowhere/my.yaml cannot be read"),
        ("params_file:={folder}/other.yaml", "has no ros__parameters"),
        ("params_file:={folder}/broken.yaml", "cannot be read"),
        ("rviz:=true", "rviz2 is not installed"),
    ],
)
def test_what_cannot_be_started_ends_the_launch_before_anything_runs(rig, share, tmp_path, argument, told):
    if told.startswith("rviz2") and shutil.which("rviz2"):
        pytest.skip("rviz2 is installed here")
    (tmp_path / "other.yaml").write_text("someone_else: {ros__parameters: {a: 1}}\n")
    (tmp_path / "broken.yaml").write_text("{")
    ended = launch(tmp_path, "gckpl.launch.py", argument.format(folder=tmp_path))
    assert ended.returncode == 1 and told in ended.stdout and "skeleton_node" not in ended.stdout


def test_an_existing_folder_is_not_recorded_into(rig, share, tmp_path):
    bag, out = tmp_path / "street.mcap", tmp_path / "out"
    with BagWriter(bag, TOPICS) as writer:
        writer.write("/lidar/points", START_NS, cloud(0))
    out.mkdir()
    ended = launch(tmp_path, "replay.launch.py", f"bag:={bag}", f"record:={out}", "rviz:=false")
    assert ended.returncode == 1 and "is there already" in ended.stdout and "skeleton_node" not in ended.stdout


def test_without_autostart_it_waits(rig, peer, share, tmp_path):
    with launched(tmp_path, "gckpl_ros", "gckpl.launch.py", "autostart:=false", "use_sim_time:=true"):
        assert peer.state() == "unconfigured"
        assert peer.get("use_sim_time") == [True]


def test_two_robots_in_one_launch_file(rig, peer, share, tmp_path):
    file = tmp_path / "robots.launch.py"
    file.write_text(ROBOTS.format(file=f"{share}/launch/gckpl.launch.py"))
    with launched(tmp_path, file):
        for name in ("one", "two"):
            assert rig.until(lambda name=name: peer.state(of=f"/{name}/gckpl") == "active")
            assert peer.get("input.points", of=f"/{name}/gckpl") == [[f"/{name}/lidar"]]


def test_a_recording_is_played_to_its_end_and_the_results_are_recorded(rig, share, tmp_path):
    pytest.importorskip("ros2bag")
    bag, out = tmp_path / "street.mcap", tmp_path / "out"
    with BagWriter(bag, TOPICS) as writer:
        for i in range(SCANS):
            writer.write("/boxes", START_NS + i * SCAN_NS, detections(i, "person"))
            writer.write("/lidar/points", START_NS + i * SCAN_NS, cloud(i))
    options = (f"bag:={bag}", f"record:={out}", "rviz:=false", "device:=cpu")
    with launched(tmp_path, "gckpl_ros", "replay.launch.py", *options) as (process, log):
        assert process.wait(120) == 0, log.read_text()
    with BagReader(out) as results:
        recorded = list(results.records({"/gckpl/skeletons"}))
        skeletons = [results.decode(record) for record in recorded]
    stamps = [message.header.stamp.sec * 10**9 + message.header.stamp.nanosec for message in skeletons]
    assert set(stamps) <= {START_NS + i * SCAN_NS for i in range(SCANS)}
    assert len(stamps) >= SCANS - 3
    received = [record.received_ns for record in recorded]
    assert min(received) >= START_NS and max(received) <= START_NS + (SCANS + 50) * SCAN_NS  # not of today
    assert sum(len(message.skeletons) == 1 for message in skeletons) >= SCANS - 3
