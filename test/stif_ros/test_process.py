"""The node as the launch file starts it: its own process, name, namespace, parameters and remappings."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

if not os.environ.get("STIF_REQUIRE_ROS"):
    pytest.importorskip("rclpy", reason="no ROS 2 in this environment")
    pytest.importorskip("stif_ros.msg", reason="the messages are not built: run colcon build")

import rclpy
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from robot import CLIP, RELIABLE, header, use_own_domain, wait_until
from sensor_msgs.msg import Image
from stif_ros.msg import Track

from stif_ros.messages import image_message

PARAMS = Path(__file__).resolve().parents[2] / "config" / "tracker.yaml"

# Runs the node, then says whether anything in its process has imported torch.
NODE = (
    "import sys; from stif_ros.tracker_node import main; code = main(); print('torch' in sys.modules); sys.exit(code)"
)


def start(*arguments: str) -> subprocess.Popen:
    command = [sys.executable, "-c", NODE, "--ros-args", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_node_runs_under_another_name_without_torch_and_ends_on_ctrl_c(monkeypatch):
    use_own_domain(monkeypatch)
    names = ["-r", "__node:=eye", "-r", "__ns:=/drone", "-r", "image:=/cam"]
    process = start("--params-file", str(PARAMS), *names, "-p", "image_reliability:=reliable")
    rclpy.init()
    node = rclpy.create_node("probe")
    try:
        change = node.create_client(ChangeState, "/drone/eye/change_state")
        assert change.wait_for_service(30.0)
        for transition in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
            future = change.call_async(ChangeState.Request(transition=Transition(id=transition)))
            rclpy.spin_until_future_complete(node, future, timeout_sec=20)
            assert future.result().success
        tracks = []
        node.create_subscription(Track, "/drone/track", tracks.append, RELIABLE)
        camera = node.create_publisher(Image, "/cam", RELIABLE)

        def spun() -> bool:
            camera.publish(image_message(header(node.get_clock().now().nanoseconds), CLIP.render(0)[0]))
            rclpy.spin_once(node, timeout_sec=0.1)
            return bool(tracks)

        wait_until(spun, "a track")
        assert tracks[0].latency_ms > 0
    finally:
        node.destroy_node()
        rclpy.shutdown()
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=10)
    assert process.returncode == 0, errors
    assert output.strip().splitlines()[-1] == "False"


STATES = {
    "unconfigured": (),
    "inactive": (Transition.TRANSITION_CONFIGURE,),
    "active": (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE),
    "finalized": (Transition.TRANSITION_UNCONFIGURED_SHUTDOWN,),
}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_node_ends_cleanly_on_a_signal_in_every_state(monkeypatch, number):
    use_own_domain(monkeypatch)
    processes = {name: start("-r", f"__node:={name}_{number}", "-p", "threads:=1") for name in STATES}
    processes["configuring"] = start("-r", f"__node:=configuring_{number}", "-p", "threads:=1")
    rclpy.init()
    node = rclpy.create_node("probe")
    try:
        for name, process in processes.items():
            change = node.create_client(ChangeState, f"/{name}_{number}/change_state")
            assert change.wait_for_service(60.0)
            for transition in STATES.get(name, ()):
                future = change.call_async(ChangeState.Request(transition=Transition(id=transition)))
                rclpy.spin_until_future_complete(node, future, timeout_sec=30)
                assert future.result().success, (name, transition)
            if name == "configuring":  # the signal comes while the model is loaded
                change.call_async(ChangeState.Request(transition=Transition(id=Transition.TRANSITION_CONFIGURE)))
            process.send_signal(number)
    finally:
        ended = {}
        for name, process in processes.items():
            try:
                ended[name] = (process, *process.communicate(timeout=30))
            except subprocess.TimeoutExpired:
                process.kill()
                ended[name] = (process, *process.communicate())
        node.destroy_node()
        rclpy.shutdown()
    for name, (process, _, errors) in ended.items():
        assert process.returncode == 0, (name, errors)
        assert "Traceback" not in errors, (name, errors)


@pytest.mark.parametrize(
    ("parameter", "reason"),
    [
        ("backend:=tensorflow", "parameter backend is 'tensorflow', expected one of: auto, "),
        ("threads:=many", "threads"),
        ("threads:=100", "threads"),
        ("history_seconds:=2", "'INTEGER', expecting type 'DOUBLE'"),
    ],
)
def test_wrong_value_of_a_parameter_is_one_clear_line(monkeypatch, parameter, reason):
    use_own_domain(monkeypatch)
    process = start("-p", parameter)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 2
    assert reason in errors
    assert "Traceback" not in errors
