"""Starts the tracker (tracker.launch.py) and the follower, which moves nothing until its service ~/arm is called."""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

SHARE = FindPackageShare("stif_ros")

# Those of tracker.launch.py that are not named here (model, backend, pick and so on) can be given as well.
ARGUMENTS = [
    DeclareLaunchArgument(
        "image_topic",
        default_value="/camera/image_raw",
        description="Topic of the camera's images; its camera_info is taken from beside it.",
    ),
    DeclareLaunchArgument(
        "params_file",
        default_value=PathJoinSubstitution([SHARE, "config", "tracker.yaml"]),
        description="YAML file with the parameters of the tracker.",
    ),
    DeclareLaunchArgument(
        "follower_params_file",
        default_value=PathJoinSubstitution([SHARE, "config", "follower.yaml"]),
        description="YAML file with the parameters of the follower.",
    ),
    DeclareLaunchArgument(
        "cmd_vel_topic", default_value="cmd_vel", description="Topic of the base's commands, TwistStamped."
    ),
    DeclareLaunchArgument("namespace", default_value="", description="Namespace of both nodes and their topics."),
    DeclareLaunchArgument(
        "use_sim_time", default_value="false", choices=["true", "false"], description="Take the time from /clock."
    ),
    DeclareLaunchArgument(
        "log_level",
        default_value="info",
        choices=["debug", "info", "warn", "error", "fatal"],
        description="Least severity that is logged.",
    ),
]
PASSED_ON = ("image_topic", "params_file", "namespace", "use_sim_time", "log_level")


def generate_launch_description():
    tracker = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(PathJoinSubstitution([SHARE, "launch", "tracker.launch.py"])),
        launch_arguments=[(name, LaunchConfiguration(name)) for name in PASSED_ON],
    )
    follower = Node(
        package="stif_ros",
        executable="follower",
        name="follower",
        namespace=LaunchConfiguration("namespace"),
        parameters=[
            LaunchConfiguration("follower_params_file"),
            {"use_sim_time": ParameterValue(LaunchConfiguration("use_sim_time"), value_type=bool)},
        ],
        remappings=[("cmd_vel", LaunchConfiguration("cmd_vel_topic"))],
        arguments=["--ros-args", "--log-level", LaunchConfiguration("log_level")],
        output="screen",
    )
    return LaunchDescription([*ARGUMENTS, tracker, follower])
