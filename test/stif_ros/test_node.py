"""The real node over real DDS."""

import os
import time

import cv2
import numpy as np
import pytest

if not os.environ.get("STIF_REQUIRE_ROS"):
    pytest.importorskip("rclpy", reason="no ROS 2 in this environment")
    pytest.importorskip("stif_ros.msg", reason="the messages are not built: run colcon build")

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import Transition
from rcl_interfaces.msg import ParameterType
from rclpy.parameter import Parameter
from robot import CLIP, RELIABLE, Robot, box_of, header, target_init, use_own_domain, wait_until
from sensor_msgs.msg import CompressedImage, Image
from std_srvs.srv import Trigger
from stif_ros.msg import Track
from stif_ros.srv import RemoveTarget

from stif_core.geometry import iou


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


def truth(index: int) -> np.ndarray:
    return CLIP.render(index)[1]


def test_rendered_target_set_by_service_is_tracked(robot):
    r = robot()
    answer = r.set_target(truth(0), target_id="face")
    assert (answer.success, answer.target_id) == (True, "face")
    for i in range(40):
        r.show(r.image(i))
    overlaps = [float(iou(box_of(track), truth(i))) for i, track in enumerate(r.tracks)]
    assert np.mean(overlaps) > 0.6
    track = r.tracks[-1]
    assert (track.state, track.target_id, track.box_valid) == (Track.TRACKING, "face", True)
    assert (track.image_width, track.image_height) == (640, 480)
    assert 0 < track.confidence <= 1
    assert np.isnan([track.azimuth, track.elevation, track.bearing.x]).all()
    assert not track.bearing_valid
    assert r.arrays[-1].tracks[0].target_id == "face"


def test_target_set_by_topic_with_the_stamp_of_an_old_image(robot):
    r = robot()
    r.show(*(r.image(i) for i in range(8)))
    assert {track.state for track in r.tracks} == {Track.IDLE}
    assert all(not array.tracks for array in r.arrays)
    r.operator.publish(target_init(truth(2), r.stamp(2)))
    wait_until(lambda: r.tracker._pipeline.states == {"target": "TRACKING"}, "the target")
    track = r.show(r.image(8))
    assert iou(box_of(track), truth(8)) > 0.6


def test_track_carries_the_stamp_and_frame_of_its_image(robot):
    r = robot()
    track = r.show(r.image(3))
    assert track.header == r.image(3).header
    assert track.header.frame_id == "camera"
    assert track.state == Track.IDLE
    assert not track.box_valid
    assert np.isnan(track.confidence)


def encoded(image: np.ndarray, encoding: str) -> tuple[np.ndarray, int]:
    """The image in an encoding as rows of bytes, and its height in the message."""
    height, width = image.shape[:2]
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    b, g, r = (image[..., i] for i in range(3))
    if encoding in ("bgr8", "8UC3"):
        rows = image
    elif encoding == "rgb8":
        rows = image[..., ::-1]
    elif encoding in ("bgra8", "rgba8"):
        rows = cv2.cvtColor(image, cv2.COLOR_BGR2BGRA if encoding == "bgra8" else cv2.COLOR_BGR2RGBA)
    elif encoding in ("mono8", "8UC1"):
        rows = grey
    elif encoding in ("mono16", "16UC1"):
        rows = (grey.astype("<u2") * 16 + 7000).view(np.uint8)
    elif encoding in ("yuyv", "uyvy"):
        yuv = cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420)
        u, v = (yuv[height:].reshape(2, height // 2, width // 2)[i].repeat(2, axis=0) for i in range(2))
        y = yuv[:height].reshape(height, width // 2, 2)
        order = (y[..., 0], u, y[..., 1], v) if encoding == "yuyv" else (u, y[..., 0], v, y[..., 1])
        rows = np.stack(order, axis=-1)
    elif encoding == "nv12":
        yuv = cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420)
        u, v = yuv[height:].reshape(2, height // 2, width // 2)
        rows = np.vstack([yuv[:height], np.stack([u, v], axis=-1).reshape(height // 2, width)])
    else:  # the colour of each site of the mosaic, named by its first 2 x 2
        planes = {"r": r, "g": g, "b": b}
        rows = np.empty((height, width), np.uint8)
        for site, letter in enumerate(encoding[6:10]):
            rows[site // 2 :: 2, site % 2 :: 2] = planes[letter][site // 2 :: 2, site % 2 :: 2]
    rows = np.ascontiguousarray(rows)
    return rows.reshape(rows.shape[0], -1), height


ENCODINGS = [
    "bgr8", "rgb8", "bgra8", "rgba8", "mono8", "8UC1", "8UC3", "mono16", "16UC1", "yuyv", "uyvy", "nv12",
    "bayer_rggb8", "bayer_bggr8", "bayer_gbrg8", "bayer_grbg8",
]  # fmt: skip


def test_every_encoding_with_padded_rows_is_tracked(robot):
    r = robot()
    for encoding in ENCODINGS:
        first = 6 * ENCODINGS.index(encoding)
        assert r.set_target(truth(first), target_id=encoding).success
        for i in range(first, first + 5):
            rows, height = encoded(CLIP.render(i)[0], encoding)
            padded = np.pad(rows, ((0, 0), (0, 12)))
            message = Image(header=header(r.stamp(i)), height=height, width=640, encoding=encoding)
            message.step = padded.shape[1]
            message.data.frombytes(padded.tobytes())
            track = r.show(message)
        assert track.state == Track.TRACKING, encoding
        assert iou(box_of(track), truth(i)) > 0.6, encoding


def test_compressed_images_are_tracked(robot):
    r = robot(image_transport="compressed")
    assert r.set_target(truth(0)).success
    for i in range(6):
        _, jpeg = cv2.imencode(".jpg", CLIP.render(i)[0])
        message = CompressedImage(header=header(r.stamp(i)), format="bgr8; jpeg compressed bgr8")
        message.data.frombytes(jpeg.tobytes())
        track = r.show(message)
    assert iou(box_of(track), truth(5)) > 0.6


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"step": 100}, "step"),
        ({"height": 9000}, "9000"),
        ({"encoding": "rgb48_made_up"}, "rgb48_made_up"),
        ({"width": 0}, "0"),
    ],
    ids=["step too small", "truncated", "unknown encoding", "no pixels"],
)
def test_image_that_cannot_be_used_is_reported_and_the_node_lives_on(robot, change, reason):
    r = robot(diagnostics_period=0.1)
    diagnostics = []
    r.node.create_subscription(DiagnosticArray, "/diagnostics", diagnostics.append, RELIABLE)
    assert r.set_target(truth(0)).success
    r.show(r.image(0))
    broken = r.image(1)
    for field, value in change.items():
        setattr(broken, field, value)
    r.camera.publish(broken)

    def told() -> bool:
        values = {v.key: v.value for v in diagnostics[-1].status[0].values} if diagnostics else {}
        return values.get("frames_refused") == "1" and reason in values["last_problem"]

    wait_until(told, "diagnostics about the image")
    track = r.show(r.image(2))
    assert iou(box_of(track), truth(2)) > 0.6


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        ((1, 2, float("nan"), 4), "not a finite number"),
        ((10, 10, 0, 5), "no area"),
        ((10, 10, -4, 5), "no area"),
        ((900, 10, 40, 50), "outside the image of 640x480"),
    ],
)
def test_bad_box_is_refused_with_the_reason(robot, box, reason):
    r = robot()
    r.show(r.image(0))
    answer = r.set_target(box)
    assert not answer.success
    assert reason in answer.message
    r.operator.publish(target_init(box))
    assert r.show(r.image(1), r.image(2)).state == Track.IDLE


def test_stamp_older_than_the_ring_is_refused_with_its_age(robot):
    r = robot(history_seconds=0.1)
    r.show(*(r.image(i) for i in range(10)))
    answer = r.set_target(truth(0), r.stamp(0))
    assert not answer.success
    assert "0.297 s older than the newest" in answer.message


def test_change_of_the_image_size_is_survived(robot):
    r = robot()
    assert r.set_target(truth(0)).success
    r.show(r.image(0), r.image(1))
    from stif_ros.messages import image_message

    for i in range(2, 8):
        track = r.show(image_message(header(r.stamp(i)), cv2.resize(CLIP.render(i)[0], (960, 720))))
    assert (track.image_width, track.image_height) == (960, 720)
    assert iou(box_of(track), truth(7) * 1.5) > 0.6
    track = r.show(image_message(header(r.stamp(8)), np.zeros((200, 640, 3), np.uint8)))
    assert track.state == Track.LOST
    assert not track.box_valid


def test_reset_forgets_the_target(robot):
    r = robot()
    assert r.set_target(truth(0)).success
    assert r.show(r.image(0)).state == Track.TRACKING
    assert r.call("reset", Trigger.Request()).success
    assert r.show(r.image(1)).state == Track.IDLE


def test_several_targets_are_set_followed_and_removed_one_by_one(robot):
    r = robot(max_targets=2)
    assert r.set_target(truth(0), target_id="face").success
    assert r.set_target((420, 60, 60, 50), target_id="patch").success
    third = r.set_target((20, 30, 40, 30), target_id="third")
    assert not third.success
    assert "as many as max_targets allows" in third.message
    r.show(r.image(0), r.image(1))
    wait_until(lambda: len(r.arrays) == 2, "the arrays")
    array = r.arrays[-1]
    assert [track.target_id for track in array.tracks] == ["face", "patch"]
    assert array.header == r.tracks[-1].header == array.tracks[1].header
    assert r.tracks[-1].target_id == "face"
    np.testing.assert_array_equal(box_of(r.tracks[-1]), box_of(array.tracks[0]))
    assert iou(box_of(array.tracks[0]), truth(1)) > 0.6
    answer = r.call("remove", RemoveTarget.Request(target_id="face"))
    assert (answer.success, answer.message) == (True, "'face' is forgotten")
    assert r.show(r.image(2)).target_id == "patch"
    answer = r.call("remove", RemoveTarget.Request(target_id="face"))
    assert (answer.success, answer.message) == (False, "no target has the id 'face'; targets: patch")


def test_deactivated_node_is_silent_and_goes_on_when_activated_again(robot):
    r = robot()
    assert r.set_target(truth(0)).success
    r.show(r.image(0), r.image(1))
    assert r.transition(Transition.TRANSITION_DEACTIVATE)
    count = len(r.tracks)
    r.camera.publish(r.image(2))
    assert not r.set_target(truth(2)).success
    time.sleep(0.3)
    assert len(r.tracks) == count
    r.activate()
    track = r.show(r.image(3))
    assert track.state == Track.TRACKING
    assert iou(box_of(track), truth(3)) > 0.6


def test_cleaned_up_node_can_be_configured_again(robot):
    r = robot()
    assert r.transition(Transition.TRANSITION_DEACTIVATE)
    assert r.transition(Transition.TRANSITION_CLEANUP)
    r.bring_up()
    assert r.show(r.image(0)).state == Track.IDLE


def test_annotated_image_comes_while_somebody_subscribes(robot):
    r = robot()
    assert r.set_target(truth(0)).success
    r.show(r.image(0))
    drawn = []
    subscription = r.node.create_subscription(Image, "track/image", drawn.append, RELIABLE)
    wait_until(lambda: r.tracker.count_subscribers("track/image") == 1, "discovery")
    wait_until(lambda: r.tracker._drawn_publisher.get_subscription_count() == 1, "matching")
    r.show(r.image(1))
    wait_until(lambda: drawn, "an annotated image")
    assert drawn[0].header == r.image(1).header
    image = np.frombuffer(drawn[0].data, np.uint8).reshape(480, 640, 3)
    assert (image != CLIP.render(1)[0]).any()
    r.node.destroy_subscription(subscription)


def test_a_camera_that_falls_silent_is_a_warning(robot):
    r = robot(diagnostics_period=0.1)
    statuses = []
    r.node.create_subscription(DiagnosticArray, "/diagnostics", lambda m: statuses.append(m.status[0]), RELIABLE)
    r.show(r.image(0), r.image(1))
    wait_until(lambda: statuses and statuses[-1].level == DiagnosticStatus.OK, "an OK")
    wait_until(lambda: statuses[-1].level == DiagnosticStatus.WARN, "a warning")
    assert "no image has been tracked for" in statuses[-1].message


def test_every_parameter_is_described_and_what_has_no_effect_is_read_only(robot):
    r = robot()
    described = r.tracker.describe_parameters(["model", "threads", "history_seconds", "stretch_low"])
    assert all(descriptor.description for descriptor in described)
    assert [descriptor.read_only for descriptor in described] == [True, True, False, False]
    assert described[1].type == ParameterType.PARAMETER_INTEGER
    assert described[2].floating_point_range[0].to_value == 60.0
    (refused,) = r.tracker.set_parameters([Parameter("threads", value=2)])
    assert not refused.successful
    (too_large,) = r.tracker.set_parameters([Parameter("history_seconds", value=1e6)])
    assert not too_large.successful
    (taken,) = r.tracker.set_parameters([Parameter("history_seconds", value=0.5)])
    assert taken.successful


def test_unknown_model_fails_to_configure_and_the_node_lives_on(monkeypatch):
    use_own_domain(monkeypatch)
    r = Robot(model="no_such_model")
    try:
        assert not r.transition(Transition.TRANSITION_CONFIGURE)
        assert not r.transition(Transition.TRANSITION_CONFIGURE)
    finally:
        r.close()


def test_torch_backend_tracks_too(robot):
    pytest.importorskip("torch")
    r = robot(backend="torch")
    assert r.set_target(truth(0)).success
    track = r.show(*(r.image(i) for i in range(4)))
    assert iou(box_of(track), truth(3)) > 0.6
