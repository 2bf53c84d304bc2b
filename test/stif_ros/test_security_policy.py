"""The SROS 2 policy grants what the node uses, and nothing else."""

import os
from pathlib import Path
from xml.etree import ElementTree

import pytest

if not os.environ.get("STIF_REQUIRE_ROS"):
    pytest.importorskip("rclpy", reason="no ROS 2 in this environment")
    pytest.importorskip("stif_ros.msg", reason="the messages are not built: run colcon build")

import rclpy
from rclpy.parameter import Parameter
from robot import use_own_domain, wait_until

from stif_ros.tracker_node import TrackerNode

POLICY = Path(__file__).resolve().parents[2] / "config" / "sros2" / "policy.xml"
# image_transport: compressed; use_sim_time: true; where vision_msgs is installed
SOMETIMES = {"/image/compressed", "/clock", "/detections"}


def granted(kind: str, right: str) -> set[str]:
    (profile,) = ElementTree.parse(POLICY).iter("profile")
    namespace, node = profile.get("ns"), profile.get("node")
    assert (namespace, node) == ("/", "tracker")
    names = [e.text for group in profile.iter(kind) if group.get(right) == "ALLOW" for e in group]
    return {name if name.startswith("/") else f"/{name}" for name in (n.replace("~", f"/{node}") for n in names)}


def test_policy_names_exactly_what_the_node_uses(monkeypatch):
    use_own_domain(monkeypatch)
    rclpy.init()
    node = TrackerNode(parameter_overrides=[Parameter("threads", value=1)])
    try:
        node.trigger_configure()
        node.trigger_activate()
        me = (node.get_name(), node.get_namespace())

        def used() -> list[set[str]]:
            graph = (
                node.get_publisher_names_and_types_by_node,
                node.get_subscriber_names_and_types_by_node,
                node.get_service_names_and_types_by_node,
            )
            return [{name for name, _ in names_of(*me)} for names_of in graph]

        # DDS tells of them one by one.
        wait_until(lambda: granted("topics", "publish") == used()[0] and "/image" in used()[1], "the graph")
        published, subscribed, served = used()
    finally:
        node.stop()
        node.destroy_node()
        rclpy.shutdown()
    assert granted("topics", "publish") == published
    assert granted("topics", "subscribe") - SOMETIMES == subscribed - SOMETIMES
    assert granted("services", "reply") >= served
    # Beside what this version of rclpy serves, the description of types, which Jazzy serves on request.
    assert granted("services", "reply") - served <= {"/tracker/get_type_description"}
