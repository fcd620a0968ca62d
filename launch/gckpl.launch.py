"""ros2 launch gckpl_ros gckpl.launch.py: the node, brought up to active, and RViz on request.

Several robots: include this file once for each, in a scoped group, with its own namespace.
"""

from pathlib import Path
from typing import Any

import yaml
from ament_index_python.packages import PackageNotFoundError, get_package_prefix, get_package_share_directory
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode, Node
from launch_ros.parameter_descriptions import ParameterValue

CONFIG = Path(get_package_share_directory("gckpl_ros")) / "config"
PRESETS = sorted(file.name.removesuffix(".param.yaml") for file in CONFIG.glob("*.param.yaml"))
SWITCH = ["true", "false", "True", "False"]
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
    DeclareLaunchArgument(
        "respawn", default_value="false", choices=SWITCH, description="start the node again if it dies"
    ),
    DeclareLaunchArgument("log_level", default_value="info", choices=LEVELS, description="of the node"),
    DeclareLaunchArgument(
        "namespaced_tf", default_value="false", choices=SWITCH, description="/tf and /humans inside the namespace too"
    ),
    DeclareLaunchArgument("rviz", default_value="false", choices=SWITCH, description="start RViz"),
    DeclareLaunchArgument("fixed_frame", default_value="lidar", description="of RViz: one that TF or the cloud has"),
]
GLOBAL_TOPICS = ("tf", "tf_static", "humans/bodies/tracked")
RESPAWN_DELAY_S = 2.0
# SIGTERM, as SIGKILL, ends `ros2 launch` at once, and would leave the node behind.
ENDS_WITH_LAUNCH = {"GCKPL_ENDS_WITH_PARENT": "1"}


def generate_launch_description() -> LaunchDescription:
    """All arguments, then the node with what they say."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=_bring_up)])


def _bring_up(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """The node, RViz on request; raises RuntimeError, which ends the launch, before anything has started."""
    chosen = {argument.name: LaunchConfiguration(argument.name).perform(context) for argument in ARGUMENTS}
    remappings = [(f"/{topic}", topic) for topic in GLOBAL_TOPICS if _is_on(chosen["namespaced_tf"])]
    node = LifecycleNode(
        package="gckpl_ros",
        executable="skeleton_node",
        name=chosen["name"],
        namespace=chosen["namespace"],
        parameters=[_params_file(chosen), _overrides(chosen)],
        remappings=remappings,
        ros_arguments=["--log-level", chosen["log_level"]],
        output="screen",
        respawn=_is_on(chosen["respawn"]),
        respawn_delay=RESPAWN_DELAY_S,
        additional_env=ENDS_WITH_LAUNCH,
    )
    rviz = [_rviz(chosen, remappings)] if _is_on(chosen["rviz"]) else []
    return [node, *rviz]


def _is_on(text: str) -> bool:
    """Both spellings, true and True, are in use."""
    return text.lower() == "true"


def _params_file(chosen: dict[str, str]) -> str:
    """The file, which must hold parameters for this node: rcl only warns of one that is not there or means others."""
    name = chosen["params_file"]
    file = CONFIG / f"{name}.param.yaml" if name in PRESETS else Path(name)
    try:
        nodes = yaml.safe_load(file.read_bytes())
    except (OSError, yaml.YAMLError) as error:
        raise RuntimeError(f"params_file:={name} cannot be read: {error}") from error
    meant = {"/**", chosen["name"], f"/{chosen['namespace'].strip('/')}/{chosen['name']}".replace("//", "/")}
    if not any(_has_parameters(nodes, node) for node in meant):
        raise RuntimeError(
            f"params_file:={name} has no ros__parameters for this node: under {' or '.join(sorted(meant))}"
        )
    return str(file)


def _has_parameters(nodes: Any, node: str) -> bool:
    return isinstance(nodes, dict) and isinstance(nodes.get(node), dict) and "ros__parameters" in nodes[node]


def _overrides(chosen: dict[str, str]) -> dict[str, Any]:
    """Parameters that the arguments set over those of the file."""
    values: dict[str, Any] = {"use_sim_time": _is_on(chosen["use_sim_time"]), "autostart": _is_on(chosen["autostart"])}
    if points := _names(chosen["points"]):
        values["input.points"] = ParameterValue(points, value_type=list[str])
    if detections := chosen["detections"]:
        values["input.detections"] = ParameterValue("" if detections == "none" else detections, value_type=str)
    if device := chosen["device"]:
        values["estimate.device"] = ParameterValue(device, value_type=str)
    return values


def _rviz(chosen: dict[str, str], remappings: list[tuple[str, str]]) -> Node:
    """Its topics are those of the node with default names, in the same namespace."""
    try:
        get_package_prefix("rviz2")
    except PackageNotFoundError as error:
        raise RuntimeError("rviz:=true, but rviz2 is not installed: apt-get install ros-$ROS_DISTRO-rviz2") from error
    shown = {"points": (_names(chosen["points"]) or ["points"])[0], "gckpl/markers": f"{chosen['name']}/markers"}
    shown["detections"] = chosen["detections"] or "detections"
    return Node(
        package="rviz2",
        executable="rviz2",
        name="rviz",
        namespace=chosen["namespace"],
        arguments=["-d", str(CONFIG / "gckpl.rviz"), "-f", chosen["fixed_frame"]],
        parameters=[{"use_sim_time": _is_on(chosen["use_sim_time"])}],
        remappings=[*remappings, *((topic, name) for topic, name in shown.items() if topic != name)],
    )


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
