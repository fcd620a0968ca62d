"""ros2 launch gckpl_ros replay.launch.py bag:=FILE: a recording played to the node, until its end.

RViz shows it, unless rviz:=false; record:=FOLDER records the results. What else gckpl.launch.py takes may be given too.
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import Action, LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    ExecuteProcess,
    IncludeLaunchDescription,
    OpaqueFunction,
    RegisterEventHandler,
    Shutdown,
    TimerAction,
)
from launch.event_handlers import OnProcessExit, OnProcessStart
from launch.events.process import ProcessExited
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode
from launch_ros.event_handlers import OnStateTransition
from launch_ros.events.lifecycle import ChangeState
from lifecycle_msgs.msg import Transition
from rosbag2_py import Info

CLOUDS, BOXES = "sensor_msgs/msg/PointCloud2", "vision_msgs/msg/Detection3DArray"
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
        launch_arguments={
            **_topics(chosen),
            "rviz": chosen["rviz"],
            "use_sim_time": "true",
            "autostart": "false",
        }.items(),
    )
    recorder = _record(chosen["record"], context) if chosen["record"] else []
    return [*_bring_up(), *_play(chosen["bag"], chosen["rate"]), *recorder, node]


def _topics(chosen: dict[str, str]) -> dict[str, str]:
    """Topics as asked for, or as the recording has them; raises RuntimeError where that is not clear."""
    recorded = _recorded(chosen["bag"])
    clouds, boxes = (sorted(name for name, kind in recorded.items() if kind == of) for of in (CLOUDS, BOXES))
    if not chosen["points"] and len(clouds) != 1:
        raise RuntimeError(f"bag:={chosen['bag']} has {', '.join(clouds) or 'no PointCloud2'}: choose with points:=")
    return {
        "points": chosen["points"] or clouds[0],
        "detections": chosen["detections"] or (boxes[0] if boxes else "none"),
    }


def _recorded(bag: str) -> dict[str, str]:
    """Types of all topics; by rosbag2, for ros2's own Python may lack what this package needs."""
    if not Path(bag).exists():
        raise RuntimeError(f"bag:={bag} is not there")
    try:
        metadata = Info().read_metadata(bag, "mcap" if bag.endswith(".mcap") else "")
    except Exception as error:  # of rosbag2's C++, of any kind
        raise RuntimeError(f"bag:={bag} cannot be read: {error}") from error
    return {each.topic_metadata.name: each.topic_metadata.type for each in metadata.topics_with_message_count}


def _bring_up() -> list[LaunchDescriptionEntity]:
    """Configure and activate from here: a node that does it itself may be active before anybody hears of it."""
    configured = OnStateTransition(
        start_state="configuring", goal_state="inactive", entities=[_change(Transition.TRANSITION_ACTIVATE)]
    )
    started = OnProcessStart(target_action=_is_node, on_start=[_change(Transition.TRANSITION_CONFIGURE)])
    return [RegisterEventHandler(configured), RegisterEventHandler(started)]


def _change(transition: int) -> EmitEvent:
    return EmitEvent(event=ChangeState(lifecycle_node_matcher=_is_node, transition_id=transition))


def _is_node(action: Action) -> bool:
    return isinstance(action, LifecycleNode)


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
