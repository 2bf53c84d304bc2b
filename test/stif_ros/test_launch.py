"""The launch file: with stand-ins that record what it builds, and with the real launch_ros where it is installed."""

import sys
import types
from xml.etree import ElementTree

import pytest
import yaml
from launch_files import ROOT, load_file, load_with_stand_ins

LAUNCH_FILE = ROOT / "launch" / "tracker.launch.py"
PARAMS_FILE = ROOT / "config" / "tracker.yaml"
ARGUMENTS = {
    "image_topic", "params_file", "model", "backend", "image_transport", "name", "namespace", "use_sim_time",
    "autostart", "log_level", "camera_info_topic", "pick", "pick_address", "pick_port",
}  # fmt: skip


@pytest.fixture
def launch_file(monkeypatch):
    messages = types.ModuleType("lifecycle_msgs.msg")
    messages.Transition = types.SimpleNamespace(TRANSITION_CONFIGURE=1, TRANSITION_ACTIVATE=3)
    monkeypatch.setitem(sys.modules, "lifecycle_msgs", types.ModuleType("lifecycle_msgs"))
    monkeypatch.setitem(sys.modules, "lifecycle_msgs.msg", messages)
    return load_with_stand_ins(LAUNCH_FILE, monkeypatch)


def defaults(launch_file) -> dict:
    return {argument.args[0]: argument.kwargs["default_value"] for argument in launch_file.ARGUMENTS}


def started_node(launch_file, **given):
    entities = launch_file.start_tracker({**defaults(launch_file), **given})
    (node,) = [entity for entity in entities if type(entity).__name__ == "LifecycleNode"]
    return node.kwargs, entities


def test_every_argument_is_documented(launch_file):
    assert set(defaults(launch_file)) == ARGUMENTS
    assert all(len(argument.kwargs["description"]) > 10 for argument in launch_file.ARGUMENTS)


def test_node_is_the_one_that_is_installed(launch_file):
    node, _ = started_node(launch_file, image_topic="/cam")
    assert node["package"] == ElementTree.parse(ROOT / "package.xml").findtext("name")
    assert f"scripts/{node['executable']}" in (ROOT / "CMakeLists.txt").read_text()
    assert dict(node["remappings"]) == {"image": "/cam", "image/compressed": "/cam/compressed"}


def test_camera_info_from_elsewhere_is_remapped(launch_file):
    node, _ = started_node(launch_file, camera_info_topic="/calibration")
    assert dict(node["remappings"])["camera_info"] == "/calibration"


def test_arguments_left_empty_do_not_override_the_parameter_file(launch_file):
    node, _ = started_node(launch_file)
    assert node["parameters"][1] == {"use_sim_time": False}
    node, _ = started_node(launch_file, model="mine.json", backend="torch", use_sim_time="true")
    assert node["parameters"][1] == {"model": "mine.json", "backend": "torch", "use_sim_time": True}


def test_autostart_configures_and_activates(launch_file):
    _, entities = started_node(launch_file)
    handler = next(entity for entity in entities if type(entity).__name__ == "RegisterEventHandler").args[0]
    assert (handler.kwargs["start_state"], handler.kwargs["goal_state"]) == ("configuring", "inactive")
    changes = [entity.kwargs["event"].kwargs["transition_id"] for entity in (entities[-1], *handler.kwargs["entities"])]
    assert changes == [1, 3]
    _, entities = started_node(launch_file, autostart="false")
    assert len(entities) == 1


def test_page_is_started_on_request_with_the_tracker_it_belongs_to(launch_file):
    given = {**defaults(launch_file), "name": "eye", "namespace": "/drone", "image_topic": "/cam", "pick_port": "9000"}
    assert launch_file.start_page(given) == []
    (page,) = launch_file.start_page({**given, "pick": "true"})
    assert f"scripts/{page.kwargs['executable']}" in (ROOT / "CMakeLists.txt").read_text()
    assert (page.kwargs["name"], page.kwargs["namespace"]) == ("pick", "/drone")
    assert page.kwargs["parameters"][1] == {"tracker": "eye", "address": "127.0.0.1", "port": 9000}
    assert dict(page.kwargs["remappings"]) == {"image": "/cam", "image/compressed": "/cam/compressed"}


def test_parameter_file_names_exactly_the_declared_parameters_with_their_defaults():
    pytest.importorskip("rclpy", reason="no ROS 2 in this environment")
    from stif_ros.parameters import PARAMETERS

    given = yaml.safe_load(PARAMS_FILE.read_text())["/**"]["ros__parameters"]
    assert given == {name: parameter.default for name, parameter in PARAMETERS.items()}


def test_real_launch_ros_accepts_the_file():
    pytest.importorskip("launch_ros", reason="launch_ros is not installed (it is not on PyPI)")
    from launch import LaunchContext

    module = load_file(LAUNCH_FILE)
    assert len(module.generate_launch_description().entities) == len(ARGUMENTS) + 2
    context = LaunchContext()
    context.launch_configurations["params_file"] = str(PARAMS_FILE)
    for argument in module.ARGUMENTS:
        argument.execute(context)
    assert len(module.start_tracker(context)) == 3
    context.launch_configurations["pick"] = "true"
    assert len(module.start_page(context)) == 1
