"""The real follower node over real DDS, fed with tracks by hand."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

if not os.environ.get("STIF_REQUIRE_ROS"):
    pytest.importorskip("rclpy", reason="no ROS 2 in this environment")
    pytest.importorskip("stif_ros.msg", reason="the messages are not built: run colcon build")

import rclpy
from builtin_interfaces.msg import Duration
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import TwistStamped
from hypothesis import given, settings
from hypothesis import strategies as st
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from robot import RELIABLE, header, use_own_domain, wait_until
from std_srvs.srv import SetBool
from stif_ros.msg import Track

from stif_core.follow_guard import GuardSettings, Mode
from stif_core.following import FollowLaw
from stif_ros.follower_node import FollowerNode, obstacle_to_following, sighting_of

STAMP_NS = 1_000_000_000_000
PERIOD_NS = 50_000_000
MARGIN = 1.5  # seconds that a loaded machine may add to a time that is stated


def track(index: int, **changes) -> Track:
    """A track to the right of the image's centre; ``index`` counts images."""
    values = {
        "state": Track.TRACKING, "target_id": "head", "box_valid": True, "bearing_valid": True,
        "azimuth": 0.3, "elevation": 0.0, "azimuth_rate": float("nan"), "latency_ms": float("nan"), "center_x": 400.0,
        "center_y": 240.0, "size_x": 60.0, "size_y": 80.0, "image_width": 640, "image_height": 480, **changes,
    }  # fmt: skip
    return Track(header=header(STAMP_NS + index * PERIOD_NS), **values)


class Bench:
    """The tracker's and the base's side of the follower; a process of its own, or a node in this one."""

    def __init__(self, name: str) -> None:
        self.node = rclpy.create_node("bench", namespace=name)
        self.commands: list[tuple[float, float, float]] = []
        self.statuses: list[DiagnosticStatus] = []
        self.tracks = self.node.create_publisher(Track, "track", RELIABLE)
        self.node.create_subscription(TwistStamped, "cmd_vel", self._on_command, RELIABLE)
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, RELIABLE)
        self._arm = self.node.create_client(SetBool, "follower/arm")
        self._name = name
        self.index = 0
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        self.thread = threading.Thread(target=self.executor.spin, daemon=True)
        self.thread.start()

    def _on_command(self, message: TwistStamped) -> None:
        assert message.header.frame_id == "base_link"
        twist = message.twist
        assert (twist.linear.y, twist.angular.x, twist.angular.y) == (0, 0, 0)
        self.commands.append((twist.linear.x, twist.linear.z, twist.angular.z))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        self.statuses += [status for status in message.status if status.name == f"{self._name}/follower: following"]

    def connect(self) -> None:
        assert self._arm.wait_for_service(30)
        wait_until(lambda: self.tracks.get_subscription_count() == 1, "the follower's subscription", 30)
        wait_until(lambda: self.node.count_publishers("cmd_vel") == 1, "the publisher of cmd_vel", 30)

    def show(self, **changes) -> None:
        self.tracks.publish(track(self.index, **changes))
        self.index += 1

    def ask_to_arm(self, value: bool = True) -> SetBool.Response:
        for _ in range(5):  # the first answer of a service just found may get lost
            future = self._arm.call_async(SetBool.Request(data=value))
            end = time.monotonic() + 3
            while not future.done() and time.monotonic() < end:
                time.sleep(0.005)
            if future.done():
                return future.result()
        raise AssertionError("no answer from arm")

    def drive(self) -> None:
        """Arms, and shows the target to the right until the base turns."""

        def armed() -> bool:
            self.show()
            return self.ask_to_arm().success

        wait_until(armed, "the follower to be armed")

        def turning() -> bool:
            self.show()
            time.sleep(0.03)
            return bool(self.commands) and self.commands[-1][2] < -0.2

        wait_until(turning, "the base to turn")

    def stopped(self) -> bool:
        return self.commands[-1] == (0.0, 0.0, 0.0)


@pytest.fixture
def bench(monkeypatch):
    """A follower in this process, under a namespace that nobody else has."""
    use_own_domain(monkeypatch)
    made = []

    def make(**parameters) -> Bench:
        rclpy.init()
        bench = Bench(f"/bench_{os.getpid()}")
        overrides = {"diagnostics_period": 0.1, "track_timeout": 3.0, **parameters}
        bench.follower = FollowerNode(
            namespace=f"/bench_{os.getpid()}", parameter_overrides=[Parameter(k, value=v) for k, v in overrides.items()]
        )
        bench.executor.add_node(bench.follower)
        made.append(bench)
        bench.connect()
        return bench

    yield make
    for bench in made:
        bench.executor.shutdown()
        bench.thread.join(10)
        bench.follower.destroy_node()
        bench.node.destroy_node()
        rclpy.shutdown()


def test_disarmed_follower_publishes_nothing(bench):
    b = bench()
    for _ in range(20):
        b.show()
        time.sleep(0.02)
    wait_until(lambda: b.follower._sighting is not None, "the tracks to arrive")
    time.sleep(0.2)
    assert b.commands == []
    wait_until(lambda: b.statuses and b.statuses[-1].message.startswith("disarmed"), "diagnostics")


def test_armed_follower_turns_to_the_target_and_a_disarmed_one_stops_with_one_zero(bench):
    b = bench()
    b.drive()
    forward, vertical, yaw_rate = b.commands[-1]
    assert yaw_rate < 0
    assert (forward, vertical) == (0, 0)
    assert b.ask_to_arm(False).success
    wait_until(b.stopped, "the zero")
    known = len(b.commands)
    for _ in range(10):
        b.show()
        time.sleep(0.02)
    time.sleep(0.2)
    assert len(b.commands) == known
    assert b.commands[-2] != (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"state": Track.LOST}, "the target is LOST"),
        ({"state": Track.IDLE, "target_id": ""}, "the tracker has no target"),
        ({"state": Track.UNCERTAIN}, "UNCERTAIN"),
        ({"bearing_valid": False, "azimuth": float("nan")}, "needs camera_info"),
        ({"size_x": float("nan")}, "has no box"),
        ({"size_x": 1e300, "size_y": 1e300}, "has no box"),
        ({"azimuth": float("inf")}, "not finite"),
        ({"image_width": 0}, "no image size"),
        ({"latency_ms": 4000.0}, "an image 4.0 s old"),
    ],
)
def test_arming_is_refused_while_the_target_is_not_in_view(bench, changes, reason):
    b = bench()
    b.show(**changes)
    wait_until(lambda: b.follower._guard.track_age(time.monotonic()) < 10, "the track")
    answer = b.ask_to_arm()
    assert not answer.success
    assert reason in answer.message
    assert b.commands == []


@pytest.mark.parametrize(
    "changes",
    [
        {"state": Track.LOST},
        {"state": Track.UNCERTAIN, "time_since_seen": Duration(nanosec=600_000_000)},
        {"bearing_valid": False},
    ],
    ids=["lost", "uncertain for long", "no bearing"],
)
def test_track_that_cannot_be_followed_stops_the_base_until_the_target_is_seen_again(bench, changes):
    b = bench()
    b.drive()
    b.show(**changes)
    wait_until(b.stopped, "the zero", MARGIN)
    known = len(b.commands)
    wait_until(lambda: len(b.commands) > known + 3, "zeros to go on while armed")
    assert set(b.commands[known:]) == {(0.0, 0.0, 0.0)}
    wait_until(lambda: b.statuses[-1].level == DiagnosticStatus.WARN, "a warning")

    def turning() -> bool:
        b.show()
        time.sleep(0.03)
        return b.commands[-1][2] < -0.1

    wait_until(turning, "the base to turn again")


def test_arming_that_is_refused_disarms_a_base_that_was_armed_and_stood(bench):
    b = bench()
    b.drive()
    b.show(state=Track.LOST)
    wait_until(lambda: b.stopped() and b.follower._mode == Mode.HOLDING, "the base to stand", MARGIN)
    assert not b.ask_to_arm().success
    assert b.follower._mode == Mode.DISARMED


def test_silence_of_the_tracker_stops_the_base_and_later_disarms(bench):
    b = bench(track_timeout=1.0, disarm_timeout=0.5)
    b.drive()
    begin = time.monotonic()
    wait_until(b.stopped, "the zero", 1.0 + MARGIN)
    assert time.monotonic() - begin > 0.5
    wait_until(lambda: b.statuses[-1].message.startswith("disarmed: stood for"), "disarming")
    b.show()
    time.sleep(0.3)
    assert b.stopped()


def test_another_target_disarms(bench):
    b = bench()
    b.drive()
    b.show(target_id="dog")
    wait_until(b.stopped, "the zero", MARGIN)
    wait_until(lambda: "'dog' after 'head'" in b.statuses[-1].message, "the reason")


def test_image_time_that_runs_backwards_disarms(bench):
    b = bench()
    b.drive()
    b.index = 0
    b.show()
    wait_until(b.stopped, "the zero", MARGIN)
    wait_until(lambda: "ran backwards" in b.statuses[-1].message, "the reason")


def test_parameters_take_effect_while_running_and_keep_their_ranges(bench):
    b = bench()
    b.drive()
    (taken,) = b.follower.set_parameters([Parameter("max_yaw_rate", value=0.0)])
    assert taken.successful

    def straight() -> bool:
        b.show()
        time.sleep(0.03)
        return b.commands[-1][2] == 0.0

    wait_until(straight, "the turning to end")
    for name, value in (("max_yaw_rate", 7.0), ("yaw_gain", -1.0), ("watch_period", 0.1)):
        (refused,) = b.follower.set_parameters([Parameter(name, value=value)])
        assert not refused.successful, name


numbers = st.floats(allow_nan=True, allow_infinity=True)


@settings(deadline=None, max_examples=500)
@given(
    st.sampled_from([Track.IDLE, Track.TRACKING, Track.UNCERTAIN, Track.LOST, 77]),
    st.fixed_dictionaries({
        name: st.one_of(numbers, st.floats(0, 1000))
        for name in (
            "azimuth", "elevation", "azimuth_rate", "latency_ms", "center_x", "center_y", "size_x", "size_y"
        )
    }),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_whatever_a_track_says_the_speeds_are_finite_and_limited(state, values, width, height):
    law = FollowLaw()
    law.want_size(0.2)
    law.command(sighting_of(track(0)))
    message = track(1, state=state, image_width=width, image_height=height, **values)
    if obstacle_to_following(message, GuardSettings()) is None:
        command = law.command(sighting_of(message))
        assert abs(command.forward) <= 0.8
        assert abs(command.yaw_rate) <= 1.0
        assert command.vertical == 0


@pytest.fixture
def follower_process(monkeypatch):
    use_own_domain(monkeypatch)
    name = f"/bench_{os.getpid()}"
    command = [sys.executable, "-m", "stif_ros.follower_node", "--ros-args", "-r", f"__ns:={name}"]
    process = subprocess.Popen([*command, "-p", "track_timeout:=3.0"], stderr=subprocess.PIPE, text=True)
    rclpy.init()
    bench = Bench(name)
    yield process, bench
    bench.executor.shutdown()
    bench.thread.join(10)
    bench.node.destroy_node()
    rclpy.shutdown()
    process.kill()
    process.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_base_is_stopped_before_the_process_ends(follower_process, number):
    process, b = follower_process
    b.connect()
    b.drive()
    process.send_signal(number)
    wait_until(b.stopped, "the zero", 5.0)
    assert process.wait(10) == 0
    assert "Traceback" not in process.stderr.read()


def test_process_that_was_never_armed_ends_without_a_command(follower_process):
    process, b = follower_process
    b.connect()
    b.show()
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 0
    assert b.commands == []
