"""ros2 launch gckpl_ros replay.launch.py bag:=FILE: a recording played to the node, until its end.

RViz shows it, unless rviz:=false; record:=FOLDER records the results. What else gckpl.launch.py takes may be given too.
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    IncludeLaunchDescription,
    OpaqueFunction,
    RegisterEventHandler,
    Shutdown,
    TimerAction,
)
from launch.event_handlers import OnProcessExit
from launch.events.process import ProcessExited
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.event_handlers import OnStateTransition

from gckpl_ros.io.recording.bag import BagReader
from gckpl_ros.io.recording.recorded_input import CLOUD_TYPE, DETECTIONS_TYPE

SHARE = Path(get_package_share_directory("gckpl_ros"))
ARGUMENTS = [
    DeclareLaunchArgument("bag", description="rosbag2 directory or .mcap file"),
    DeclareLaunchArgument("record", default_value="", description="folder to record the results to; empty: none"),
    DeclareLaunchArgument("rate", default_value="1.0", description="speed of play"),
    DeclareLaunchArgument(
        "points", default_value="", description="PointCloud2 topics; empty: the recording's only one"
    ),
    DeclareLaunchArgument(
        "detections", default_value="", description="Detection3DArray topic; empty: the recording's; none: not used"
    ),
    DeclareLaunchArgument(
        "rviz", default_value="true", choices=["true", "false", "True", "False"], description="start RViz"
    ),
]
# The node and the recorder find the player's topics within this time, and results come after the last cloud.
DISCOVERY_S, LAST_RESULTS_S = 1.0, 2.0
# The player's clock runs while it reads so many messages: with its usual 1000 it sends the first clouds in one burst.
AHEAD = 20


def generate_launch_description() -> LaunchDescription:
    """All arguments, then player, node, RViz and recorder."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=_replay)])


def _replay(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    chosen = {argument.name: LaunchConfiguration(argument.name).perform(context) for argument in ARGUMENTS}
    node = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(SHARE / "launch/gckpl.launch.py")),
        launch_arguments={**_topics(chosen), "rviz": chosen["rviz"], "use_sim_time": "true"}.items(),
    )
    recorder = _record(chosen["record"], context) if chosen["record"] else []
    return [*_play(chosen["bag"], chosen["rate"]), *recorder, node]


def _topics(chosen: dict[str, str]) -> dict[str, str]:
    """Topics as asked for, or as the recording has them; raises InputError where that is not clear."""
    with BagReader(chosen["bag"]) as bag:
        detections = (bag.of_type(DETECTIONS_TYPE) or ["none"])[0]
        return {
            "points": chosen["points"] or bag.topic(CLOUD_TYPE, option="points:="),
            "detections": chosen["detections"] or detections,
        }


def _play(bag: str, rate: str) -> list[LaunchDescriptionEntity]:
    """Begin when the node is active; end everything after the last results, or when it cannot be configured."""
    command = ["ros2", "bag", "play", bag, "--clock", "--rate", rate, "--delay", str(DISCOVERY_S)]
    command += ["--read-ahead-queue-size", str(AHEAD), "--disable-keyboard-controls"]
    player = ExecuteProcess(cmd=command, output="screen")
    end = TimerAction(period=LAST_RESULTS_S, actions=[Shutdown(reason="the recording has ended")])
    failed = Shutdown(reason="the node cannot be configured: its log says why")
    return [
        RegisterEventHandler(OnStateTransition(goal_state="active", entities=[player], handle_once=True)),
        RegisterEventHandler(
            OnStateTransition(start_state="configuring", goal_state="unconfigured", entities=[failed])
        ),
        RegisterEventHandler(OnProcessExit(target_action=player, on_exit=[end])),
    ]


def _record(folder: str, context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """All that the node publishes, in the recording's time; arguments of gckpl.launch.py name the node.

    Raises RuntimeError where the folder is there already; a recorder that fails ends the launch with an error.
    """
    if Path(folder).exists():
        raise RuntimeError(f"record:={folder} is there already: name another folder, or remove it")
    names = (context.launch_configurations.get(key, usual) for key, usual in (("namespace", ""), ("name", "gckpl")))
    node = "/".join(name.strip("/") for name in names).strip("/")
    results = rf"^(/{node}/.*|.*/tf|.*/tf_static|.*/humans/.*)$"
    command = ["ros2", "bag", "record", "-o", folder, "--use-sim-time", "--regex", results]
    recorder = ExecuteProcess(cmd=command, output="screen")
    return [recorder, RegisterEventHandler(OnProcessExit(target_action=recorder, on_exit=_recorder_ended))]


def _recorder_ended(event: ProcessExited, context: LaunchContext) -> None:
    if event.returncode and not context.is_shutdown:
        raise RuntimeError(f"the recorder failed with status {event.returncode}: nothing is recorded")
