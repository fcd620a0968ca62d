"""ros2 launch gckpl_ros gckpl.launch.py: the node, brought up to active, and RViz on request.

Several robots: include this file once for each, in a scoped group, with its own namespace.
"""

from pathlib import Path
from typing import Any

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, EmitEvent, OpaqueFunction, RegisterEventHandler
from launch.events import matches_action
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode, Node
from launch_ros.event_handlers import OnStateTransition
from launch_ros.events.lifecycle import ChangeState
from launch_ros.parameter_descriptions import ParameterValue
from lifecycle_msgs.msg import Transition

CONFIG = Path(get_package_share_directory("gckpl_ros")) / "config"
PRESETS = sorted(file.name.removesuffix(".param.yaml") for file in CONFIG.glob("*.param.yaml"))
SWITCH = ["true", "false"]
LEVELS = ["debug", "info", "warn", "error", "fatal"]
ARGUMENTS = [
    DeclareLaunchArgument(
        "params_file", default_value="gckpl", description=f"a file, or one of {', '.join(PRESETS)} (in {CONFIG})"
    ),
    DeclareLaunchArgument("namespace", default_value="", description="of the node, e.g. robot1"),
    DeclareLaunchArgument("name", default_value="gckpl", description="of the node"),
    DeclareLaunchArgument("use_sim_time", default_value="false", choices=SWITCH, description="time from /clock"),
    DeclareLaunchArgument(
        "points", default_value="", description="PointCloud2 topic, several by comma; empty: as params_file says"
    ),
    DeclareLaunchArgument(
        "detections", default_value="", description="Detection3DArray topic; none: no detector; empty: as params_file"
    ),
    DeclareLaunchArgument("device", default_value="", description="auto, cpu or cuda:0; empty: as params_file says"),
    DeclareLaunchArgument("autostart", default_value="true", choices=SWITCH, description="configure and activate"),
    DeclareLaunchArgument("log_level", default_value="info", choices=LEVELS, description="of the node"),
    DeclareLaunchArgument(
        "namespaced_tf", default_value="false", choices=SWITCH, description="/tf and /humans inside the namespace too"
    ),
    DeclareLaunchArgument("rviz", default_value="false", choices=SWITCH, description="start RViz"),
    DeclareLaunchArgument("fixed_frame", default_value="lidar", description="of RViz: one that TF or the cloud has"),
]
GLOBAL_TOPICS = ("tf", "tf_static", "humans/bodies/tracked")


def generate_launch_description() -> LaunchDescription:
    """All arguments, then the node with what they say."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=_bring_up)])


def _bring_up(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    chosen = {argument.name: LaunchConfiguration(argument.name).perform(context) for argument in ARGUMENTS}
    remappings = [(f"/{topic}", topic) for topic in GLOBAL_TOPICS if chosen["namespaced_tf"] == "true"]
    node = LifecycleNode(
        package="gckpl_ros",
        executable="skeleton_node",
        name=chosen["name"],
        namespace=chosen["namespace"],
        parameters=[_params_file(chosen["params_file"]), _overrides(chosen)],
        remappings=remappings,
        ros_arguments=["--log-level", chosen["log_level"]],
        output="screen",
    )
    actions = [*_activation(node), node] if chosen["autostart"] == "true" else [node]
    if chosen["autostart"] == "true":
        actions.append(_change(node, Transition.TRANSITION_CONFIGURE))
    return [*actions, _rviz(chosen, remappings)] if chosen["rviz"] == "true" else actions


def _params_file(name: str) -> str:
    return str(CONFIG / f"{name}.param.yaml") if name in PRESETS else name


def _overrides(chosen: dict[str, str]) -> dict[str, Any]:
    """Parameters that the arguments set over those of the file."""
    values: dict[str, Any] = {"use_sim_time": chosen["use_sim_time"] == "true"}
    if points := _names(chosen["points"]):
        values["input.points"] = ParameterValue(points, value_type=list[str])
    if detections := chosen["detections"]:
        values["input.detections"] = ParameterValue("" if detections == "none" else detections, value_type=str)
    if device := chosen["device"]:
        values["estimate.device"] = ParameterValue(device, value_type=str)
    return values


def _activation(node: LifecycleNode) -> list[LaunchDescriptionEntity]:
    """Activate once configured: not when somebody deactivates it later."""
    activate = _change(node, Transition.TRANSITION_ACTIVATE)
    configured = OnStateTransition(
        target_lifecycle_node=node, start_state="configuring", goal_state="inactive", entities=[activate]
    )
    return [RegisterEventHandler(configured)]


def _change(node: LifecycleNode, transition: int) -> EmitEvent:
    return EmitEvent(event=ChangeState(lifecycle_node_matcher=matches_action(node), transition_id=transition))


def _rviz(chosen: dict[str, str], remappings: list[tuple[str, str]]) -> Node:
    """Its topics are those of the node with default names, in the same namespace."""
    shown = {"points": (_names(chosen["points"]) or ["points"])[0], "gckpl/markers": f"{chosen['name']}/markers"}
    shown["detections"] = chosen["detections"] or "detections"
    return Node(
        package="rviz2",
        executable="rviz2",
        name="rviz",
        namespace=chosen["namespace"],
        arguments=["-d", str(CONFIG / "gckpl.rviz"), "-f", chosen["fixed_frame"]],
        parameters=[{"use_sim_time": chosen["use_sim_time"] == "true"}],
        remappings=[*remappings, *((topic, name) for topic, name in shown.items() if topic != name)],
    )


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
