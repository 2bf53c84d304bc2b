"""Targets from the detections of another node."""

import os
from types import SimpleNamespace

import numpy as np
import pytest

if not os.environ.get("STIF_REQUIRE_ROS"):
    pytest.importorskip("rclpy", reason="no ROS 2 in this environment")
    pytest.importorskip("stif_ros.msg", reason="the messages are not built: run colcon build")

from robot import CLIP, RELIABLE, Robot, box_of, header, use_own_domain, wait_until
from stif_ros.msg import Track
from stif_ros.srv import SelectDetection

from stif_core.geometry import iou
from stif_ros.detections import Detections

SIZE = (640, 480)


def detection(name: str, centre: tuple[float, float], size: tuple[float, float] = (30.0, 20.0)) -> SimpleNamespace:
    """In the form of vision_msgs/Detection2D."""
    position = SimpleNamespace(x=centre[0], y=centre[1])
    bbox = SimpleNamespace(center=SimpleNamespace(position=position, theta=0.0), size_x=size[0], size_y=size[1])
    return SimpleNamespace(id=name, bbox=bbox)


def detections_of(*found: SimpleNamespace) -> Detections:
    taken = Detections()
    stamp = SimpleNamespace(sec=5, nanosec=7)
    taken.take(SimpleNamespace(header=SimpleNamespace(stamp=stamp), detections=list(found)))
    return taken


def test_detection_by_its_id_with_the_stamp_of_its_image():
    taken = detections_of(detection("dog", (100, 100)), detection("cat", (300, 200), (40, 60)))
    request = taken.request("cat", "pet", SIZE)
    assert (request.target_id, request.normalized, request.stamp_ns) == ("pet", False, 5_000_000_007)
    np.testing.assert_array_equal(request.box, [280, 170, 40, 60])


def test_without_an_id_the_one_nearest_to_the_middle_that_has_a_box():
    empty, broken = detection("flat", (320, 240), (0, 10)), detection("nan", (float("nan"), 240))
    taken = detections_of(detection("far", (10, 10)), empty, broken, detection("near", (400, 240)))
    np.testing.assert_array_equal(taken.request("", "", SIZE).box, [385, 230, 30, 20])
    with pytest.raises(ValueError, match="none of the 2 newest detections has a box"):
        detections_of(empty, broken).request("", "", SIZE)


@pytest.mark.parametrize(
    ("taken", "name", "size", "reason"),
    [
        (detections_of(), "cat", SIZE, "no detection has the id 'cat'; ids in the newest detections: none"),
        (detections_of(detection("dog", (9, 9)), detection("", (9, 9))), "cat", SIZE, "newest detections: dog$"),
        (detections_of(detection("cat", (9, 9), (0, 10))), "cat", SIZE, "box"),
        (detections_of(detection("cat", (9, 9))), "", None, "no image has come yet"),
        (Detections(), "cat", SIZE, "vision_msgs is not installed: apt install"),
    ],
)
def test_what_cannot_be_chosen_is_refused_with_the_reason(taken, name, size, reason):
    with pytest.raises(ValueError, match=reason):
        taken.request(name, "", size)


@pytest.fixture
def robot(monkeypatch):
    use_own_domain(monkeypatch)
    made = Robot().bring_up()
    made.select = made.node.create_client(SelectDetection, "tracker/select_detection")
    made._clients["select"] = made.select
    yield made
    made.close()


def test_real_detections_start_the_target_in_their_image(robot):
    messages = pytest.importorskip("vision_msgs.msg", reason="vision_msgs is not built here")
    publisher = robot.node.create_publisher(messages.Detection2DArray, "detections", RELIABLE)
    wait_until(lambda: publisher.get_subscription_count() == 1, "the tracker to subscribe to detections")
    answer = robot.call("select", SelectDetection.Request())
    assert (answer.success, answer.message) == (False, "no detections have come on /detections")
    robot.show(*(robot.image(i) for i in range(6)))
    message = messages.Detection2DArray(header=header(robot.stamp(2)))
    for name, (x, y, width, height) in (("wall", (5, 5, 30, 30)), ("face", CLIP.render(2)[1])):
        found = messages.Detection2D(id=name)
        found.bbox.center.position.x, found.bbox.center.position.y = float(x + width / 2), float(y + height / 2)
        found.bbox.size_x, found.bbox.size_y = float(width), float(height)
        message.detections.append(found)
    publisher.publish(message)
    wait_until(lambda: robot.tracker._detections._newest is not None, "the detections")
    answer = robot.call("select", SelectDetection.Request(detection_id="face", target_id="astronaut"))
    assert (answer.success, answer.target_id) == (True, "astronaut")
    track = robot.show(robot.image(6))
    assert (track.state, track.target_id) == (Track.TRACKING, "astronaut")
    assert iou(box_of(track), CLIP.render(6)[1]) > 0.5


def test_without_vision_msgs_the_service_says_what_to_install(robot):
    try:
        import vision_msgs  # noqa: F401
    except ModuleNotFoundError:
        answer = robot.call("select", SelectDetection.Request(detection_id="face"))
        assert not answer.success
        assert "apt install ros-$ROS_DISTRO-vision-msgs" in answer.message
    else:
        pytest.skip("vision_msgs is installed")
