"""The layouts for rviz and Foxglove: well-formed, and about topics and services that the node really has."""

import json
from pathlib import Path

import pytest
import yaml

CONFIG = Path(__file__).resolve().parents[2] / "config"
TRACK = (CONFIG.parent / "msg" / "Track.msg").read_text()


def leaves(layout) -> list[str]:
    """Panels placed in a Foxglove layout, a binary tree."""
    return [layout] if isinstance(layout, str) else leaves(layout["first"]) + leaves(layout["second"])


@pytest.fixture
def foxglove() -> dict:
    return json.loads((CONFIG / "foxglove" / "tracker.json").read_text())


def test_foxglove_places_each_panel_once(foxglove):
    assert sorted(leaves(foxglove["layout"])) == sorted(foxglove["configById"])


def test_foxglove_plots_fields_that_the_message_has(foxglove):
    paths = [path["value"] for panel in foxglove["configById"].values() for path in panel.get("paths", [])]
    assert len(paths) == 4
    fields = {line.split()[1] for line in TRACK.splitlines() if line.strip() and not line.startswith(("#", "uint8 I"))}
    for path in paths:
        topic, field = path.split(".")
        assert topic == "/track"
        assert field in fields


def test_foxglove_sends_a_box_in_the_fields_of_the_message(foxglove):
    panel = foxglove["configById"]["Publish!target"]
    assert (panel["topicName"], panel["datatype"]) == ("/target_init", "stif_ros/msg/TargetInit")
    message = (CONFIG.parent / "msg" / "TargetInit.msg").read_text()
    fields = {line.split()[1] for line in message.splitlines() if line and not line.startswith("#")}
    assert set(json.loads(panel["value"])) <= fields


def test_rviz_shows_the_drawn_image():
    displays = yaml.safe_load((CONFIG / "rviz" / "tracker.rviz").read_text())["Visualization Manager"]["Displays"]
    shown = {display["Topic"]["Value"]: display["Enabled"] for display in displays}
    assert shown == {"/track/image": True, "/camera/image_raw": False}
    assert {display["Class"] for display in displays} == {"rviz_default_plugins/Image"}
