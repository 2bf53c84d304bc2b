"""follow.launch.py with stand-ins that record what it builds, and with the real launch_ros where it is installed."""

import importlib.util
import sys
import types
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
LAUNCH_FILE = ROOT / "launch" / "follow.launch.py"
PARAMS_FILE = ROOT / "config" / "follower.yaml"
# The parts of launch and launch_ros that the launch file uses.
NAMES = {
    "launch": ["LaunchDescription"],
    "launch.actions": ["DeclareLaunchArgument", "IncludeLaunchDescription"],
    "launch.launch_description_sources": ["PythonLaunchDescriptionSource"],
    "launch.substitutions": ["LaunchConfiguration", "PathJoinSubstitution"],
    "launch_ros": [],
    "launch_ros.actions": ["Node"],
    "launch_ros.parameter_descriptions": ["ParameterValue"],
    "launch_ros.substitutions": ["FindPackageShare"],
}


class Call:
    """What a class of launch was called with."""

    def __init__(self, *args, **kwargs):
        self.args, self.kwargs = args, kwargs


def load_file():
    spec = importlib.util.spec_from_file_location("follow_launch", LAUNCH_FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def launch_file(monkeypatch):
    for module_name, names in NAMES.items():
        module = types.ModuleType(module_name)
        for name in names:
            setattr(module, name, type(name, (Call,), {}))
        monkeypatch.setitem(sys.modules, module_name, module)
    return load_file()


def started(launch_file) -> dict[str, Call]:
    (entities,) = launch_file.generate_launch_description().args
    return {type(entity).__name__: entity for entity in entities}


def test_every_argument_is_documented(launch_file):
    assert all(len(argument.kwargs["description"]) > 10 for argument in launch_file.ARGUMENTS)


def test_follower_is_the_one_that_is_installed_and_is_not_armed(launch_file):
    follower = started(launch_file)["Node"].kwargs
    assert f"scripts/{follower['executable']}" in (ROOT / "CMakeLists.txt").read_text()
    assert [name for name, _ in follower["remappings"]] == ["cmd_vel"]
    assert "arm" not in {argument.args[0] for argument in launch_file.ARGUMENTS}


def test_tracker_is_started_with_what_both_share(launch_file):
    tracker = started(launch_file)["IncludeLaunchDescription"]
    path = tracker.args[0].args[0].args[0]
    assert (ROOT / path[-2] / path[-1]).is_file()
    declared = {argument.args[0] for argument in launch_file.ARGUMENTS}
    passed = {name: value.args[0] for name, value in tracker.kwargs["launch_arguments"]}
    assert passed == {name: name for name in passed}
    assert set(passed) == declared - {"follower_params_file", "cmd_vel_topic"}


def test_parameter_file_names_exactly_the_declared_parameters_with_their_defaults():
    pytest.importorskip("rclpy", reason="no ROS 2 in this environment")
    from stif_ros.follower_parameters import PARAMETERS

    given = yaml.safe_load(PARAMS_FILE.read_text())["/**"]["ros__parameters"]
    assert given == {name: parameter.default for name, parameter in PARAMETERS.items()}


def test_real_launch_ros_accepts_the_file():
    pytest.importorskip("launch_ros", reason="launch_ros is not installed (it is not on PyPI)")
    module = load_file()
    assert len(module.generate_launch_description().entities) == len(module.ARGUMENTS) + 2
