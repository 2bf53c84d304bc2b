"""The node's benchmark: two processes over DDS, every frame accounted for."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

if not os.environ.get("STIF_REQUIRE_ROS"):
    pytest.importorskip("rclpy", reason="no ROS 2 in this environment")
    pytest.importorskip("stif_ros.msg", reason="the messages are not built: run colcon build")
pytest.importorskip("skimage")

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "benchmark_node.py"


def run(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, timeout=180)


def test_frames_beyond_capacity_are_skipped_and_counted_exactly(tmp_path):
    out = tmp_path / "node.json"
    done = run("--seconds", "1", "--case", "640x480@150", "--json", str(out))
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(out.read_text())["rows"]
    assert row["published"] == 300
    assert row["published"] == row["lost"] + row["skipped"] + row["refused"] + row["tracked"]
    assert row["skipped"] > 0
    assert row["lost_told"] <= row["lost"]
    assert row["refused"] == 0
    assert 0 < row["latency_p50"] <= row["latency_max"]


def test_a_case_that_cannot_be_read_is_one_clear_line():
    done = run("--case", "big")
    assert done.returncode == 2
    assert done.stderr.strip() == "error: case 'big' is not WIDTHxHEIGHT@RATE, with ' idle' for no target: 1280x720@30"
