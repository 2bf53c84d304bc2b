"""The node takes its camera's quality of service, and says why no image comes."""

import math
import os
import time

import numpy as np
import pytest

if not os.environ.get("STIF_REQUIRE_ROS"):
    pytest.importorskip("rclpy", reason="no ROS 2 in this environment")
    pytest.importorskip("stif_ros.msg", reason="the messages are not built: run colcon build")

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from robot import CLIP, RELIABLE, Robot, box_of, header, use_own_domain, wait_until
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import String
from stif_ros.msg import Track

from stif_core.geometry import iou
from stif_ros.messages import image_message
from stif_ros.tracker_node import TrackerNode

BEST_EFFORT = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
QUICK = {"image_timeout": 0.5}


@pytest.fixture
def robot(monkeypatch):
    use_own_domain(monkeypatch)
    robots = []

    def make(**parameters) -> Robot:
        robots.append(Robot(**parameters))
        return robots[-1].bring_up()

    yield make
    for made in robots:
        made.close()


def without_camera(r: Robot) -> Robot:
    r.node.destroy_publisher(r.camera)
    wait_until(lambda: r.tracker.count_publishers("image") == 0, "the camera to be gone")
    return r


def published(r: Robot, camera, index: int) -> bool:
    """Publishes an image; whether a track came meanwhile."""
    camera.publish(r.image(index))
    time.sleep(0.1)
    return bool(r.tracks)


def test_reliability_is_the_cameras_also_after_another_takes_its_place(robot):
    r = robot(image_reliability="auto")
    wait_until(lambda: r.tracker._images.qos == "reliable, volatile, depth 100", "reliable")
    wait_until(lambda: published(r, r.camera, 0), "a track")
    without_camera(r)
    r.tracks.clear()
    camera = r.node.create_publisher(Image, "image", BEST_EFFORT)
    wait_until(lambda: r.tracker._images.qos == "best_effort, volatile, depth 100", "best effort")
    wait_until(lambda: published(r, camera, 1), "a track")


def test_a_latched_image_from_before_the_activation_is_tracked(robot):
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    r = without_camera(robot(image_reliability="auto"))
    r.camera = r.node.create_publisher(Image, "image", latched)
    assert r.transition(Transition.TRANSITION_DEACTIVATE)
    r.camera.publish(r.image(0))
    r.activate()
    assert r.tracker._images.qos == "reliable, transient_local, depth 100"
    wait_until(lambda: r.tracks, "the track of the latched image")
    assert r.tracks[0].header == r.image(0).header


def test_a_best_effort_camera_that_does_not_match_is_told_with_the_remedy(robot):
    r = without_camera(robot(**QUICK))
    r.node.create_publisher(Image, "image", BEST_EFFORT)
    wait_until(lambda: r.tracker._problem.counts["qos"], "the event")
    assert "until the parameter image_reliability is auto or best_effort" in r.tracker._problem.last
    wait_until(lambda: "is best effort, image_reliability asks for reliable" in r.tracker._images.silence, "the reason")


def test_silence_of_a_topic_that_nobody_publishes_names_those_with_images(robot):
    r = without_camera(robot(image_reliability="auto", diagnostics_period=0.1, **QUICK))
    messages = []
    r.node.create_subscription(
        DiagnosticArray, "/diagnostics", lambda m: messages.append(m.status[0].message), RELIABLE
    )
    wait_until(lambda: "no topic with images is published" in r.tracker._images.silence, "the reason")
    r.node.create_publisher(Image, "image_raw", RELIABLE)
    r.node.create_publisher(CompressedImage, "front/image_raw/compressed", RELIABLE)
    expected = (
        "nobody publishes it; images are on /image_raw (image_transport: raw), "
        "/front/image_raw/compressed (image_transport: compressed): set image_topic, or remap image"
    )
    wait_until(lambda: messages and messages[-1].startswith("no image on /image for "), "the status")
    wait_until(lambda: expected in messages[-1], "both topics in diagnostics")


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (String, "published by /stranger (std_msgs/msg/String), expected sensor_msgs/msg/Image"),
        (CompressedImage, "set image_transport to compressed and leave /compressed out of image_topic"),
    ],
)
def test_silence_of_a_topic_of_another_type_names_its_publisher_and_type(robot, kind, expected):
    r = without_camera(robot(image_reliability="auto", **QUICK))
    context = rclpy.Context()  # in one DDS participant a topic has one type
    rclpy.init(context=context)
    stranger = rclpy.create_node("stranger", context=context)
    try:
        stranger.create_publisher(kind, "image", RELIABLE)
        wait_until(lambda: expected in r.tracker._images.silence, "the reason")
    finally:
        stranger.destroy_node()
        rclpy.shutdown(context=context)


def test_silence_ends_with_the_first_image_and_was_told_once(robot):
    r = robot(**QUICK)
    wait_until(
        lambda: "/robot (sensor_msgs/msg/Image) publishes it, but sends nothing" in r.tracker._images.silence, "it"
    )
    time.sleep(1.2)
    assert r.tracker._problem.counts["silence"] == 1
    r.show(r.image(0))
    r.tracker._images.watch(60.0)
    assert r.tracker._images.silence == ""


def test_qos_of_an_output_can_be_overridden(robot):
    r = robot(**{"qos_overrides./track.publisher.reliability": "best_effort"})
    (track,) = r.node.get_publishers_info_by_topic("track")
    (tracks,) = r.node.get_publishers_info_by_topic("tracks")
    assert track.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT
    assert tracks.qos_profile.reliability == ReliabilityPolicy.RELIABLE


def test_simulated_time_that_stands_still_stops_neither_tracks_nor_diagnostics(robot):
    r = robot(use_sim_time=True, diagnostics_period=0.1)
    stamps = []
    r.node.create_subscription(DiagnosticArray, "/diagnostics", lambda m: stamps.append(m.header.stamp.sec), RELIABLE)
    clock = r.node.create_publisher(Clock, "/clock", RELIABLE)
    wait_until(lambda: clock.get_subscription_count() >= 1, "the tracker to follow /clock")
    clock.publish(Clock(clock=header(100 * 10**9).stamp))
    wait_until(lambda: stamps.count(100) > 3, "diagnostics with the simulation's time")
    assert math.isnan(r.show(r.image(0)).latency_ms)


def test_images_without_stamps_are_tracked_and_count_the_time_since_the_target_was_seen(robot):
    r = robot()
    assert r.set_target(CLIP.render(0)[1]).success
    for i in range(3):
        track = r.show(image_message(header(0), CLIP.render(i)[0]))
    assert track.header.stamp == header(0).stamp
    assert iou(box_of(track), CLIP.render(2)[1]) > 0.6
    assert math.isnan(track.latency_ms)
    for _ in range(12):
        track = r.show(image_message(header(0), np.zeros((480, 640, 3), np.uint8)))
    assert track.state != Track.TRACKING
    assert 0 < track.time_since_seen.sec * 10**9 + track.time_since_seen.nanosec < 60e9


def test_two_trackers_in_their_namespaces_follow_two_targets_of_one_camera(robot):
    r = robot()
    others = []
    try:
        for name in ("left", "right"):
            override = [Parameter("image_reliability", value="reliable"), Parameter("image_depth", value=100)]
            remap = ["--ros-args", "-r", "image:=/image", "-r", f"__ns:=/{name}"]
            tracker = TrackerNode(parameter_overrides=override, cli_args=remap)
            others.append(tracker)
            tracker.trigger_configure()
            tracker.trigger_activate()
            r._executor.add_node(tracker)
        assert [tracker._images.topic for tracker in others] == ["/image", "/image"]
        tracks = {"left": [], "right": []}
        for name, received in tracks.items():
            r.node.create_subscription(Track, f"/{name}/track", received.append, RELIABLE)
        wait_until(lambda: r.camera.get_subscription_count() == 3, "three trackers")
        wait_until(lambda: all(tracker.count_subscribers("track") == 1 for tracker in others), "subscriptions")
        face, corner = CLIP.render(0)[1], np.array([20.0, 20, 80, 80])
        from stif_ros.target import TargetRequest

        for tracker, box, name in zip(others, (face, corner), tracks, strict=True):
            tracker._pipeline.set_target(TargetRequest(name, box, False, None))
        for i in range(5):
            r.show(r.image(i))
            wait_until(lambda i=i: all(len(received) == i + 1 for received in tracks.values()), "both tracks")
        assert {name: received[-1].target_id for name, received in tracks.items()} == {"left": "left", "right": "right"}
        assert iou(box_of(tracks["left"][-1]), CLIP.render(4)[1]) > 0.6
        assert iou(box_of(tracks["right"][-1]), CLIP.render(4)[1]) < 0.1
        assert r.tracks[-1].state == Track.IDLE
    finally:
        for tracker in others:
            r._executor.remove_node(tracker)
            tracker.stop()
            tracker.destroy_node()
