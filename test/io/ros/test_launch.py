"""The launch files, run by ros2 launch, where this package is installed in a ROS workspace (`colcon test` does)."""

import os
import signal
import subprocess
from contextlib import contextmanager

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


def test_the_node_comes_up_with_what_the_arguments_say(rig, peer, share, tmp_path, weights):
    presets = ("params_file:=os1", "device:=cpu", "detections:=none", "points:=/front/points, rear")
    with launched(tmp_path, "gckpl_ros", "gckpl.launch.py", "namespace:=robot", "name:=people", *presets):
        assert rig.until(lambda: peer.state(of="/robot/people") == "active")
        assert rig.until(lambda: peer.node.count_subscribers("/robot/rear"))
        assert peer.get("input.points", "input.detections", "estimate.device", of="/robot/people") == [
            ["/front/points", "rear"],
            "",
            "cpu",
        ]


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
        skeletons = [results.decode(record) for record in results.records({"/gckpl/skeletons"})]
    stamps = [message.header.stamp.sec * 10**9 + message.header.stamp.nanosec for message in skeletons]
    assert set(stamps) <= {START_NS + i * SCAN_NS for i in range(SCANS)}
    assert len(stamps) >= SCANS - 3
    assert sum(len(message.skeletons) == 1 for message in skeletons) >= SCANS - 3
