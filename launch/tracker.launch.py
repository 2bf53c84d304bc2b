"""Starts the tracker node, with autostart:=true configures and activates it, with pick:=true adds the picking page."""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, EmitEvent, OpaqueFunction, RegisterEventHandler
from launch.events import matches_action
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import LifecycleNode, Node
from launch_ros.event_handlers import OnStateTransition
from launch_ros.events.lifecycle import ChangeState
from launch_ros.substitutions import FindPackageShare
from lifecycle_msgs.msg import Transition

PARAMS_FILE = PathJoinSubstitution([FindPackageShare("stif_ros"), "config", "tracker.yaml"])

ARGUMENTS = [
    DeclareLaunchArgument(
        "image_topic", default_value="/camera/image_raw", description="Topic of the camera's images."
    ),
    DeclareLaunchArgument(
        "camera_info_topic",
        default_value="",
        description="Topic of its calibration; empty: camera_info beside the images.",
    ),
    DeclareLaunchArgument(
        "params_file", default_value=PARAMS_FILE, description="YAML file with the parameters of the node."
    ),
    DeclareLaunchArgument(
        "model",
        default_value="",
        description="Name of a shipped model, or path of a model's JSON file; empty: as in params_file.",
    ),
    DeclareLaunchArgument(
        "backend",
        default_value="",
        description="What runs the network: auto, openvino, onnxruntime, tensorrt, torch, with a precision as in "
        "openvino:fp32; empty: as in params_file.",
    ),
    DeclareLaunchArgument(
        "image_transport",
        default_value="",
        choices=["", "raw", "compressed"],
        description="compressed subscribes to IMAGE_TOPIC/compressed; empty: as in params_file.",
    ),
    DeclareLaunchArgument("name", default_value="tracker", description="Name of the node."),
    DeclareLaunchArgument("namespace", default_value="", description="Namespace of the node and its topics."),
    DeclareLaunchArgument(
        "use_sim_time", default_value="false", choices=["true", "false"], description="Take the time from /clock."
    ),
    DeclareLaunchArgument(
        "autostart", default_value="true", choices=["true", "false"], description="Configure and activate the node."
    ),
    DeclareLaunchArgument(
        "pick",
        default_value="false",
        choices=["true", "false"],
        description="Serve a web page on which a person draws the target's box.",
    ),
    DeclareLaunchArgument(
        "pick_address",
        default_value="127.0.0.1",
        description="Address of that page; for any but the loopback address a token is generated and printed.",
    ),
    DeclareLaunchArgument("pick_port", default_value="8080", description="TCP port of that page."),
    DeclareLaunchArgument(
        "log_level",
        default_value="info",
        choices=["debug", "info", "warn", "error", "fatal"],
        description="Least severity that is logged.",
    ),
]


def remappings_of(image_topic):
    return [("image", image_topic), ("image/compressed", image_topic + "/compressed")]


def start_tracker(context):
    """The node and, with autostart, its transitions; arguments left empty do not override the parameter file."""

    def given(name):
        return LaunchConfiguration(name).perform(context)

    overrides = {name: given(name) for name in ("model", "backend", "image_transport") if given(name)}
    camera_info = [("camera_info", given("camera_info_topic"))] if given("camera_info_topic") else []
    node = LifecycleNode(
        package="stif_ros",
        executable="tracker_node",
        name=given("name"),
        namespace=given("namespace"),
        parameters=[given("params_file"), {**overrides, "use_sim_time": given("use_sim_time") == "true"}],
        remappings=remappings_of(given("image_topic")) + camera_info,
        arguments=["--ros-args", "--log-level", given("log_level")],
        output="screen",
    )
    if given("autostart") != "true":
        return [node]

    def change(transition):
        return EmitEvent(event=ChangeState(lifecycle_node_matcher=matches_action(node), transition_id=transition))

    activate_when_configured = RegisterEventHandler(
        OnStateTransition(
            target_lifecycle_node=node,
            start_state="configuring",
            goal_state="inactive",
            entities=[change(Transition.TRANSITION_ACTIVATE)],
        )
    )
    return [activate_when_configured, node, change(Transition.TRANSITION_CONFIGURE)]


def start_page(context):
    """The node of the picking page, if it is asked for; it sees the same images as the tracker."""

    def given(name):
        return LaunchConfiguration(name).perform(context)

    if given("pick") != "true":
        return []
    overrides = {"tracker": given("name"), "address": given("pick_address"), "port": int(given("pick_port"))}
    if given("image_transport"):
        overrides["image_transport"] = given("image_transport")
    return [
        Node(
            package="stif_ros",
            executable="pick",
            name="pick",
            namespace=given("namespace"),
            parameters=[given("params_file"), overrides],
            remappings=remappings_of(given("image_topic")),
            arguments=["--ros-args", "--log-level", given("log_level")],
            output="screen",
        )
    ]


def generate_launch_description():
    functions = [OpaqueFunction(function=function) for function in (start_tracker, start_page)]
    return LaunchDescription([*ARGUMENTS, *functions])
