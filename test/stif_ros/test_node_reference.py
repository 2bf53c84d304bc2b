"""docs/node.md names every parameter with its default, and every key of the diagnostics."""

import os
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

if not os.environ.get("STIF_REQUIRE_ROS"):
    pytest.importorskip("rclpy", reason="no ROS 2 in this environment")
    pytest.importorskip("stif_ros.msg", reason="the messages are not built: run colcon build")

from builtin_interfaces.msg import Time

from stif_ros.diagnostics import diagnostic_array
from stif_ros.parameters import PARAMETERS
from stif_ros.problems import Problems
from stif_ros.statistics import Counters
from stif_ros.transport import TransportLoss

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "node.md").read_text()


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameter_is_documented_with_its_default_and_range(name):
    parameter = PARAMETERS[name]
    match = re.search(rf"^\| `{name}` \| (.+?) \| (.+?) \|", TEXT, re.MULTILINE)
    assert match is not None
    assert match[1] == str(parameter.default).lower()
    if parameter.low is not None:
        assert match[2].startswith(f"{parameter.low:g} to {parameter.high:g}")


def test_every_key_of_the_diagnostics_is_documented():
    pipeline = SimpleNamespace(counters=Counters(), transport=TransportLoss(), states={}, running=False)
    message = diagnostic_array(Time(), "tracker", pipeline, None, "onnxruntime", Problems(None), 0.0)
    missing = [value.key for value in message.status[0].values if f"`{value.key}`" not in TEXT]
    assert missing == []
