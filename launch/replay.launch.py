"""Plays a bag to the real tracker node, in real time."""

from launch import LaunchDescription
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
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.event_handlers import OnStateTransition
from launch_ros.substitutions import FindPackageShare

SHARE = FindPackageShare("stif_ros")
WAIT = "30"  # seconds that our player waits for the node's subscription; ros2 bag play cannot, it gets a delay
DELAY = "3"
LAST_IMAGES = 2.0  # seconds for them to be tracked before everything ends

ARGUMENTS = [
    DeclareLaunchArgument("bag", description="Folder or file of the bag."),
    DeclareLaunchArgument(
        "image_topic",
        default_value="/camera/image_raw",
        description="Topic of the bag's raw images; with image_transport:=compressed, without its /compressed.",
    ),
    DeclareLaunchArgument(
        "image_transport",
        default_value="",
        choices=["", "raw", "compressed"],
        description="compressed subscribes to IMAGE_TOPIC/compressed; empty: as in params_file.",
    ),
    DeclareLaunchArgument(
        "player",
        default_value="stif",
        choices=["stif", "ros2bag"],
        description="stif is `stif bag play`, which needs rosbags from pip; ros2bag is `ros2 bag play`.",
    ),
    DeclareLaunchArgument("rate", default_value="1.0", description="1.0 is as fast as it was recorded."),
    DeclareLaunchArgument(
        "loop", default_value="false", choices=["true", "false"], description="Start again at the end of the bag."
    ),
    DeclareLaunchArgument(
        "clock",
        default_value="false",
        choices=["true", "false"],
        description="Publish the bag's time on /clock, and let the node take its time from there.",
    ),
    DeclareLaunchArgument(
        "params_file",
        default_value=PathJoinSubstitution([SHARE, "config", "tracker.yaml"]),
        description="YAML file with the parameters of the node.",
    ),
    DeclareLaunchArgument("model", default_value="", description="As for tracker.launch.py."),
    DeclareLaunchArgument("backend", default_value="", description="As for tracker.launch.py."),
]
TRACKER_ARGUMENTS = ("image_topic", "image_transport", "params_file", "model", "backend")


def player_command(given):
    """The command line of the player that was asked for."""
    loop = ["--loop"] if given("loop") == "true" else []
    clock = ["--clock", "100"] if given("clock") == "true" else []
    if given("player") == "ros2bag":
        return ["ros2", "bag", "play", given("bag"), "--rate", given("rate"), "--delay", DELAY, *loop, *clock]
    # python3 of the PATH: the environment that holds the node's libraries (README.md).
    return [
        *("python3", "-m", "stif_core.cli", "bag", "play", given("bag"), "--rate", given("rate"), "--wait", WAIT),
        *loop,
        *clock,
    ]


def end(event, context):
    """Ends everything some time after the player, or the tracker, has ended; unless it is ending already."""
    if context.is_shutdown:
        return None
    return TimerAction(period=LAST_IMAGES, actions=[Shutdown(reason="the bag has ended")])


def start(context):
    """The tracker, the player once it is active, and the end once the bag has ended."""

    def given(name):
        return LaunchConfiguration(name).perform(context)

    profile = PathJoinSubstitution([SHARE, "config", "fastdds_images.xml"])
    player = ExecuteProcess(
        cmd=player_command(given),
        # Room for images in shared memory, on the side that publishes them (README.md).
        additional_env={"FASTRTPS_DEFAULT_PROFILES_FILE": profile, "FASTDDS_DEFAULT_PROFILES_FILE": profile},
        output="screen",
    )
    tracker = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(PathJoinSubstitution([SHARE, "launch", "tracker.launch.py"])),
        launch_arguments=[
            *((name, given(name)) for name in TRACKER_ARGUMENTS),
            ("use_sim_time", given("clock")),
        ],
    )
    # The only lifecycle node of this launch is the tracker.
    play_when_active = RegisterEventHandler(
        OnStateTransition(start_state="activating", goal_state="active", entities=[player], handle_once=True)
    )
    not_configured = RegisterEventHandler(
        OnStateTransition(
            start_state="configuring", goal_state="unconfigured", entities=[Shutdown(reason="the tracker cannot start")]
        )
    )
    return [play_when_active, not_configured, RegisterEventHandler(OnProcessExit(on_exit=end)), tracker]


def generate_launch_description():
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=start)])
