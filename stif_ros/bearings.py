"""Bearings in Track messages: keeps the camera's calibration and fills in what follows from it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from geometry_msgs.msg import Vector3
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo

from stif_core.bearing import Camera, azimuth_elevation
from stif_core.bearing_rate import LONGEST_GAP, BearingRate
from stif_core.io.stamps import nanoseconds
from stif_ros.msg import Track

COMPRESSED_SUFFIX = "/compressed"
# Matches reliable and best-effort publishers; the newest calibration is the one that counts.
CAMERA_INFO_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)


@dataclass(frozen=True)
class Calibration:
    """What the last camera_info said; ``camera`` is None where it cannot be used, and ``problem`` says why."""

    camera: Camera | None
    frame_id: str
    problem: str


@dataclass
class _Turning:
    """The rate of one target's bearing."""

    setting: int  # which time it was set: the count of the pipeline
    stamp_ns: int
    rate: BearingRate


class Bearings:
    """Listens to camera_info beside the images and completes tracks; ``fill`` may be called from another thread."""

    def __init__(self, rectified: bool, warn: Callable[[str], None]) -> None:
        """
        Args:
            rectified: The images are rectified: their intrinsics are those of P, and nothing is distorted.
            warn: Takes a line when something begins to stand in the way of bearings.
        """
        self._rectified = rectified
        self._warn = warn
        self._topic = "camera_info"
        self._subscription: Subscription | None = None
        self._key: tuple[Any, ...] | None = None
        self._calibration: Calibration | None = None
        self._problem = ""
        self._turning: dict[str, _Turning] = {}

    def start(self, node: Node, image_topic: str) -> None:
        """Subscribes to the camera_info that goes with the images of a topic, as resolved."""
        self._topic = camera_info_topic(node, image_topic)
        self._key, self._calibration, self._problem = None, None, ""
        self._subscription = node.create_subscription(CameraInfo, self._topic, self.take, CAMERA_INFO_QOS)
        self._topic = self._subscription.topic_name

    def stop(self, node: Node) -> None:
        if self._subscription is not None:
            node.destroy_subscription(self._subscription)
            self._subscription = None

    def take(self, message: CameraInfo) -> None:
        """Takes a calibration; one that says the same as the last costs next to nothing."""
        matrix = _rectified_matrix(message.p) if self._rectified else tuple(message.k)
        model, distortion = ("", ()) if self._rectified else (message.distortion_model, tuple(message.d))
        roi = message.roi
        values = {
            "width": message.width,
            "height": message.height,
            "matrix": matrix,
            "model": model,
            "distortion": distortion,
            "binning": (message.binning_x, message.binning_y),
            "roi": (roi.x_offset, roi.y_offset, roi.width, roi.height),
        }
        key = (message.header.frame_id, *values.values())
        if key == self._key:
            return
        self._key = key
        try:
            self._calibration = Calibration(Camera.from_info(**values), message.header.frame_id, "")
        except ValueError as error:
            self._calibration = Calibration(None, message.header.frame_id, str(error))
        self._tell(self._calibration.problem)

    def fill(self, track: Track, setting: int) -> None:
        """Completes a track with its bearing, if there is a calibration and a box.

        Args:
            track: Changed in place.
            setting: Count of the times that a target was set; another one than before: the bearings before were of
                another box.
        """
        calibration = self._calibration
        if calibration is None or calibration.camera is None or not track.box_valid:
            return
        frame_id = track.header.frame_id
        mismatch = f"images are in the frame '{frame_id}', camera_info is of '{calibration.frame_id}'"
        try:
            centre = [[track.center_x, track.center_y]]
            (ray,) = calibration.camera.rays(centre, track.image_width, track.image_height)
        except ValueError as error:
            self._tell(str(error))
            return
        self._tell("" if frame_id == calibration.frame_id else mismatch)
        azimuth, elevation = (float(angle) for angle in azimuth_elevation(ray))
        if azimuth != azimuth:  # NaN: the lens shows nothing there
            return
        x, y, z = (float(value) for value in ray)
        track.bearing_valid, track.bearing = True, Vector3(x=x, y=y, z=z)
        track.azimuth, track.elevation = azimuth, elevation
        if track.state == Track.TRACKING:
            stamp_ns = nanoseconds(track.header.stamp)
            rate = self._rate(track.target_id, setting, stamp_ns)
            track.azimuth_rate, track.elevation_rate = rate.add(stamp_ns, azimuth, elevation)

    def _rate(self, target_id: str, setting: int, stamp_ns: int) -> BearingRate:
        turning = self._turning.get(target_id)
        if turning is None or turning.setting != setting:
            oldest = stamp_ns - int(LONGEST_GAP * 1e9)
            self._turning = {name: t for name, t in self._turning.items() if t.stamp_ns >= oldest}
            turning = self._turning[target_id] = _Turning(setting, stamp_ns, BearingRate())
        turning.stamp_ns = stamp_ns
        return turning.rate

    def _tell(self, problem: str) -> None:
        if problem and problem != self._problem:
            self._warn(problem)
        self._problem = problem

    def status(self, node_name: str) -> DiagnosticStatus:
        """WARN when something is wrong with the calibration; to have none is no fault."""
        status = DiagnosticStatus(name=f"{node_name}: bearings", level=DiagnosticStatus.OK, message="available")
        if self._calibration is None:
            status.message = f"no camera_info on {self._topic}: tracks carry no bearing"
        elif self._problem:
            status.level, status.message = DiagnosticStatus.WARN, self._problem
        frame_id = "" if self._calibration is None else self._calibration.frame_id
        values = {"camera_info_topic": self._topic, "camera_info_frame": frame_id}
        status.values = [KeyValue(key=key, value=value) for key, value in values.items()]
        return status


def camera_info_topic(node: Node, image_topic: str) -> str:
    """The camera_info of an image topic: beside it, as image_transport has it, unless camera_info is remapped."""
    given = node.resolve_topic_name("camera_info")
    if given != node.resolve_topic_name("camera_info", only_expand=True):
        return str(given)
    beside = image_topic[: -len(COMPRESSED_SUFFIX)] if image_topic.endswith(COMPRESSED_SUFFIX) else image_topic
    return beside.rpartition("/")[0] + "/camera_info"


def _rectified_matrix(projection: Any) -> tuple[float, ...]:
    """The intrinsics in P, (3, 4) row by row; its last column, the baseline of a stereo pair, turns no ray."""
    values = tuple(projection)
    return values[0:3] + values[4:7] + values[8:11]
