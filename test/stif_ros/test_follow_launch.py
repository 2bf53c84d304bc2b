"""follow.launch.py with stand-ins that record what it builds, and with the real launch_ros where it is installed."""

import pytest
import yaml
from launch_files import ROOT, Call, load_file, load_with_stand_ins

LAUNCH_FILE = ROOT / "launch" / "follow.launch.py"
PARAMS_FILE = ROOT / "config" / "follower.yaml"


@pytest.fixture
def launch_file(monkeypatch):
    return load_with_stand_ins(LAUNCH_FILE, monkeypatch)


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
    module = load_file(LAUNCH_FILE)
    assert len(module.generate_launch_description().entities) == len(module.ARGUMENTS) + 2
