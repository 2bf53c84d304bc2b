"""A model file that is missing, damaged or something else: the node is not configured, and says why in one line."""

import os
import pickle
import shutil

import pytest

if not os.environ.get("STIF_REQUIRE_ROS"):
    pytest.importorskip("rclpy", reason="no ROS 2 in this environment")
    pytest.importorskip("stif_ros.msg", reason="the messages are not built: run colcon build")

import rclpy
from rclpy.parameter import Parameter
from robot import use_own_domain

from stif_core.weights import SHIPPED
from stif_ros.tracker_node import TrackerNode

NAMES = ("nano.json", "nano.memorize.onnx", "nano.enhance.onnx", "nano.track.onnx")


@pytest.fixture
def model(tmp_path):
    for name in NAMES:
        shutil.copy(SHIPPED / name, tmp_path)
    return tmp_path


@pytest.fixture
def configured(model, monkeypatch, capfd):
    """Configures a node with the model; the state it ends in, and what it logged."""
    use_own_domain(monkeypatch)
    rclpy.init()
    nodes = []

    def run() -> tuple[str, str]:
        override = {"model": str(model / "nano.json"), "backend": "onnxruntime"}
        nodes.append(TrackerNode(parameter_overrides=[Parameter(k, value=v) for k, v in override.items()]))
        nodes[-1].trigger_configure()
        return nodes[-1]._state_machine.current_state[1], capfd.readouterr().err

    yield run
    for node in nodes:
        node.destroy_node()
    rclpy.shutdown()


def test_copied_model_is_taken(configured):
    assert configured()[0] == "inactive"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "damage",
    [
        lambda data: None,
        lambda data: b"",
        lambda data: data[: len(data) // 2],
        lambda data: bytes(1000),
        lambda data: pickle.dumps({"model": {}}),
        lambda data: data[:40] + b"\xff" * 40 + data[80:],
    ],
    ids=["missing", "empty", "cut off", "zeros", "a pickle", "overwritten"],
)
def test_damaged_file_is_one_clear_line(model, configured, name, damage):
    content = damage((model / name).read_bytes())
    (model / name).unlink()
    if content is not None:
        (model / name).write_bytes(content)
    state, log = configured()
    assert state == "unconfigured"
    assert "nano" in log
    assert "please report it" not in log
    assert "Traceback" not in log


@pytest.mark.parametrize("value", ["1000000000", '"256"', "-1", "null", "1e400"])
def test_senseless_size_in_the_description_is_refused_before_memory_is_asked_for(model, configured, value):
    text = (model / "nano.json").read_text()
    assert '"crop_size": 256' in text
    (model / "nano.json").write_text(text.replace('"crop_size": 256', f'"crop_size": {value}'))
    state, log = configured()
    assert state == "unconfigured"
    assert "crop_size" in log
    assert "please report it" not in log


def test_huge_file_is_refused_by_its_size(model, configured):
    with open(model / "nano.track.onnx", "wb") as file:
        file.truncate(3_000_000_000)  # sparse
    state, log = configured()
    assert state == "unconfigured"
    assert "has 3000000000 bytes" in log
