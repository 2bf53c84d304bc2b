"""The node ``follower``: a reference controller that keeps a tracked target in view. Starts disarmed."""

import math
import signal
import sys
import time
from types import FrameType
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import TwistStamped
from rclpy.clock import Clock, ClockType
from rclpy.duration import Duration
from rclpy.exceptions import ParameterException
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from std_srvs.srv import SetBool

from stif_core.follow_guard import FollowGuard, GuardSettings, Mode
from stif_core.following import STOP, Command, FollowLaw, FollowSettings, Sighting
from stif_ros import parameters
from stif_ros.follower_parameters import GUARD_NAMES, LAW_NAMES, PARAMETERS
from stif_ros.msg import Track

BORDER = 1.0  # pixels from the image's border within which a box counts as cut off
LAST_WORDS = 0.5  # seconds that the last zero may take to arrive


class FollowerNode(Node):
    """Translates between ROS, the guard that says whether to move, and the law that says how."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("follower", **kwargs)
        parameters.declare(self, PARAMETERS)
        self._guard = FollowGuard(self._guard_settings())
        self._law = FollowLaw(self._law_settings())
        self._sighting: Sighting | None = None
        self._command = STOP
        self._mode = Mode.DISARMED
        self._publisher = self.create_publisher(TwistStamped, "cmd_vel", 1)
        self._diagnostics_publisher = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self.create_subscription(Track, "track", self._on_track, 1)
        self.create_service(SetBool, "~/arm", self._on_arm)
        # Not the node's clock: with use_sim_time it stands still when the simulation does.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(self._value("watch_period"), self._watch, clock=steady)
        self.create_timer(self._value("diagnostics_period"), self._publish_diagnostics, clock=steady)
        self.get_logger().info("disarmed: call ~/arm with true to let it move the base")

    def _on_track(self, track: Track) -> None:
        self._guard.settings, self._law.settings = self._guard_settings(), self._law_settings()
        obstacle = obstacle_to_following(track, self._guard.settings)
        self._sighting = None if obstacle else sighting_of(track)
        stamp = track.header.stamp.sec + track.header.stamp.nanosec / 1e9
        self._guard.on_track(time.monotonic(), stamp, track.target_id, obstacle)
        self._follow_mode()
        if self._mode == Mode.FOLLOWING and self._sighting is not None:
            self._publish(self._law.command(self._sighting))

    def _watch(self) -> None:
        self._guard.look(time.monotonic(), self.get_clock().now().nanoseconds / 1e9)
        self._follow_mode()
        if self._mode == Mode.HOLDING:
            self._publish(STOP)

    def _on_arm(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        if not request.data:
            self._guard.disarm("asked to")
            response.success, response.message = True, "disarmed"
        else:
            response.success, response.message = self._arm()
        self._follow_mode()
        return response

    def _arm(self) -> tuple[bool, str]:
        try:
            if self._sighting is not None and not self._sighting.certain:
                raise ValueError("the target is UNCERTAIN")
            self._guard.arm(time.monotonic())
        except ValueError as error:
            self._guard.disarm(f"arming refused: {error}")
            return False, f"disarmed: {error}"
        assert self._sighting is not None
        self._law.stop()
        self._law.want_size(self._sighting.size)
        return True, f"armed, keeps the target's apparent size at {self._law.wanted_size:.3f}"

    def _follow_mode(self) -> None:
        """Acts on what the guard has decided: a base that must not move any more is told so at once."""
        mode, self._mode = self._mode, self._guard.mode
        if mode == self._mode:
            return
        self.get_logger().info(f"{self._mode.value}: {self._guard.reason}")
        if self._mode != Mode.FOLLOWING:
            self._law.stop()
            self._publish(STOP)

    def _publish(self, command: Command) -> None:
        self._command = command
        message = TwistStamped()
        message.header.stamp, message.header.frame_id = self.get_clock().now().to_msg(), self._value("base_frame")
        message.twist.linear.x, message.twist.linear.z = command.forward, command.vertical
        message.twist.angular.z = command.yaw_rate
        self._publisher.publish(message)

    def shut_down(self) -> None:
        """Disarms, and waits a moment for the zero to arrive."""
        self._guard.disarm("shutting down")
        self._follow_mode()
        self._publisher.wait_for_all_acked(Duration(seconds=LAST_WORDS))

    def _value(self, name: str) -> Any:
        return self.get_parameter(name).value

    def _guard_settings(self) -> GuardSettings:
        return GuardSettings(**{name: self._value(name) for name in GUARD_NAMES})

    def _law_settings(self) -> FollowSettings:
        return FollowSettings(**{name: self._value(name) for name in LAW_NAMES})

    def _publish_diagnostics(self) -> None:
        holding = self._mode == Mode.HOLDING
        status = DiagnosticStatus(
            name=f"{self.get_fully_qualified_name()}: following",
            level=DiagnosticStatus.WARN if holding else DiagnosticStatus.OK,
            message=f"{self._mode.value}: {self._guard.reason}",
        )
        sighting, command = self._sighting, self._command
        values = {
            "mode": self._mode.value,
            "track_age_s": f"{self._guard.track_age(time.monotonic()):.2f}",
            "azimuth_rad": f"{sighting.azimuth:.3f}" if sighting else "nan",
            "size": f"{sighting.size:.3f}" if sighting else "nan",
            "wanted_size": f"{self._law.wanted_size:.3f}",
            "forward_m_s": f"{command.forward:.3f}",
            "vertical_m_s": f"{command.vertical:.3f}",
            "yaw_rate_rad_s": f"{command.yaw_rate:.3f}",
        }
        status.values = [KeyValue(key=key, value=value) for key, value in values.items()]
        message = DiagnosticArray(status=[status])
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics_publisher.publish(message)


def obstacle_to_following(track: Track, settings: GuardSettings) -> str | None:
    """Why a track cannot be followed, in words; None if it can."""
    if track.state == Track.IDLE:
        return "the tracker has no target"
    if track.state == Track.LOST:
        return "the target is LOST"
    unseen = track.time_since_seen.sec + track.time_since_seen.nanosec / 1e9
    if track.state != Track.TRACKING and unseen > settings.uncertain_timeout:
        return f"the target is UNCERTAIN for {unseen:.1f} s"
    if not track.bearing_valid:
        return "tracks carry no bearing: the tracker needs camera_info (see its diagnostics)"
    if track.latency_ms > settings.track_timeout * 1000:  # NaN: not known
        return f"the track is of an image {track.latency_ms / 1000:.1f} s old"
    if not (math.isfinite(track.azimuth) and math.isfinite(track.elevation)):
        return "the track's bearing is not finite"
    if min(track.size_x, track.size_y) <= 0 or not 0 < track.size_x * track.size_y < math.inf:
        return "the track has no box"
    if not (track.image_width and track.image_height):
        return "the track names no image size"
    return None


def sighting_of(track: Track) -> Sighting:
    """What the law needs of a track that can be followed."""
    left, right = track.center_x - track.size_x / 2, track.center_x + track.size_x / 2
    top, bottom = track.center_y - track.size_y / 2, track.center_y + track.size_y / 2
    inside = min(left, top) > BORDER and right < track.image_width - BORDER and bottom < track.image_height - BORDER
    return Sighting(
        time=track.header.stamp.sec + track.header.stamp.nanosec / 1e9,
        azimuth=track.azimuth,
        elevation=track.elevation,
        azimuth_rate=track.azimuth_rate,
        size=math.sqrt(track.size_x * track.size_y / (track.image_width * track.image_height)),
        cut_off=not inside,
        certain=track.state == Track.TRACKING,
    )


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main(args: list[str] | None = None) -> int:
    """Runs the node until it is asked to stop; the base is stopped first."""
    # rclpy's own handlers end the context at once: the zero could not be published any more.
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        node = FollowerNode()
    except (ValueError, ParameterException) as error:
        print(f"error: {error}", file=sys.stderr)
        rclpy.try_shutdown()
        return 2
    except KeyboardInterrupt:
        rclpy.try_shutdown()
        return 0
    try:
        rclpy.spin(node)
    except KeyboardInterrupt:
        pass
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        node.shut_down()
        node.destroy_node()
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
