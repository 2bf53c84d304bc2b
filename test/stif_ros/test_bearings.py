"""Bearings in the tracks of the real node, from camera_info."""

import os

import numpy as np
import pytest

if not os.environ.get("STIF_REQUIRE_ROS"):
    pytest.importorskip("rclpy", reason="no ROS 2 in this environment")
    pytest.importorskip("stif_ros.msg", reason="the messages are not built: run colcon build")

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node
from robot import CLIP, RELIABLE, Robot, header, use_own_domain, wait_until
from sensor_msgs.msg import CameraInfo
from stif_ros.msg import Track

from stif_core.bearing import Camera, azimuth_elevation
from stif_ros.bearings import Bearings, camera_info_topic

MATRIX = [500.0, 0.0, 322.0, 0.0, 500.0, 238.0, 0.0, 0.0, 1.0]
DISTORTION = [-0.2, 0.05, 0.001, 0.0, 0.0]
CAMERA = Camera.from_info(640, 480, MATRIX, "plumb_bob", DISTORTION)


def camera_info(frame_id: str = "camera", **fields) -> CameraInfo:
    values = {"width": 640, "height": 480, "distortion_model": "plumb_bob", "d": DISTORTION, "k": MATRIX, **fields}
    return CameraInfo(header=header(1, frame_id), **values)


class BearingRobot(Robot):
    """A robot whose camera is calibrated."""

    def __init__(self, **parameters) -> None:
        super().__init__(diagnostics_period=0.1, **parameters)
        self.infos = self.node.create_publisher(CameraInfo, "camera_info", RELIABLE)
        self.statuses: list[DiagnosticStatus] = []
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, RELIABLE)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        self.statuses += [status for status in message.status if status.name.endswith(": bearings")]

    def calibrate(self, message: CameraInfo) -> None:
        """Publishes a calibration until the tracker has taken it."""

        def taken() -> bool:
            self.infos.publish(message)
            calibration = self.tracker._bearings._calibration
            return calibration is not None and calibration.frame_id == message.header.frame_id

        wait_until(taken, "the calibration")

    def wait_for_status(self, level: bytes, text: str) -> None:
        wait_until(
            lambda: bool(self.statuses) and self.statuses[-1].level == level and text in self.statuses[-1].message,
            f"a status about '{text}'",
        )


@pytest.fixture
def robot(monkeypatch):
    use_own_domain(monkeypatch)
    robots = []

    def make(**parameters) -> BearingRobot:
        robots.append(BearingRobot(**parameters))
        return robots[-1].bring_up()

    yield make
    for made in robots:
        made.close()


def test_tracks_carry_the_bearing_of_their_box_and_its_rate(robot):
    r = robot()
    r.calibrate(camera_info())
    assert r.set_target(CLIP.render(0)[1]).success
    for i in range(8):
        track = r.show(r.image(i))
        assert track.bearing_valid
        (ray,) = CAMERA.rays([[track.center_x, track.center_y]], 640, 480)
        np.testing.assert_allclose([track.bearing.x, track.bearing.y, track.bearing.z], ray, atol=1e-12)
        np.testing.assert_allclose([track.azimuth, track.elevation], azimuth_elevation(ray), atol=1e-12)
        assert np.isfinite(track.azimuth_rate) == (i >= 2)
    seconds = np.array([t.header.stamp.sec + t.header.stamp.nanosec / 1e9 for t in r.tracks])
    expected = np.polyfit(seconds - seconds[0], [t.azimuth for t in r.tracks], 1)[0]
    assert track.azimuth_rate == pytest.approx(expected, abs=1e-6)
    r.wait_for_status(DiagnosticStatus.OK, "available")


def test_target_set_anew_has_no_rate_from_before(robot):
    r = robot()
    r.calibrate(camera_info())
    assert r.set_target(CLIP.render(0)[1]).success
    assert np.isfinite(r.show(*(r.image(i) for i in range(4))).azimuth_rate)
    assert r.set_target(CLIP.render(4)[1]).success
    assert np.isnan(r.show(r.image(4)).azimuth_rate)


def test_without_camera_info_there_is_no_bearing_and_diagnostics_say_where_it_was_awaited(robot):
    r = robot()
    assert r.set_target(CLIP.render(0)[1]).success
    track = r.show(r.image(0))
    assert not track.bearing_valid
    assert np.isnan([track.bearing.z, track.azimuth, track.azimuth_rate]).all()
    r.wait_for_status(DiagnosticStatus.OK, "no camera_info on /camera_info")


def test_uncalibrated_camera_gives_no_bearing_and_a_warning(robot):
    r = robot()
    r.calibrate(camera_info(k=[0.0] * 9))
    assert r.set_target(CLIP.render(0)[1]).success
    assert not r.show(r.image(0)).bearing_valid
    r.wait_for_status(DiagnosticStatus.WARN, "not calibrated")


def test_camera_info_of_another_frame_is_a_warning(robot):
    r = robot()
    r.calibrate(camera_info("rear_camera"))
    assert r.set_target(CLIP.render(0)[1]).success
    assert r.show(r.image(0)).bearing_valid
    r.wait_for_status(DiagnosticStatus.WARN, "images are in the frame 'camera', camera_info is of 'rear_camera'")


def track_at(x: float, y: float) -> Track:
    return Track(
        header=header(1),
        state=Track.TRACKING,
        box_valid=True,
        center_x=x,
        center_y=y,
        image_width=640,
        image_height=480,
    )


def test_rectified_images_take_their_intrinsics_from_p():
    bearings = Bearings(True, lambda text: None)
    p = [400.0, 0.0, 300.0, -40.0, 0.0, 400.0, 200.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    bearings.take(camera_info(p=p))
    track = track_at(300.5 + 400, 200.5)
    bearings.fill(track, 1)
    assert track.azimuth == pytest.approx(np.pi / 4)


def test_image_cropped_behind_the_back_of_camera_info_is_told_once():
    told = []
    bearings = Bearings(False, told.append)
    bearings.take(camera_info())
    for _ in range(3):
        track = track_at(100, 100)
        track.image_height = 360
        bearings.fill(track, 1)
        assert not track.bearing_valid
    assert len(told) == 1
    assert "640x360 has another shape than camera_info's 640x480" in told[0]
    assert bearings.status("tracker").level == DiagnosticStatus.WARN


@pytest.mark.parametrize(
    ("remaps", "image", "expected"),
    [
        ([], "image", "/camera_info"),
        (["image:=/cam/front/image_raw"], "image", "/cam/front/camera_info"),
        (["image/compressed:=/cam/image_raw/compressed"], "image/compressed", "/cam/camera_info"),
        (["image:=/cam/image_raw", "camera_info:=/calibration"], "image", "/calibration"),
        (["__ns:=/drone"], "image", "/drone/camera_info"),
    ],
)
def test_camera_info_is_looked_for_beside_the_image(monkeypatch, remaps, image, expected):
    use_own_domain(monkeypatch)
    rclpy.init()
    try:
        arguments = [word for remap in remaps for word in ("-r", remap)]
        node = Node("probe", cli_args=["--ros-args", *arguments] if arguments else [])
        assert camera_info_topic(node, node.resolve_topic_name(image)) == expected
        node.destroy_node()
    finally:
        rclpy.shutdown()
