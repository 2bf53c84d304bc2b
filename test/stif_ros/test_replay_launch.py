"""launch/replay.launch.py with stand-ins that record what it builds, and with the real launch_ros where it is."""

import re
import types

import pytest
from launch_files import ROOT, load_file, load_with_stand_ins

LAUNCH_FILE = ROOT / "launch" / "replay.launch.py"


@pytest.fixture
def launch_file(monkeypatch):
    return load_with_stand_ins(LAUNCH_FILE, monkeypatch)


def defaults(launch_file) -> dict:
    return {argument.args[0]: argument.kwargs.get("default_value") for argument in launch_file.ARGUMENTS}


def started(launch_file, **given):
    """The entities of a launch by the names of their classes; handlers by what they handle or the state they await."""
    entities = {}
    for entity in launch_file.start({**defaults(launch_file), "bag": "/data/bag", **given}):
        if type(entity).__name__ == "RegisterEventHandler":
            entity = entity.args[0]
        entities[entity.kwargs.get("goal_state", type(entity).__name__)] = entity
    return entities


def command(launch_file, **given):
    (player,) = started(launch_file, **given)["active"].kwargs["entities"]
    return player.kwargs["cmd"]


def test_every_argument_is_documented_and_only_the_bag_is_required(launch_file):
    assert all(len(argument.kwargs["description"]) > 10 for argument in launch_file.ARGUMENTS)
    assert [name for name, default in defaults(launch_file).items() if default is None] == ["bag"]


def test_the_images_of_bag_make_are_what_it_listens_to(launch_file):
    source = (ROOT / "stif_core/bags/making.py").read_text()
    assert f'IMAGE_TOPIC = "{defaults(launch_file)["image_topic"]}"' in source


def test_our_player_starts_once_when_the_tracker_is_active(launch_file):
    handler = started(launch_file)["active"]
    assert (handler.kwargs["start_state"], handler.kwargs["goal_state"]) == ("activating", "active")
    assert handler.kwargs["handle_once"] is True
    assert command(launch_file) == [
        *("python3", "-m", "stif_core.cli", "bag", "play", "/data/bag", "--rate", "1.0", "--wait", "30")
    ]
    assert command(launch_file, loop="true", clock="true", rate="2")[6:] == [
        *("--rate", "2", "--wait", "30", "--loop", "--clock", "100")
    ]


def test_our_player_understands_its_command_line(launch_file):
    """Up to the bag, which is not there."""
    pytest.importorskip("rosbags", reason="rosbags is not installed: pip install 'stif_core[bags]'")
    pytest.importorskip("rclpy", reason="no ROS 2 in this environment")
    from typer.testing import CliRunner

    from stif_core.cli import app

    arguments = command(launch_file, bag="/no/bag", loop="true", clock="true")
    assert arguments[:3] == ["python3", "-m", "stif_core.cli"]
    done = CliRunner().invoke(app, arguments[3:])
    assert done.exit_code == 2
    assert "no bag /no/bag" in done.stderr


def test_ros2_bag_play_is_asked_for_the_same(launch_file):
    assert command(launch_file, player="ros2bag", loop="true", clock="true") == [
        *("ros2", "bag", "play", "/data/bag", "--rate", "1.0", "--delay", "3", "--loop", "--clock", "100")
    ]


def test_the_tracker_is_that_of_its_own_launch_file(launch_file):
    tracker = started(launch_file, clock="true", model="mine.json")["IncludeLaunchDescription"]
    (path,) = tracker.args[0].args
    assert path.args[0][1:] == ["launch", "tracker.launch.py"]
    given = dict(tracker.kwargs["launch_arguments"])
    assert given["use_sim_time"] == "true"
    assert given["model"] == "mine.json"
    known = re.findall(r'DeclareLaunchArgument\(\s*"(\w+)"', (ROOT / "launch/tracker.launch.py").read_text())
    assert set(given) <= set(known)


@pytest.mark.parametrize("ending", [False, True])
def test_everything_ends_with_the_bag_or_the_tracker_but_only_once(launch_file, ending):
    end = started(launch_file)["OnProcessExit"].kwargs
    assert "target_action" not in end  # of any process
    timer = end["on_exit"](None, types.SimpleNamespace(is_shutdown=ending))
    assert (timer is None) if ending else (type(timer.kwargs["actions"][0]).__name__ == "Shutdown")


def test_a_tracker_that_cannot_start_ends_the_replay(launch_file):
    transition = started(launch_file)["unconfigured"].kwargs
    assert transition["start_state"] == "configuring"
    assert type(transition["entities"][0]).__name__ == "Shutdown"


def test_real_launch_ros_accepts_the_file():
    pytest.importorskip("launch_ros", reason="launch_ros is not installed (it is not on PyPI)")
    from launch import LaunchContext

    module = load_file(LAUNCH_FILE)
    context = LaunchContext()
    context.launch_configurations["bag"] = "/data/bag"
    for argument in module.ARGUMENTS:
        argument.execute(context)
    assert len(module.start(context)) == 4
